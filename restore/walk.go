package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/snapfs/snapfs/internal/hint"
)

// listChunk is the number of names asked for at a time.
const listChunk = 1024

var (
	errName  = errors.New("not a valid name")
	errTwice = errors.New("listed twice")
	errDeep  = fmt.Errorf("more than %d directories deep", maxDepth)
	errSize  = errors.New("negative size")
)

// walker builds a plan.
type walker struct {
	*Plan
	ctx      context.Context
	target   *os.Root // nil if the target does not exist
	include  []glob
	exclude  []glob
	left     int // entries that may still be read
	todo     []found
	compares []int // entries whose content is to be compared
}

// found is a directory that is not visited yet.
type found struct {
	entry
	dir
}

func (p *Plan) build(ctx context.Context) error {
	w := &walker{Plan: p, ctx: ctx, left: p.opts.MaxEntries}
	if w.left <= 0 {
		w.left = defaultEntries
	}
	var err error
	if w.include, err = parseGlobs(p.opts.Include); err != nil {
		return fmt.Errorf("include: %w", err)
	}
	if w.exclude, err = parseGlobs(p.opts.Exclude); err != nil {
		return fmt.Errorf("exclude: %w", err)
	}
	st, err := fs.Stat(p.src, ".")
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return &fs.PathError{Op: "list", Path: ".", Err: syscall.ENOTDIR}
	}
	root := dir{path: ".", parent: -1, selected: len(w.include) == 0, needed: true}
	w.target, err = os.OpenRoot(p.dst)
	switch {
	case err == nil:
		defer w.target.Close()
		root.exists = true
		if st, err := w.target.Stat("."); err == nil {
			root.dev = device(st)
		}
	case errors.Is(err, fs.ErrNotExist) && p.dst != "":
	case errors.Is(err, syscall.ENOTDIR), isFile(p.dst):
		return hint.Wrap(fmt.Errorf("%w: %w", ErrConflict, err), "the target must be a directory, or not exist")
	default:
		return err
	}
	w.todo = append(w.todo, found{dir: root})
	for len(w.todo) > 0 { // depth first, without recursion
		if err := context.Cause(ctx); err != nil {
			return err
		}
		next := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		if err := w.visit(next); err != nil {
			return err
		}
	}
	w.strayDirs()
	return w.compareAll()
}

// visit adds one directory and its files to the plan, and its subdirectories
// to the list of those to visit.
func (w *walker) visit(f found) error {
	at := int32(len(w.dirs))
	here := f.dir
	var there *os.Root
	if here.exists && !here.blocked {
		var err error
		if there, err = w.target.OpenRoot(here.path); err != nil {
			here.blocked = true
			f.set(ActionConflict, "cannot be read: "+cause(err).Error())
		} else {
			defer there.Close()
		}
	}
	w.dirs = append(w.dirs, here)
	if at > 0 {
		f.sub = at
		w.entries = append(w.entries, f.entry)
	}
	if here.needed {
		w.need(here.parent)
	}
	list, listErr := w.list(here.path)
	if errors.Is(listErr, ErrBudget) {
		return listErr
	}
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	if listErr != nil {
		// What was listed is still worth having.
		w.fail(found{entry: entry{name: f.name, parent: max(here.parent, 0), mode: fs.ModeDir}}, listErr)
		if at == 0 {
			w.entries[len(w.entries)-1].name = "."
		}
		w.need(at)
	}
	firstSub, firstEntry := len(w.todo), len(w.entries)
	for i, d := range list {
		name := d.Name()
		e := entry{name: name, parent: at, sub: -1, mode: d.Type()}
		switch {
		case !validName(name):
			w.fail(found{entry: e}, errName)
			w.need(at)
			continue
		case i > 0 && list[i-1].Name() == name:
			w.fail(found{entry: e}, errTwice)
			w.need(at)
			continue
		}
		if err := w.child(&here, there, e, d); err != nil {
			return err
		}
	}
	slices.Reverse(w.todo[firstSub:])
	switch {
	case there == nil:
	case w.opts.Overwrite == mirror:
		return w.findStray(at, there, firstEntry, firstSub)
	default:
		return w.findStale(at, there, list)
	}
	return nil
}

// child decides on one name in the directory here.
func (w *walker) child(here *dir, there *os.Root, e entry, d fs.DirEntry) error {
	p := here.join(e.name)
	if matchAny(w.exclude, p) {
		return nil
	}
	selected := here.selected || matchAny(w.include, p)
	if !d.IsDir() && !selected {
		return nil
	}
	if w.opts.Filter != nil && !w.opts.Filter(p, d) {
		return nil
	}
	f := found{entry: e, dir: dir{path: p, parent: e.parent, depth: here.depth + 1, selected: selected, needed: selected && w.opts.NewerThan.IsZero()}}
	info, err := d.Info()
	switch {
	case err != nil:
	case info.IsDir() != d.IsDir():
		err = fs.ErrInvalid
	case info.IsDir() && f.depth > maxDepth:
		err = errDeep
	case info.Mode().IsRegular() && info.Size() < 0:
		err = errSize
	}
	if err != nil {
		f.mode |= d.Type()
		w.fail(f, err)
		w.need(e.parent)
		return nil
	}
	if !info.IsDir() && !w.opts.NewerThan.IsZero() && !info.ModTime().After(w.opts.NewerThan) {
		return nil
	}
	f.entry.mode, f.entry.mtime, f.dir.mtime = info.Mode(), info.ModTime(), info.ModTime()
	if err := w.look(&f, p, there, info); err != nil {
		w.fail(f, err)
		w.need(e.parent)
		return nil
	}
	if info.IsDir() {
		w.todo = append(w.todo, f)
		return nil
	}
	if f.action == actionCompare {
		w.compares = append(w.compares, len(w.entries))
	}
	w.entries = append(w.entries, f.entry)
	w.need(e.parent)
	return nil
}

// need marks a directory and those above it as part of the plan.
func (w *walker) need(at int32) {
	for ; at >= 0 && !w.dirs[at].needed; at = w.dirs[at].parent {
		w.dirs[at].needed = true
	}
}

func (w *walker) fail(f found, err error) {
	f.sub = -1
	f.action = ActionFail
	f.entry.extra().err = err
	w.entries = append(w.entries, f.entry)
}

// list returns the names in a directory of the tree, sorted. With an error it
// returns those that came before it.
func (w *walker) list(name string) ([]fs.DirEntry, error) {
	f, err := w.src.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []fs.DirEntry
	d, ok := f.(fs.ReadDirFile)
	for done := false; !done; {
		var some []fs.DirEntry
		if ok {
			some, err = d.ReadDir(listChunk)
			if err == nil && len(some) == 0 {
				err = io.ErrNoProgress
			}
			done = err != nil
		} else {
			some, err = fs.ReadDir(w.src, name)
			done = true
		}
		if w.left -= len(some); w.left < 0 {
			return nil, fmt.Errorf("list %s: %w", name, ErrBudget)
		}
		all = append(all, some...)
		done = done || w.ctx.Err() != nil
	}
	if err == io.EOF {
		err = nil
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, err
}

// validName reports whether name is one element that cannot lead out of its
// directory.
func validName(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsAny(name, "/\x00")
}

// isFile reports whether name is there but no directory. os.OpenRoot has an
// error for that which cannot be told from others.
func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && !st.IsDir()
}
