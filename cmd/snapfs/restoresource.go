package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/chain"
	fusefs "github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

// restoreSource is what is restored.
type restoreSource struct {
	name    string // its absolute path
	tree    fs.FS
	snap    *space.Tree // the snapshot; nil if there is only a directory
	dir     string      // that directory: a mount, a point in one, or a copy
	ghosts  chain.Ghosts
	protect []string // what the target must keep away from
}

func (s *restoreSource) close() {
	if s.snap != nil {
		s.snap.Close()
	}
}

// source opens a snapshot, or finds the one that is mounted on a directory, or
// takes a directory that is a copy of one.
func (c *restoreCmd) source(a *App) (*restoreSource, error) {
	if st, err := os.Stat(c.Snap); err != nil || !st.IsDir() {
		return c.open(c.Snap, space.Options{At: c.At, Ghosts: c.Ghosts})
	}
	served := c.Snap
	if _, err := os.Stat(filepath.Join(served, space.Control, "status.json")); err != nil {
		if served = fusefs.Beside(c.Snap); served == "" {
			return c.copied()
		}
	}
	src, err := c.behind(served)
	if src == nil && err == nil {
		return c.mounted(served)
	}
	if err != nil && exitCode(err) != exitBroken {
		if !c.Quiet {
			fmt.Fprintf(a.Stderr, "snapfs: the snapshot is read through the mount: %s\n", printable(err.Error()))
		}
		return c.mounted(served)
	}
	return src, err
}

func (c *restoreCmd) open(name string, opts space.Options) (*restoreSource, error) {
	t, err := snapArg{name}.open(opts)
	if err != nil {
		return nil, err
	}
	src := &restoreSource{name: absolute(name), tree: t, snap: t, ghosts: chain.Show, protect: []string{name}}
	if t.Chain() != nil {
		src.protect = nil
		for _, l := range t.Chain().Layers() {
			src.protect = append(src.protect, l.Path)
		}
	}
	return src, nil
}

// mountStatus is what is of use of status.json.
type mountStatus struct {
	Source string       `json:"source"`
	At     string       `json:"at"`
	Ghosts chain.Ghosts `json:"ghosts"`
}

// behind opens the snapshot that a process serves on dir, so that it need not
// be read through the mount. It is nil if no chain is mounted there, and an
// error if it cannot be found or is not the same any more.
func (c *restoreCmd) behind(dir string) (*restoreSource, error) {
	control := filepath.Join(dir, space.Control)
	want, err := os.ReadFile(filepath.Join(control, "chain.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a Bolt file
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(control, "status.json"))
	if err != nil {
		return nil, err
	}
	var st mountStatus
	if err := json.Unmarshal(text, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(control, "status.json"), err)
	}
	if !filepath.IsAbs(st.Source) {
		return nil, fmt.Errorf("%s was mounted by a relative path, %s", dir, st.Source)
	}
	if c.At != "" {
		st.At = c.At
	}
	if c.Ghosts != chain.Show {
		st.Ghosts = c.Ghosts
	}
	src, err := c.open(st.Source, space.Options{At: st.At, Ghosts: st.Ghosts})
	if err != nil {
		return nil, err
	}
	got, err := space.Describe(src.snap.Chain())
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%s has changed since it was mounted", st.Source)
	}
	if err != nil {
		src.close()
		return nil, err
	}
	src.protect = append(src.protect, c.Snap, dir)
	return src, nil
}

// mounted reads a snapshot through its mount on dir.
func (c *restoreCmd) mounted(dir string) (*restoreSource, error) {
	protect := []string{c.Snap, dir}
	if c.At != "" && c.At != chain.Latest {
		var err error
		if dir, err = mountedPoint(dir, c.At); err != nil {
			return nil, err
		}
	}
	return &restoreSource{name: absolute(c.Snap), tree: os.DirFS(dir), dir: dir, ghosts: c.Ghosts, protect: protect}, nil
}

// copied takes a directory that holds what a snapshot holds.
func (c *restoreCmd) copied() (*restoreSource, error) {
	found := false
	for _, name := range []string{chain.ManifestName, "meta"} {
		st, err := os.Stat(filepath.Join(c.Snap, name))
		found = found || err == nil && st.Mode().IsRegular()
	}
	if !found {
		return nil, isDirError(c.Snap)
	}
	if c.At != "" || c.Ghosts != chain.Show {
		err := fmt.Errorf("%s: a copy of the files of a snapshot is of one point, and does not tell which files are ghosts", c.Snap)
		return nil, &codeError{hint.Wrap(err, "leave out --at and --ghosts, or name the snapshot itself"), exitUsage}
	}
	return &restoreSource{name: absolute(c.Snap), tree: os.DirFS(c.Snap), dir: c.Snap, ghosts: chain.Show, protect: []string{c.Snap}}, nil
}

