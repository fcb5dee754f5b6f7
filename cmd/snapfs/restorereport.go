package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/snapfs/snapfs/internal/durable"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/restore"
)

// reportFile is the file of --report, under another name until it is whole.
type reportFile struct {
	f    *os.File
	name string
}

// reportHead is all of a report but its files.
type reportHead struct {
	Source      string      `json:"source"`
	Point       string      `json:"point,omitempty"`
	Time        time.Time   `json:"time,omitzero"`
	Finished    time.Time   `json:"finished"`
	Verified    bool        `json:"verified"`
	Directories []reportDir `json:"directories"`
}

// reportDir is one of the directories that were restored.
type reportDir struct {
	Target   string `json:"target"`
	Aside    string `json:"aside,omitempty"`
	Complete bool   `json:"complete"`
	Count    int    `json:"count"`
	Bytes    int64  `json:"bytes"`
}

// reportEntry is one file of a report.
type reportEntry struct {
	Dir    *int           `json:"directory,omitempty"`
	Path   string         `json:"path"`
	Action restore.Action `json:"action"`
	Size   int64          `json:"size"`
	SHA256 string         `json:"sha256,omitempty"`
	MTime  time.Time      `json:"mtime,omitzero"`
	Link   string         `json:"link,omitempty"`
	Layer  string         `json:"layer,omitempty"`
	File   string         `json:"file,omitempty"`
	Offset *int64         `json:"offset,omitempty"`
	Ghost  string         `json:"ghost,omitempty"`
	How    string         `json:"rewritten,omitempty"`
	Error  string         `json:"error,omitempty"`
}

// createReport makes sure, before anything else is written, that the report
// can be.
func (c *restoreCmd) createReport(src *restoreSource, aims []aim) (*reportFile, error) {
	if restore.Apart(c.Report, src.protect) != nil {
		err := fmt.Errorf("--report %s: it would lie in what is restored", c.Report)
		return nil, &codeError{hint.Wrap(err, "name another file"), exitConflict}
	}
	if slices.ContainsFunc(aims, func(at aim) bool { return within(c.Report, at.dir) }) {
		err := fmt.Errorf("--report %s: it would lie in the target", c.Report)
		return nil, &codeError{hint.Wrap(err, "name a file beside it"), exitUsage}
	}
	if err := durable.Regular(c.Report); err != nil {
		return nil, &codeError{fmt.Errorf("--report: %w", err), exitUsage}
	}
	f, err := durable.Temp(c.Report)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	return &reportFile{f, c.Report}, nil
}

// within reports whether a file is in dir, by the text of the paths.
func within(name, dir string) bool {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(abs, name)
	return err == nil && filepath.IsLocal(rel)
}

// close removes the file if it was not written.
func (r *reportFile) close() error {
	r.f.Close()
	if err := os.Remove(r.f.Name()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// write writes the report, and gives it its name. aims are the trees as they
// were before files were repaired or compacted.
func (r *reportFile) write(src *restoreSource, aims []aim, job *job, reports []restore.Report, verified bool) error {
	head := reportHead{Source: src.name, Finished: time.Now().UTC(), Verified: verified}
	if src.snap != nil && src.snap.Chain() != nil {
		p := src.snap.View().Point()
		head.Point, head.Time = p.Name, p.Time
	}
	for i, report := range reports {
		d := reportDir{
			Target: absolute(report.Target), Aside: report.Aside,
			Complete: len(report.Failed)+report.Remaining == 0, Count: report.Files + report.Kept,
		}
		failed := failures(report)
		for s := range job.plans[i].Steps() {
			if s.Mode.IsRegular() && failed[s.Path] == "" {
				d.Bytes += s.Size
			}
		}
		head.Directories = append(head.Directories, d)
	}
	out := bufio.NewWriterSize(r.f, 1<<16)
	text, err := json.MarshalIndent(head, "", "  ")
	if err != nil {
		return err
	}
	out.Write(text[:len(text)-2]) // without the brace at the end
	out.WriteString(",\n  \"files\": [")
	sep := "\n    "
	for e := range entries(src, aims, job, reports) {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		out.WriteString(sep)
		out.Write(line)
		sep = ",\n    "
	}
	out.WriteString("\n  ]\n}\n")
	if err := out.Flush(); err != nil {
		return err
	}
	if err := r.f.Chmod(0o644); err != nil {
		return err
	}
	if err := r.f.Sync(); err != nil {
		return err
	}
	return durable.Replace(r.f.Name(), r.name)
}

// failures returns why files are not there, by path.
func failures(r restore.Report) map[string]string {
	failed := map[string]string{}
	for _, f := range r.Failed {
		failed[f.Path] = causeOf(f.Err)
	}
	return failed
}

// entries yields the files of a report.
func entries(src *restoreSource, aims []aim, job *job, reports []restore.Report) iter.Seq[reportEntry] {
	rewritten := map[string]string{}
	for _, d := range job.damaged {
		if d.Report != nil {
			rewritten[d.Path] = "repaired"
		}
	}
	for _, c := range job.compacted {
		rewritten[c.Path] = "compacted"
	}
	return func(yield func(reportEntry) bool) {
		for i, plan := range job.plans {
			failed := failures(reports[i])
			for s := range plan.Steps() {
				if s.Mode.IsDir() {
					continue
				}
				e := reportEntry{Path: s.Path, Action: s.Action, Size: s.Size, SHA256: s.SHA256, MTime: s.ModTime, Link: s.Link, Error: failed[s.Path]}
				if len(job.plans) > 1 {
					e.Dir = &i
				}
				if !aims[i].made {
					e.How = rewritten[s.Path]
					e.origin(src.attrs(aims[i].tree, s.Path))
				}
				if !yield(e) {
					return
				}
			}
		}
	}
}

// origin notes where in a chain a file is.
func (e *reportEntry) origin(attrs iter.Seq2[string, string]) {
	for k, v := range attrs {
		switch k {
		case "layer":
			e.Layer = v
		case "file":
			e.File = absolute(v)
		case "ghost":
			e.Ghost = v
		case "offset":
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				e.Offset = &n
			}
		}
	}
}
