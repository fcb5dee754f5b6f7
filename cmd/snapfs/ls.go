package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"time"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/space"
)

type lsCmd struct {
	Long      bool `short:"l" help:"Show mode, size, time and layer, and mark files that are damaged or ghosts."`
	Recursive bool `short:"R" help:"List directories below as well, with whole paths."`
	All       bool `short:"a" help:"List the control directory .snapfs as well."`
	JSON      bool `name:"json" help:"One JSON object a line: path, type, size, mode, mtime, attrs, class."`
	atFlag
	ghostsFlag
	snapArg
	Path []string `arg:"" optional:"" help:"Files or directories; the root if none is given. .snapfs/… works too."`
}

func (lsCmd) Help() string {
	return `Examples:
  snapfs ls -l /tmp/snap                     the merged view at the newest point
  snapfs ls -lR --at 0 /tmp/snap telemetry   one database after the first incremental
  snapfs ls /tmp/snap .snapfs/bolt/telemetry/default/1
                                             the buckets of a shard`
}

func (c *lsCmd) Run(a *App) error {
	t, err := c.open(space.Options{At: c.At, Ghosts: c.Ghosts, ShowControl: c.All})
	if err != nil {
		return err
	}
	defer t.Close()
	out := bufio.NewWriter(a.Stdout)
	l := &lister{cmd: c, app: a, tree: t, out: out}
	paths := c.Path
	if len(paths) == 0 {
		paths = []string{"."}
	}
	for _, arg := range paths {
		p, err := clean(arg)
		if err == nil {
			err = l.list(p)
		}
		if err != nil {
			if err := l.failed(err); err != nil {
				return err
			}
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return l.err()
}

// lister lists paths, and remembers the worst that happened.
type lister struct {
	cmd   *lsCmd
	app   *App
	tree  *space.Tree
	out   *bufio.Writer
	first error
}

// failed reports an error, unless the listing has to end.
func (l *lister) failed(err error) error {
	if l.app.ctx.Err() != nil {
		return l.app.ctx.Err()
	}
	if ferr := l.out.Flush(); ferr != nil {
		return ferr
	}
	l.app.complain(err)
	if l.first == nil {
		l.first = err
	}
	return nil
}

func (l *lister) err() error {
	if l.first == nil {
		return nil
	}
	return &codeError{nil, exitCode(l.first)}
}

func (l *lister) list(p string) error {
	fi, err := fs.Lstat(l.tree, p)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return l.print(p, p, fi)
	}
	return l.dir(p, "")
}

// dir lists a directory. prefix is put before the names.
func (l *lister) dir(p, prefix string) error {
	for e, err := range dirEntries(l.app.ctx, l.tree, p) {
		if err == nil {
			err = l.entry(path.Join(p, e.Name()), prefix+e.Name(), e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dirEntries yields what is in a directory, which may be long, until an error or
// the end of ctx, which is yielded as well.
func dirEntries(ctx context.Context, tree fs.FS, p string) iter.Seq2[fs.DirEntry, error] {
	return func(yield func(fs.DirEntry, error) bool) {
		f, err := tree.Open(p)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		d, ok := f.(fs.ReadDirFile)
		if !ok {
			yield(nil, &fs.PathError{Op: "list", Path: p, Err: fs.ErrInvalid})
			return
		}
		for {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			some, err := d.ReadDir(512)
			for _, e := range some {
				if !yield(e, nil) {
					return
				}
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

func (l *lister) entry(p, shown string, e fs.DirEntry) error {
	fi, err := e.Info()
	if err == nil {
		err = l.print(p, shown, fi)
	}
	if err == nil && l.cmd.Recursive && e.IsDir() {
		err = l.dir(p, shown+"/")
	}
	if err != nil {
		return l.failed(err)
	}
	return nil
}

// listed is one line of --json.
type listed struct {
	Path  string            `json:"path"`
	Type  string            `json:"type"` // file, dir, symlink, other
	Size  int64             `json:"size"`
	Mode  string            `json:"mode"` // octal permissions
	MTime time.Time         `json:"mtime"`
	Attrs map[string]string `json:"attrs,omitempty"` // as the extended attributes user.snapfs.* of the mount
	Class boltview.Class    `json:"class,omitempty"` // of a Bolt file that is torn
}

// print lists p under the name shown.
func (l *lister) print(p, shown string, fi fs.FileInfo) error {
	var class boltview.Class
	var problem string
	if (l.cmd.Long || l.cmd.JSON) && holdsFiles(l.tree, p) {
		class, problem = tornFile(l.tree, p, fi)
	}
	if l.cmd.JSON {
		if err := l.out.Flush(); err != nil {
			return err
		}
		line := describe(shown, fi)
		line.Class = class
		return l.app.printLine(line)
	}
	name := shown
	if fi.IsDir() {
		name += "/"
	}
	if !l.cmd.Long {
		_, err := fmt.Fprintln(l.out, name)
		return err
	}
	layer, damage := "-", ""
	for k, v := range attr.All(fi) {
		switch k {
		case "layer":
			layer = v
		case "damage":
			damage = "  [" + v + "]"
		case "ghost":
			damage += "  [ghost]"
		}
	}
	size := "-"
	if fi.Mode().IsRegular() && (fi.Size() > 0 || !attr.IsVolatile(fi)) {
		size = l.app.size(fi.Size())
	}
	damage += tornMark(class, problem)
	sizes, layers := 12, 6
	if _, tty := l.app.terminal(l.app.Stdout); tty {
		sizes, layers = len("1023 MiB"), len("full")
	}
	_, err := fmt.Fprintf(l.out, "%s %*s  %-20s  %-*s %s%s\n", fi.Mode(), sizes, size, when(fi.ModTime()), layers, layer, name, damage)
	return err
}

func describe(p string, fi fs.FileInfo) listed {
	out := listed{Path: p, Size: fi.Size(), Mode: fmt.Sprintf("%04o", fi.Mode().Perm()), MTime: fi.ModTime().UTC()}
	switch {
	case fi.IsDir():
		out.Type, out.Size = "dir", 0
	case fi.Mode().IsRegular():
		out.Type = "file"
	case fi.Mode()&fs.ModeSymlink != 0:
		out.Type = "symlink"
	default:
		out.Type = "other"
	}
	for k, v := range attr.All(fi) {
		if out.Attrs == nil {
			out.Attrs = map[string]string{}
		}
		out.Attrs[k] = v
	}
	return out
}
