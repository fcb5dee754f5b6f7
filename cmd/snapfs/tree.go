package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/space"
)

type treeCmd struct {
	Level int  `short:"L" placeholder:"N" help:"How deep to go; 0 for all."`
	Dirs  bool `short:"d" help:"Directories only."`
	JSON  bool `name:"json" help:"One JSON object a line, as ls has them."`
	atFlag
	ghostsFlag
	snapArg
	Path string `arg:"" optional:"" help:"Directory to begin with; .snapfs/… works too."`
}

func (treeCmd) Help() string {
	return `Examples:
  snapfs tree /tmp/snap
  snapfs tree -L 1 --at full /tmp/snap
  snapfs tree /tmp/snap .snapfs/bolt/telemetry/default/1`
}

func (c *treeCmd) Run(a *App) error {
	t, err := c.open(space.Options{At: c.At, Ghosts: c.Ghosts})
	if err != nil {
		return err
	}
	defer t.Close()
	p, err := clean(c.Path)
	if err != nil {
		return err
	}
	fi, err := fs.Stat(t, p)
	if err != nil {
		return err
	}
	w := &treeWriter{cmd: c, app: a, tree: t, out: bufio.NewWriter(a.Stdout)}
	if !c.JSON {
		fmt.Fprintln(w.out, nameOf(p))
	}
	if fi.IsDir() {
		err = w.dir(p, "", 1)
	}
	if err == nil && !c.JSON {
		_, err = fmt.Fprintf(w.out, "\n%d directories, %d files\n", w.dirs, w.files)
	}
	return errors.Join(err, w.out.Flush())
}

// treeWriter draws a tree.
type treeWriter struct {
	cmd         *treeCmd
	app         *App
	tree        *space.Tree
	out         *bufio.Writer
	dirs, files int
}

// dir draws what is in a directory. indent is put before the lines.
func (w *treeWriter) dir(p, indent string, level int) error {
	// Directories stream: one entry more is read than is drawn, since the last
	// looks different.
	var next fs.DirEntry
	for e, err := range dirEntries(w.app.ctx, w.tree, p) {
		if err != nil {
			return err
		}
		if w.cmd.Dirs && !e.IsDir() {
			continue
		}
		if next != nil {
			if err := w.entry(p, indent, next, level, false); err != nil {
				return err
			}
		}
		next = e
	}
	if next == nil {
		return nil
	}
	return w.entry(p, indent, next, level, true)
}

func (w *treeWriter) entry(dir, indent string, e fs.DirEntry, level int, last bool) error {
	p := path.Join(dir, e.Name())
	fi, err := e.Info()
	if err != nil {
		return err
	}
	if e.IsDir() {
		w.dirs++
	} else {
		w.files++
	}
	branch, below := "├── ", "│   "
	if last {
		branch, below = "└── ", "    "
	}
	if w.cmd.JSON {
		if err := w.out.Flush(); err != nil {
			return err
		}
		err = w.app.printLine(describe(p, fi))
	} else {
		_, err = fmt.Fprintln(w.out, indent+branch+nameOf(e.Name())+w.remark(fi))
	}
	if err != nil || !e.IsDir() || w.cmd.Level > 0 && level >= w.cmd.Level {
		return err
	}
	return w.dir(p, indent+below, level+1)
}

// remark is what stands behind the name of a file.
func (w *treeWriter) remark(fi fs.FileInfo) string {
	text := ""
	if fi.Mode().IsRegular() && (fi.Size() > 0 || !attr.IsVolatile(fi)) {
		text = "  " + w.app.size(fi.Size())
	}
	for k, v := range attr.All(fi) {
		switch k {
		case "ghost":
			text += "  [ghost]"
		case "damage":
			text += "  [" + printable(v) + "]"
		}
	}
	return text
}
