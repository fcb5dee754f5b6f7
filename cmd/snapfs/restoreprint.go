package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/snapfs/snapfs/restore"
)

// print writes the plans. Of several directories, each path begins with its own.
func (c *restoreCmd) print(a *App, job *job) error {
	out := bufio.NewWriter(a.Stdout)
	for i, plan := range job.plans {
		for s := range plan.Steps() {
			if len(job.plans) > 1 {
				s.Path = path.Join(filepath.ToSlash(job.aims[i].dir), s.Path)
			}
			if c.JSON {
				if err := a.printLine(s); err != nil {
					return err
				}
				continue
			}
			reason := ""
			if s.Reason != "" {
				reason = "  (" + s.Reason + ")"
			}
			fmt.Fprintf(out, "%-9s %12s  %s%s\n", s.Action, a.size(s.Size), nameOf(s.Path), printable(reason))
		}
	}
	return out.Flush()
}

// printReports writes what was done as JSON. addr is the address of a server, ""
// if there is none.
func (c *restoreCmd) printReports(a *App, job *job, reports []restore.Report, addr string) error {
	if addr == "" {
		return a.printJSON(struct {
			restore.Report
			Damaged   []damagedFile   `json:"damaged,omitempty"`
			Compacted []compactedFile `json:"compacted,omitempty"`
		}{reports[0], job.damaged, job.compacted})
	}
	return a.printJSON(struct {
		NodeAddress string           `json:"node_address"`
		Directories []restore.Report `json:"directories"`
		Damaged     []damagedFile    `json:"damaged,omitempty"`
		Compacted   []compactedFile  `json:"compacted,omitempty"`
	}{addr, reports, job.damaged, job.compacted})
}

// tell prints how a restore went, and returns the error that remains.
func (c *restoreCmd) tell(a *App, job *job, reports []restore.Report, addr string, err error) error {
	var refused *codeError
	if errors.As(err, &refused) || errors.Is(err, restore.ErrResumable) {
		return err
	}
	for _, report := range reports {
		c.tellReport(a, job, report, err)
	}
	if err == nil && !c.Quiet {
		if c.Verify {
			fmt.Fprintln(a.Stderr, "all that was written was read back, and is equal")
		}
		if len(job.compacted) > 0 {
			fmt.Fprintln(a.Stderr, saved(job.compacted))
		}
	}
	if err == nil && addr != "" && !c.Quiet {
		fmt.Fprintf(a.Stderr, "the server is known there as %s; if it calls itself otherwise: --node-address\n", addr)
		a.remindOfOwner(c.Owner)
	}
	return err
}

// tellReport prints how it went with one directory.
func (c *restoreCmd) tellReport(a *App, job *job, report restore.Report, err error) {
	for _, f := range report.Failed {
		a.complain(errors.New(f.String()))
	}
	for _, s := range report.Skipped {
		fmt.Fprintf(a.Stderr, "snapfs: skipped %s: %s\n", nameOf(s.Path), printable(s.Reason))
	}
	undone := job.swap != nil && err != nil && report.Aside == "" && report.Remaining > 0
	if c.Quiet || undone || errors.Is(err, restore.ErrConflict) || job.err() != nil {
		return
	}
	if job.swap != nil && job.swap.Unchanged() {
		fmt.Fprintf(a.Stderr, "%s holds all of it already: %s, nothing to do\n", printable(report.Target), plural(int64(report.Kept), "file"))
		return
	}
	fmt.Fprintln(a.Stderr, printable(summary(report)))
	switch {
	case report.Aside != "":
		fmt.Fprintf(a.Stderr, "what was there before is kept as %s\n", printable(asTyped(report.Target, report.Aside)))
	case report.Discarded:
		fmt.Fprintln(a.Stderr, "what was there before is removed")
	}
}

// tellRecovery says how an interrupted restore to dirs ended, if there was one.
func (c *restoreCmd) tellRecovery(a *App, dirs []string, r *restore.Recovery, resume bool) error {
	switch {
	case c.JSON && !resume:
		if r == nil {
			r = &restore.Recovery{}
		}
		return a.printJSON(r)
	case r == nil && !resume:
		if !c.Quiet {
			fmt.Fprintf(a.Stderr, "%s: no restore was interrupted, nothing to do\n", printable(dirs[0]))
		}
		return nil
	case r == nil, r.Kept:
		return nil
	}
	for _, t := range r.Targets {
		if r.Finished {
			a.warn("%s: an interrupted restore is finished now: the new directory is in place", t)
		} else {
			a.warn("%s: an interrupted restore is undone: what it had copied is removed, and nothing else had been changed", t)
		}
	}
	for _, name := range r.Aside {
		fmt.Fprintf(a.Stderr, "what was there before is kept as %s\n", printable(name))
	}
	return nil
}

// asTyped shortens the path of something beside a target to what the user
// would type.
func asTyped(target, name string) string {
	target = filepath.Clean(target)
	if st, err := os.Lstat(target); err == nil && st.IsDir() && !filepath.IsAbs(target) && !slices.Contains([]string{".", ".."}, filepath.Base(target)) {
		return filepath.Join(filepath.Dir(target), filepath.Base(name))
	}
	return name
}

func summary(r restore.Report) string {
	text := fmt.Sprintf("restored %s, %s to %s", plural(int64(r.Files), "file"), plural(r.Bytes, "byte"), r.Target)
	if r.Kept > 0 {
		text += fmt.Sprintf("; %d already there", r.Kept)
	}
	if n := len(r.Failed); n > 0 {
		text += fmt.Sprintf("; %d failed", n)
	}
	return text
}
