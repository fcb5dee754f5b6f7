package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

type boltCheckCmd struct {
	JSON bool `name:"json" help:"One JSON object a line: each fault, and a verdict on each file."`
	boltArgs
}

func (boltCheckCmd) Help() string {
	return `Without FILE, all Bolt files of the snapshot are checked. A file is sound if nothing is found: OK. Otherwise
its class tells what can be had from it:
  A  the tree is whole, and the newest meta right in all it says; something else is wrong
  B  the newest meta's tree is whole, its list of free pages or its size is not right
  C  the newest meta's tree is not whole, the older meta is right in all
  D  the newest meta's tree is not whole, that of the older meta is
  E  neither meta's tree is whole: what can be had is found by search
Exit code 14 means that something was found.

Examples:
  snapfs bolt check /tmp/snap
  snapfs bolt check --json /tmp/snap telemetry/default/1
  snapfs bolt check shard.db`
}

// verdict is the last line about a file.
type verdict struct {
	File   string         `json:"file"`
	Class  boltview.Class `json:"class"`
	Faults int            `json:"faults"`
	OK     bool           `json:"ok"`
}

func (c *boltCheckCmd) Run(a *App) error {
	t, err := c.tree()
	if err != nil {
		return err
	}
	defer t.Close()
	k := &checker{app: a, tree: t, json: c.JSON, out: bufio.NewWriter(a.Stdout)}
	switch {
	case len(c.Path) == 0 && t.Chain() == nil:
		err = k.check(".", c.Snap, "")
	case len(c.Path) == 0:
		err = k.all()
	case len(c.Path) > 1 || t.Chain() == nil:
		err = &codeError{hint.Wrap(errors.New("a file is checked as a whole"), "name one file, or none for all"), exitUsage}
	default:
		var name string
		if name, err = boltName(c.Path[0]); err == nil {
			err = k.check(name, name, "")
		}
	}
	if ferr := k.out.Flush(); err == nil {
		err = ferr
	}
	if err == nil && k.bad > 0 {
		err = &codeError{nil, exitDamage}
	}
	return err
}

// checker checks files, and counts those that are not sound.
type checker struct {
	app  *App
	tree *space.Tree
	json bool
	out  *bufio.Writer
	bad  int
}

// all checks each Bolt file of the tree.
func (k *checker) all() error {
	files := 0
	err := fs.WalkDir(k.tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if err := k.app.ctx.Err(); err != nil {
			return err
		}
		err = k.check(p, p, p+": ")
		if errors.Is(err, boltview.ErrNotBolt) {
			return nil
		}
		files++
		if err == nil || errors.Is(err, k.app.ctx.Err()) {
			return err
		}
		k.bad++
		if err := k.out.Flush(); err != nil {
			return err
		}
		k.app.complain(fmt.Errorf("%s: %w", p, err))
		return nil
	})
	if err == nil && !k.json {
		_, err = fmt.Fprintf(k.out, "%s checked, %d damaged\n", plural(int64(files), "Bolt file"), k.bad)
	}
	return err
}

// check checks one file. Each line begins with prefix.
func (k *checker) check(name, shown, prefix string) error {
	db, err := k.tree.Bolt(path.Clean(name))
	if err != nil {
		return err
	}
	w := &App{Stdout: k.out}
	width, _ := k.app.terminal(k.app.Stdout)
	v := verdict{File: shown}
	for f := range db.Check() {
		if err := k.app.ctx.Err(); err != nil {
			return err
		}
		v.Faults++
		if k.json {
			err = w.printLine(struct {
				File string `json:"file"`
				boltview.Fault
			}{shown, f})
		} else {
			_, err = fmt.Fprintln(k.out, wrap(printable(prefix+f.String()), width, 0, 2))
		}
		if err != nil {
			return err
		}
	}
	v.Class = db.Class()
	v.OK = v.Faults == 0 && v.Class == boltview.ClassA
	if !v.OK {
		k.bad++
	}
	switch {
	case k.json:
		return w.printLine(v)
	case v.OK:
		_, err = fmt.Fprintf(k.out, "%sOK\n", prefix)
	default:
		_, err = fmt.Fprintln(k.out, wrap(fmt.Sprintf("%s%s found, class %s", prefix, plural(int64(v.Faults), "fault"), v.Class), width, 0, 2))
	}
	return err
}
