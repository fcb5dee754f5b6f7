package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/influx"
)

// metaName is the file with the metadata of the server.
const metaName = "meta"

// Torn is a Bolt file that is not sound.
type Torn struct {
	Name    string         `json:"name"`
	Class   boltview.Class `json:"class,omitempty"`   // none if it cannot be opened
	Problem string         `json:"problem,omitempty"` // why not
}

// String returns the name and what is wrong.
func (t Torn) String() string {
	if t.Problem != "" {
		return fmt.Sprintf("%q: %s", t.Name, t.Problem)
	}
	return fmt.Sprintf("%q: class %v", t.Name, t.Class)
}

// verdict is what a look at one file of an answer finds.
type verdict struct {
	torn    *Torn
	foreign bool   // no Bolt file
	caveat  string // of the metadata
}

// check looks at a file. The error is one of reading it again.
func check(ctx context.Context, r *io.SectionReader, name string, meta bool) (verdict, error) {
	var v verdict
	w := &watch{ctx: ctx, r: r}
	if meta {
		v.caveat = caveat(w, r.Size())
	}
	db, err := boltview.Open(w, r.Size(), boltview.Options{})
	switch {
	case w.err != nil:
	case errors.Is(err, boltview.ErrNotBolt):
		v.foreign = !meta
	case err != nil:
		v.torn = &Torn{Name: name, Problem: err.Error()}
	default:
		if class := db.Class(); class != boltview.ClassA {
			v.torn = &Torn{Name: name, Class: class}
		}
	}
	return v, w.err
}

// watch ends with a context, and keeps errors of reading apart from what they
// make of a file.
type watch struct {
	ctx context.Context
	r   io.ReaderAt
	err error
}

func (w *watch) ReadAt(b []byte, off int64) (int, error) {
	n, err := 0, w.ctx.Err()
	if err == nil {
		n, err = w.r.ReadAt(b, off)
	}
	if err != nil && err != io.EOF && w.err == nil {
		w.err = err
	}
	return n, err
}

// caveat tells what one server cannot know.
func caveat(r io.ReaderAt, size int64) string {
	m, err := influx.OpenMeta(r, size)
	if err != nil {
		return fmt.Sprintf("meta cannot be read: %v", err)
	}
	if len(m.Databases) == 0 && m.Index == 0 {
		return "meta knows nothing: the server had just started; take another backup soon"
	}
	nodes := len(m.Nodes)
	for _, d := range m.Databases {
		for _, p := range d.Policies {
			if nodes > 1 && int(p.Replicas) != nodes {
				return fmt.Sprintf("this is the data of one of %d nodes: policy %q of database %q keeps each shard on %d of them only", nodes, p.Name, d.Name, p.Replicas)
			}
		}
	}
	return ""
}

// judge gathers the verdicts.
func (a *answer) judge(files []chain.ManifestFile, verdicts []verdict) {
	foreign := ""
	n := 0
	for i, v := range verdicts {
		switch {
		case v.torn != nil:
			a.torn = append(a.torn, *v.torn)
		case v.foreign:
			if n++; foreign == "" {
				foreign = files[i].Name
			}
		}
		if v.caveat != "" {
			a.warnings = append(a.warnings, v.caveat)
		}
	}
	if n > 0 {
		a.warnings = append(a.warnings, fmt.Sprintf("%d of %d files are no Bolt files, the first is %q", n, len(files), foreign))
	}
}

// finish compares the answer with the chain.
func (a *answer) finish(next step) {
	if !a.time.IsZero() && a.time.Before(next.last) {
		a.warnings = append(a.warnings, fmt.Sprintf("the clock of the server is behind the chain: %s, after %s", a.time.Format(time.RFC3339), next.last.UTC().Format(time.RFC3339)))
	}
	if next.known == nil {
		return
	}
	known := map[string]chain.Stamp{}
	for _, f := range next.known.Files {
		known[f.Name] = f.Stamp
	}
	for _, f := range a.manifest.Files {
		if s, ok := known[f.Name]; ok && !f.Stamp.Newer(s) {
			a.warnings = append(a.warnings, fmt.Sprintf("%q was sent although the chain has a copy that is not older, which stays the one that counts", f.Name))
			return
		}
	}
}