// wants applies --ghosts to a file of a mount, which tells by an extended
// attribute whether it is one. A snapshot was opened with what is wanted.
func (s *restoreSource) wants(p string, e fs.DirEntry) bool {
	if s.ghosts == chain.Show || !e.Type().IsRegular() {
		return true
	}
	size, err := unix.Getxattr(filepath.Join(s.dir, filepath.FromSlash(p)), fusefs.Prefix+"ghost", nil)
	return (err == nil && size > 0) == (s.ghosts == chain.Only)
}

// attrs returns what the source, which tree is made of, tells of where a file
// comes from.
func (s *restoreSource) attrs(tree fs.FS, p string) iter.Seq2[string, string] {
	if s.snap != nil {
		if fi, err := fs.Stat(tree, p); err == nil {
			return attr.All(fi)
		}
		return func(func(string, string) bool) {}
	}
	return func(yield func(string, string) bool) {
		buf := make([]byte, 4096)
		for _, k := range []string{"layer", "file", "ghost", "offset"} {
			n, err := unix.Getxattr(filepath.Join(s.dir, filepath.FromSlash(p)), fusefs.Prefix+k, buf)
			if err == nil && !yield(k, string(buf[:n])) {
				return
			}
		}
	}
}

// absolute returns the absolute path of a name, or the name.
func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

// whole returns an error if a layer that counts is cut off or cannot be read:
// what it held is not known.
func (s *restoreSource) whole(damaged string) error {
	if damaged != "refuse" || s.snap == nil || s.snap.Chain() == nil {
		return nil
	}
	point := s.snap.View().Point().Name
	before := ""
	for _, l := range s.snap.Chain().Layers() {
		if l.Err != nil {
			err := fmt.Errorf("layer %s is not whole, nothing was written: %w", l.Name, l.Err)
			todo := "--damaged keep or skip restores what there is"
			if before != "" {
				todo = fmt.Sprintf("--at %s restores the point before it; %s", before, todo)
			}
			return &codeError{hint.Wrap(err, "%s", todo), exitDamage}
		}
		if before = l.Name; before == point {
			break
		}
	}
	return nil
}

// newer returns the time of --newer-than, zero if there is none.
func (c *restoreCmd) newer(src *restoreSource) (time.Time, error) {
	if c.NewerThan == "" {
		return time.Time{}, nil
	}
	var than time.Time
	var err error
	for _, layout := range []string{time.RFC3339Nano, chain.TimeName, time.DateOnly} {
		if than, err = time.Parse(layout, c.NewerThan); err == nil {
			break
		}
	}
	if err != nil && src.snap != nil && src.snap.Chain() != nil {
		var v *chain.View
		if v, err = src.snap.Chain().At(c.NewerThan); err == nil {
			than = v.Point().Time
		}
	}
	if err != nil || than.IsZero() {
		err := fmt.Errorf("--newer-than %q: neither a time nor a point that has one", c.NewerThan)
		return time.Time{}, &codeError{hint.Wrap(err, "write 2015-11-02, 2015-11-02T03:04:05Z, or a name that snapfs points shows"), exitUsage}
	}
	return than, nil
}

// mountedPoint returns the directory of a point within a mount.
func mountedPoint(dir, at string) (string, error) {
	points := filepath.Join(dir, space.Control, "points")
	if !filepath.IsLocal(at) || filepath.Base(at) != at {
		return "", fmt.Errorf("%q: %w", at, chain.ErrNoPoint)
	}
	p := filepath.Join(points, at)
	if _, err := os.Stat(p); err == nil {
		return p, nil
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		t, err = time.Parse(chain.TimeName, at)
	}
	if err != nil {
		return "", hint.Wrap(fmt.Errorf("%q: %w", at, chain.ErrNoPoint), "ls %s", hint.Quote(points))
	}
	// The names sort as the times do. Of equal times the later layer is meant,
	// whose name has a suffix.
	times := filepath.Join(dir, space.Control, "times")
	entries, err := os.ReadDir(times)
	if err != nil {
		return "", err
	}
	best := ""
	for _, e := range entries {
		if len(e.Name()) < len(chain.TimeName) {
			continue
		}
		when, err := time.Parse(chain.TimeName, e.Name()[:len(chain.TimeName)])
		if err == nil && !when.After(t) {
			best = e.Name()
		}
	}
	if best == "" {
		return "", hint.Wrap(fmt.Errorf("%q: %w", at, chain.ErrNoPoint), "ls %s", hint.Quote(times))
	}
	return filepath.Join(times, best), nil
}
