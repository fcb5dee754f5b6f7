package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/flatten"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

type pruneCmd struct {
	snapArg
	DryRun bool `short:"n" help:"Only say what could go, which is all that this command does."`
	JSON   bool `name:"json" help:"JSON."`
}

func (pruneCmd) Help() string {
	return `Says which bytes of a chain no point in time needs, and what one full snapshot of the newest point would save.
A snapshot is never written to, so that --dry-run is required; snapfs flatten makes a new one.

NEWEST are the bytes that the newest point needs, OLDER those that only points before it need, NONE those that no
point needs; FRAME is the manifest and the end of the tar.

Examples:
  snapfs prune --dry-run /tmp/snap
  snapfs prune -n --json /tmp/snap | jq '.unused[]'`
}

// pruneReport is the JSON output.
type pruneReport struct {
	Path   string       `json:"path"`
	Bytes  int64        `json:"bytes"`  // of all layers
	Needed int64        `json:"needed"` // by any point
	Flat   int64        `json:"flat"`   // that a full snapshot of the newest point has; 0 if there cannot be one
	Layers []pruneLayer `json:"layers"`
	Unused []pruneItem  `json:"unused"`
	Files  []pruneFile  `json:"files"` // that are no part of the chain
}

type pruneLayer struct {
	Layer  string `json:"layer"`
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	Newest int64  `json:"newest"`
	Older  int64  `json:"older"`
	None   int64  `json:"none"`
	Frame  int64  `json:"frame"`
}

type pruneItem struct {
	Layer  string `json:"layer"`
	Name   string `json:"name,omitempty"`
	Offset int64  `json:"offset"`
	Bytes  int64  `json:"bytes"`
	Why    string `json:"why"`
}

type pruneFile struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	Why   string `json:"why"`
}

func (c *pruneCmd) Run(a *App) error {
	if !c.DryRun {
		return &codeError{hint.Wrap(fmt.Errorf("prune %s: a snapshot is never written to", c.Snap),
			"snapfs prune --dry-run tells what could go; snapfs flatten %s --out NEW writes a snapshot without it", hint.Quote(c.Snap)), exitUsage}
	}
	t, err := c.open(space.Options{})
	if err != nil {
		return err
	}
	defer t.Close()
	if t.Chain() == nil {
		return &codeError{fmt.Errorf("prune %s: a bare Bolt file is no snapshot", c.Snap), exitNotSnapshot}
	}
	r := pruneReport{Path: c.Snap, Layers: []pruneLayer{}, Unused: []pruneItem{}, Files: leftovers(t.Chain())}
	for _, u := range t.Chain().Use() {
		r.Bytes += u.Layer.Size
		r.Needed += u.Layer.Size - u.None
		r.Layers = append(r.Layers, pruneLayer{u.Layer.Name, u.Layer.Path, u.Layer.Size, u.Newest, u.Older, u.None, u.Frame})
		for _, x := range u.Unused {
			r.Unused = append(r.Unused, pruneItem{u.Layer.Name, x.Name, x.Offset, x.Bytes, x.Why})
		}
	}
	plan, err := flatten.New(a.ctx, t.View(), flatten.Options{Skip: true})
	switch {
	case err == nil:
		r.Flat = plan.Size()
	case !errors.Is(err, flatten.ErrNoSnapshot):
		return err
	}
	if c.JSON {
		return a.printJSON(r)
	}
	return c.print(a, r)
}

func (c *pruneCmd) print(a *App, r pruneReport) error {
	tab := a.table("LAYER", "~FILE", ">BYTES", ">NEWEST", ">OLDER", ">NONE", ">FRAME")
	for _, l := range r.Layers {
		tab.add(l.Layer, nameOf(filepath.Base(l.File)), a.size(l.Bytes), a.size(l.Newest), a.size(l.Older), a.size(l.None), a.size(l.Frame))
	}
	if err := tab.write(a.Stdout); err != nil {
		return err
	}
	if len(r.Unused)+len(r.Files) > 0 {
		fmt.Fprintln(a.Stdout)
	}
	for _, x := range r.Unused {
		name := "no member"
		if x.Name != "" {
			name = nameOf(x.Name)
		}
		fmt.Fprintf(a.Stdout, "no point needs: layer %s, %s, %s at %d: %s\n", x.Layer, name, a.bytes(x.Bytes), x.Offset, x.Why)
	}
	for _, f := range r.Files {
		fmt.Fprintf(a.Stdout, "no part of the chain: %s, %s: %s\n", printable(f.File), a.bytes(f.Bytes), f.Why)
	}
	_, err := fmt.Fprintf(a.Stdout, "\nneeded by no point: %s of %s\n", a.size(r.Bytes-r.Needed), a.bytes(r.Bytes))
	if err == nil && r.Flat > 0 {
		width, _ := a.terminal(a.Stdout)
		text := fmt.Sprintf("a full snapshot of the newest point has %s: snapfs flatten %s --out NEW", a.size(r.Flat), printable(hint.Quote(c.Snap)))
		_, err = fmt.Fprintln(a.Stdout, wrapHint(text, width, 0, 2))
	}
	return err
}

// leftovers returns the files that lie beside a chain and have its name, but
// are no part of it.
func leftovers(c *chain.Chain) []pruneFile {
	files := []pruneFile{}
	add := func(name, why string) {
		if st, err := os.Lstat(name); err == nil {
			files = append(files, pruneFile{name, st.Size(), why})
		}
	}
	for _, w := range c.Warnings() {
		switch w.Code {
		case chain.Pending:
			add(w.File, "unfinished backup")
		case chain.Gap:
			for _, name := range behind(c, w.File) {
				add(name, "behind a gap in the numbers")
			}
		}
	}
	return files
}

// behind returns the numbered files after the one that is missing.
func behind(c *chain.Chain, missing string) []string {
	var names []string
	dir := filepath.Dir(missing)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(c.Path())+".")
		if n, err := strconv.Atoi(rest); ok && err == nil && n >= len(c.Layers()) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names
}
