package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/space"
)

type diffCmd struct {
	Keys   bool         `help:"Buckets and keys of Bolt files that differ. Without it they are shown if the path is one file."`
	Points bool         `help:"Points of shards that differ, as line protocol."`
	Stat   bool         `help:"Only how much differs: of each file, and with --keys or --points in it."`
	JSON   bool         `name:"json" help:"One JSON object a line."`
	Ghosts chain.Ghosts `default:"hide" placeholder:"WHAT" help:"Shards that the server had dropped by then: hide, so that they are not there any more; show, as the chain has them; or only them."`
	snapArg
	A    string `arg:"" help:"A point in time, as for --at elsewhere."`
	B    string `arg:"" help:"Another."`
	Path string `arg:"" optional:"" help:"A file, or a directory to look at."`
}

func (diffCmd) Help() string {
	return `What one has to do to get from A to B: + for what only B has, - for what only A has, ~ for what differs, = for files that
were backed up again with the same content.

Leaves of Bolt files that are the same are passed over undecoded, so that large files with few changes are compared
about as fast as they are read.

Examples:
  snapfs diff /tmp/snap full latest
  snapfs diff --stat --points /tmp/snap full latest
  snapfs diff /tmp/snap 0 1 telemetry/default/4
  snapfs diff --points /tmp/snap 2015-11-01T12:00:00Z latest telemetry`
}

// differences prints what differs.
type differences struct {
	app      *App
	cmd      *diffCmd
	old, new *space.Tree
	out      *bufio.Writer
	width    int // of the terminal; 0: points are not cut
	keys     bool
	shards   [2]map[string]*dataset.Shard // by path
	lost     losses
	damage   int // errors of Bolt files
	stats    []diffStat
}

// diffFile is a file that differs.
type diffFile struct {
	Type       string `json:"type"` // file
	Path       string `json:"path"`
	Change     string `json:"change"` // added, removed, changed, same
	Size       *int64 `json:"size,omitempty"`
	SizeBefore *int64 `json:"size_before,omitempty"`
	Layer      string `json:"layer,omitempty"`
	Before     string `json:"layer_before,omitempty"`
}

// diffStat is a file with the numbers of --stat.
type diffStat struct {
	diffFile
	Keys   *diffCount `json:"keys,omitempty"`
	Points *diffCount `json:"points,omitempty"`
}

// diffCount is how many things differ.
type diffCount struct {
	Added   int64 `json:"added"`
	Removed int64 `json:"removed"`
	Changed int64 `json:"changed"`
}

func (c *diffCount) add(before, after bool) {
	switch {
	case before && after:
		c.Changed++
	case before:
		c.Removed++
	default:
		c.Added++
	}
}

func (c *diffCount) String() string {
	if c == nil {
		return "-"
	}
	return fmt.Sprintf("+%d -%d ~%d", c.Added, c.Removed, c.Changed)
}

// changeName returns the word for what happened, and its sign.
func changeName(before, after bool) (word, sign string) {
	switch {
	case before && after:
		return "changed", "~"
	case before:
		return "removed", "-"
	}
	return "added", "+"
}

func (c *diffCmd) Run(a *App) (err error) {
	d := &differences{app: a, cmd: c, keys: c.Keys, out: bufio.NewWriter(a.Stdout)}
	d.width, _ = a.terminal(a.Stdout)
	for _, s := range []struct {
		at string
		to **space.Tree
	}{{c.A, &d.old}, {c.B, &d.new}} {
		t, err := c.open(space.Options{At: s.at, Ghosts: c.Ghosts})
		if err != nil {
			return err
		}
		defer t.Close()
		if _, err := view(t); err != nil {
			return err
		}
		*s.to = t
	}
	p, err := clean(c.Path)
	if err != nil {
		return err
	}
	_, inOld := d.old.View().FileAt(p)
	_, inNew := d.new.View().FileAt(p)
	if _, oldErr := d.old.Stat(p); oldErr != nil {
		if _, newErr := d.new.Stat(p); newErr != nil {
			return newErr
		}
	}
	d.keys = d.keys || (inOld || inNew) && !c.Points && !c.Stat && !d.isDir(p)
	err = d.files(p)
	if err == nil && c.Stat {
		err = d.printStats()
	}
	if err = errors.Join(err, d.out.Flush()); err != nil {
		return err
	}
	if err := d.lost.report(a); err != nil {
		return err
	}
	if d.damage > 0 {
		fmt.Fprintf(a.Stderr, "snapfs: what could not be read is left out: %s\n", plural(int64(d.damage), "error"))
		return silent(exitDamage)
	}
	return nil
}

func (d *differences) isDir(p string) bool {
	for _, t := range []*space.Tree{d.old, d.new} {
		if fi, err := t.Stat(p); err == nil && fi.IsDir() {
			return true
		}
	}
	return false
}

