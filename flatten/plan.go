// Package flatten turns a chain at one point in time into a single full
// snapshot that the old tools accept: [New] looks at everything first, and
// refuses what would be lost; [Plan.Create] writes the file; [Plan.Verify]
// reads it back. The chain is never written to.
package flatten

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/snaptar"
)

var (
	// ErrNoSnapshot is returned for a tar without a manifest.
	ErrNoSnapshot = errors.New("not a snapshot: there is no manifest")

	// ErrDamaged is returned when files of the view cannot be copied whole.
	ErrDamaged = errors.New("cannot be copied whole")
)

// Options adjusts [New]. The zero value makes a snapshot with all that the view
// shows.
type Options struct {
	// Skip leaves files out that cannot be copied whole, which are an error
	// otherwise.
	Skip bool
	// DropUsers leaves the users out of the metadata, their passwords' hashes
	// and privileges included.
	DropUsers bool
}

// Plan is a snapshot to be written. It is valid until the chain is closed.
type Plan struct {
	Skipped []Skipped // what is left out
	Notes   []string  // what is otherwise not as in the view, a sentence each
	Users   int       // that are left out of the metadata

	view  *chain.View
	files []file // in the order of their names
	size  int64
	time  time.Time // of the newest layer that tells

	rewrote bool // whether the metadata are others than in the view
}

// Skipped is a file that is left out.
type Skipped struct {
	Name   string `json:"name"` // as in the chain
	Reason string `json:"reason"`
}

// file is a file to be written.
type file struct {
	chain.File
	entry   chain.ManifestFile
	content io.ReaderAt
}

// New plans a snapshot of a view, and reads of it what it needs to know that it
// can be copied. The error matches [ErrNoSnapshot] or [ErrDamaged], or is that
// of ctx.
func New(ctx context.Context, view *chain.View, opts Options) (*Plan, error) {
	p := &Plan{view: view}
	dialect := view.Chain().Dialect()
	if dialect == chain.Unknown {
		return nil, fmt.Errorf("%s: %w", view.Chain().Path(), ErrNoSnapshot)
	}
	for f := range view.Files() {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if f.Mode.IsDir() && f.Listed.Name == "" {
			continue // the paths of files say as much
		}
		x := file{File: f, entry: entryOf(f, dialect)}
		err := x.open(ctx)
		if err == nil && opts.DropUsers && x.entry.Name == metaName {
			p.Users, err = x.dropUsers(ctx)
			p.rewrote = true
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			p.Skipped = append(p.Skipped, Skipped{x.entry.Name, err.Error()})
			continue
		case f.Listed.Name == "":
			p.note("%q is in no manifest, and gets an entry", f.Name)
		case f.Listed.Size != f.Size:
			p.note("%q has %d bytes; its manifest says %d", f.Name, f.Size, f.Listed.Size)
		}
		p.files = append(p.files, x)
	}
	for _, l := range p.layers() {
		if l.Err != nil {
			p.note("layer %s is damaged, and what else it may have held is lost: %v", l.Name, l.Err)
		}
		if !l.Time.IsZero() {
			p.time = l.Time
		}
	}
	if len(p.Skipped) > 0 && !opts.Skip {
		return nil, p.damage()
	}
	slices.SortFunc(p.files, func(a, b file) int { return strings.Compare(a.entry.Name, b.entry.Name) })
	var err error
	p.size, err = snaptar.Size(p.manifest())
	return p, err
}

// layers returns the layers that the view is made of.
func (p *Plan) layers() []*chain.Layer {
	all := p.view.Chain().Layers()
	return all[:slices.Index(all, p.view.Point().Layer)+1]
}

// entryOf returns what the manifest will say of a file.
func entryOf(f chain.File, d chain.Dialect) chain.ManifestFile {
	m := chain.ManifestFile{Name: f.Name, Size: f.Size}
	switch {
	case f.Listed.Name != "":
		m.Name, m.Stamp = f.Listed.Name, f.Listed.Stamp
	case d == chain.ByTime:
		m.Stamp.Time = f.Written.UTC()
	}
	return m
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// damage is the error for what would be left out.
func (p *Plan) damage() error {
	const shown = 3
	var first []string
	for _, s := range p.Skipped[:min(shown, len(p.Skipped))] {
		first = append(first, fmt.Sprintf("%q (%s)", s.Name, s.Reason))
	}
	text := strings.Join(first, ", ")
	if more := len(p.Skipped) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	noun := "1 file"
	if n := len(p.Skipped); n > 1 {
		noun = fmt.Sprintf("%d files", n)
	}
	err := fmt.Errorf("flatten %s: %s %w: %s", p.view.Chain().Path(), noun, ErrDamaged, text)
	return hint.Wrap(err, "--damaged skip leaves them out; an older copy may be in the point before, see snapfs points")
}

// open makes sure that the file can be copied.
func (x *file) open(ctx context.Context) error {
	if !x.Mode.IsRegular() {
		return errors.New("neither a file nor a directory, which a snapshot cannot hold: " + kind(x.Mode))
	}
	if err := snaptar.Check(x.entry); err != nil {
		return err
	}
	var err error
	if x.content, err = x.File.Content(); err != nil {
		return err
	}
	if e, ok := x.content.(attr.Extent); ok {
		if _, _, ok := e.Extent(); ok {
			return nil // all of it was there when the tar was indexed
		}
	}
	return readAll(ctx, x.content, x.Size)
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory that the manifest lists"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "a special file"
}

// readAll reads size bytes to see whether that works.
func readAll(ctx context.Context, r io.ReaderAt, size int64) error {
	buf := make([]byte, min(size, bufSize))
	for off := int64(0); off < size; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := r.ReadAt(buf[:min(size-off, bufSize)], off)
		off += int64(n)
		if err != nil && off < size {
			return err
		}
		if n == 0 {
			return cmp.Or(err, io.ErrNoProgress)
		}
	}
	return nil
}

// manifest returns that of the new snapshot.
func (p *Plan) manifest() chain.Manifest {
	m := chain.Manifest{Dialect: p.view.Chain().Dialect(), Files: make([]chain.ManifestFile, 0, len(p.files))}
	for _, f := range p.files {
		m.Files = append(m.Files, f.entry)
	}
	return m
}

// Size returns how many bytes the snapshot has.
func (p *Plan) Size() int64 { return p.size }

// Files returns how many files it has, the manifest not counted.
func (p *Plan) Files() int { return len(p.files) }