// files goes through the files that differ at a path and below.
func (d *differences) files(p string) error {
	for c := range chain.Diff(d.old.View(), d.new.View()) {
		if err := d.app.ctx.Err(); err != nil {
			return err
		}
		f := diffFile{Type: "file"}
		if c.Old != nil {
			f.Path, f.SizeBefore, f.Before = d.old.View().TreePath(*c.Old), &c.Old.Size, c.Old.Layer.Name
		}
		if c.New != nil {
			f.Path, f.Size, f.Layer = d.new.View().TreePath(*c.New), &c.New.Size, c.New.Layer.Name
		}
		if p != "." && f.Path != p && !strings.HasPrefix(f.Path, p+"/") {
			continue
		}
		f.Change, _ = changeName(c.Old != nil, c.New != nil)
		if c.Old != nil && c.New != nil {
			same, err := d.sameContent(*c.Old, *c.New)
			if ctxErr := d.app.ctx.Err(); ctxErr != nil {
				return ctxErr
			}
			if err != nil {
				if err := d.complain(err); err != nil {
					return err
				}
			} else if same {
				f.Change = "same"
			}
		}
		if err := d.file(f, c); err != nil {
			return err
		}
	}
	return nil
}

// sameContent compares two files.
func (d *differences) sameContent(a, b chain.File) (bool, error) {
	if a.Size != b.Size || !a.Mode.IsRegular() || !b.Mode.IsRegular() {
		return false, nil
	}
	x, err := a.Content()
	if err != nil {
		return false, err
	}
	y, err := b.Content()
	if err != nil {
		return false, err
	}
	const step = 256 << 10
	p, q := make([]byte, min(a.Size, step)), make([]byte, min(a.Size, step))
	for off := int64(0); off < a.Size && d.app.ctx.Err() == nil; off += step {
		n := min(a.Size-off, step)
		for _, r := range []struct {
			r io.ReaderAt
			b []byte
		}{{x, p}, {y, q}} {
			if m, err := r.r.ReadAt(r.b[:n], off); int64(m) < n {
				return false, err
			}
		}
		if !bytes.Equal(p[:n], q[:n]) {
			return false, nil
		}
	}
	return true, d.app.ctx.Err()
}

// complain tells of what could not be read, and goes on.
func (d *differences) complain(err error) error {
	d.damage++
	if ferr := d.out.Flush(); ferr != nil {
		return ferr
	}
	if d.damage <= shownErrors {
		d.app.complain(err)
	}
	return nil
}

// file prints a file, and what differs in it if that is asked for.
func (d *differences) file(f diffFile, c chain.Change) error {
	s := diffStat{diffFile: f}
	if !d.cmd.Stat {
		if err := d.printFile(f); err != nil {
			return err
		}
	}
	if f.Change != "same" {
		if d.keys {
			if err := d.boltKeys(&s, c); err != nil {
				return err
			}
		}
		if d.cmd.Points {
			if err := d.points(&s); err != nil {
				return err
			}
		}
	}
	if d.cmd.Stat {
		d.stats = append(d.stats, s)
	}
	return nil
}

func (d *differences) printFile(f diffFile) error {
	if d.cmd.JSON {
		return d.line(f)
	}
	var text string
	switch {
	case f.Change == "same":
		text = fmt.Sprintf("= %s  %s, layer %s, then %s", nameOf(f.Path), d.app.size(*f.Size), f.Before, f.Layer)
	case f.Size == nil:
		text = fmt.Sprintf("- %s  %s, layer %s", nameOf(f.Path), d.app.size(*f.SizeBefore), f.Before)
	case f.SizeBefore == nil:
		text = fmt.Sprintf("+ %s  %s, layer %s", nameOf(f.Path), d.app.size(*f.Size), f.Layer)
	default:
		text = fmt.Sprintf("~ %s  %s, then %s; layer %s, then %s", nameOf(f.Path), d.app.size(*f.SizeBefore), d.app.size(*f.Size), f.Before, f.Layer)
	}
	_, err := fmt.Fprintln(d.out, text)
	return err
}

// line writes a line of JSON in its turn.
func (d *differences) line(v any) error {
	if err := d.out.Flush(); err != nil {
		return err
	}
	return d.app.printLine(v)
}

// boltOf opens a file of a tree as a Bolt file. It returns nil if it is none, or
// not there.
func (d *differences) boltOf(t *space.Tree, p string, f *chain.File) (*boltview.DB, error) {
	if f == nil || !f.Mode.IsRegular() {
		return nil, nil
	}
	db, err := t.Bolt(p)
	if errors.Is(err, boltview.ErrNotBolt) {
		return nil, nil
	}
	return db, err
}

func (d *differences) printStats() error {
	if d.cmd.JSON {
		for _, s := range d.stats {
			if err := d.line(s); err != nil {
				return err
			}
		}
		return nil
	}
	tab := &table{head: []string{"", "PATH", ">BEFORE", ">BYTES"}}
	if d.keys {
		tab.head = append(tab.head, ">KEYS")
	}
	if d.cmd.Points {
		tab.head = append(tab.head, ">POINTS")
	}
	count := map[string]int64{}
	for _, s := range d.stats {
		count[s.Change]++
		size := func(n *int64) string {
			if n == nil {
				return "-"
			}
			return d.app.size(*n)
		}
		sign := map[string]string{"added": "+", "removed": "-", "changed": "~", "same": "="}[s.Change]
		cells := []string{sign, nameOf(s.Path), size(s.SizeBefore), size(s.Size)}
		if d.keys {
			cells = append(cells, s.Keys.String())
		}
		if d.cmd.Points {
			cells = append(cells, s.Points.String())
		}
		tab.add(cells...)
	}
	if len(tab.rows) > 0 {
		if err := tab.write(d.out); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(d.out, "%s: %d added, %d removed, %d changed, %d backed up again as they were\n", plural(int64(len(d.stats)), "file"),
		count["added"], count["removed"], count["changed"], count["same"])
	return err
}
