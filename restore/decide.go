package restore

import (
	"bytes"
	"context"
	"errors"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/snapfs/snapfs/internal/attr"
)

// look fills in f from info, and decides on it by what is in the target under
// the same name; there is nil if nothing can be. An error means that the tree
// cannot be restored at this path.
func (w *walker) look(f *found, p string, there *os.Root, info fs.FileInfo) error {
	f.entry.sub = -1
	switch typ := info.Mode().Type(); {
	case typ == 0:
		f.size, f.moving = info.Size(), attr.IsVolatile(info)
	case typ == fs.ModeSymlink:
		link, err := fs.ReadLink(w.src, p)
		if err != nil {
			return err
		}
		f.entry.extra().link = link
	case typ != fs.ModeDir:
		f.set(ActionSkip, kind(typ))
		return nil
	}
	var old fs.FileInfo
	if there != nil {
		var err error
		old, err = there.Lstat(f.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			old = nil
		case errors.Is(err, syscall.ENAMETOOLONG):
			return err
		case err != nil:
			f.blocked = true
			f.set(ActionConflict, "cannot be examined: "+cause(err).Error())
			return nil
		}
	}
	if info.IsDir() {
		w.decideDir(f, old)
		return nil
	}
	oldLink := ""
	if old != nil && old.Mode().Type() == fs.ModeSymlink {
		var err error
		if oldLink, err = there.Readlink(f.name); err != nil {
			f.set(ActionConflict, "cannot be examined: "+cause(err).Error())
			return nil
		}
	}
	decide(&f.entry, w.opts.Overwrite, old, oldLink)
	if w.opts.Overwrite == mirror && old != nil && f.action != ActionConflict && !w.opts.dressed(old) {
		f.action = ActionOverwrite
	}
	return nil
}

func (w *walker) decideDir(f *found, old fs.FileInfo) {
	switch {
	case old == nil:
		f.action = ActionMkdir
	case old.IsDir() && w.opts.probe && !w.opts.dressed(old):
		f.action = ActionMkdir // not as it should be
	case old.IsDir():
		f.exists = true
		f.dev = device(old)
		f.action = ActionKeep
	default:
		f.blocked = true
		f.set(ActionConflict, kind(old.Mode().Type())+" is where a directory should be")
	}
}

// decide settles a file or link of the tree against what is there; old is nil
// if nothing is.
func decide(e *entry, policy Overwrite, old fs.FileInfo, oldLink string) {
	if old == nil {
		e.action = ActionCreate
		if e.mode.Type() == fs.ModeSymlink {
			e.action = ActionSymlink
		}
		return
	}
	oldType := old.Mode().Type()
	if oldType != 0 && oldType != fs.ModeSymlink {
		e.set(ActionConflict, kind(oldType)+" is where a file should be")
		return
	}
	if oldType == 0 {
		e.extra().old = old.Size()
	}
	var same, timed bool // timed: the time is part of the evidence
	switch {
	case oldType != e.mode.Type():
	case oldType == fs.ModeSymlink:
		same = oldLink == e.more.link
	default:
		timed = !e.mtime.IsZero() && !e.moving
		same = old.Size() == e.size && (!timed || sameTime(e.mtime, old.ModTime())) || e.moving
	}
	regular := e.mode.Type() == 0
	switch policy {
	case Always:
		e.action = ActionOverwrite
	case IfNewer:
		if e.mtime.After(old.ModTime()) && !sameTime(e.mtime, old.ModTime()) {
			e.action = ActionOverwrite
		} else {
			e.set(ActionKeep, "not older")
		}
	case mirror:
		switch {
		case !same:
			e.action = ActionOverwrite
		case regular:
			e.action = actionCompare
		default:
			e.set(ActionKeep, "already restored")
		}
	case IfChanged:
		switch {
		case !same:
			e.action = ActionOverwrite
		case regular && !timed:
			e.action = actionCompare
		default:
			e.set(ActionKeep, "not changed")
		}
	default:
		switch {
		case !same:
			e.conflict("exists, and differs")
		case regular:
			e.action = actionCompare
		default:
			e.set(ActionKeep, "already restored")
		}
	}
}

// conflict is one that another policy would resolve.
func (e *entry) conflict(reason string) {
	e.set(ActionConflict, reason)
	e.more.err = fs.ErrExist
}

// sameTime reports whether a file system that stores times less finely than
// the tree would show src as old.
func sameTime(src, old time.Time) bool {
	if src.Equal(old) {
		return true
	}
	for _, grain := range [...]time.Duration{100, time.Microsecond, time.Second, 2 * time.Second} {
		if src.Truncate(grain).Equal(old) {
			return true
		}
	}
	return false
}

// compareAll settles the files that look restored already by their content.
func (w *walker) compareAll() error {
	if len(w.compares) == 0 || w.opts.probe && w.changes() {
		return nil
	}
	pr := Progress{Phase: PhaseCheck, TotalFiles: len(w.compares)}
	for _, i := range w.compares {
		pr.TotalBytes += w.entries[i].size
	}
	c := comparer{w: w, a: make([]byte, bufSize), b: make([]byte, bufSize)}
	for _, i := range w.compares {
		e := &w.entries[i]
		pr.Path = w.path(e)
		sum := w.opts.hasher()
		equal, err := c.equal(pr.Path, sum, func(n int) {
			pr.Bytes += int64(n)
			if w.opts.Progress != nil {
				w.opts.Progress(pr)
			}
		})
		if cancel := context.Cause(w.ctx); cancel != nil {
			return cancel
		}
		if sum != nil && err == nil && equal {
			e.extra().sum = sum.Sum(nil)
		}
		switch {
		case err != nil:
			e.action = ActionFail
			e.extra().err = err
		case equal && w.opts.Overwrite != IfChanged:
			e.set(ActionKeep, "already restored")
		case equal:
			e.set(ActionKeep, "not changed")
		case w.opts.Overwrite == Never:
			e.conflict("exists, and differs in content")
		default:
			e.action = ActionOverwrite
		}
		pr.Files++
		if w.opts.Progress != nil {
			w.opts.Progress(pr)
		}
	}
	return nil
}

type comparer struct {
	w    *walker
	a, b []byte
}

// equal compares the file p of the tree with that of the target. An error is
// one of the tree; a target that cannot be read is not equal. A sum, if there
// is one, gets the content.
func (c comparer) equal(p string, sum hash.Hash, progress func(int)) (bool, error) {
	src, err := c.w.src.Open(p)
	if err != nil {
		return false, err
	}
	defer src.Close()
	// O_NONBLOCK: what is there may have become a pipe.
	old, err := c.w.target.OpenFile(p, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false, nil
	}
	defer old.Close()
	if c.w.opts.Verify {
		forget(old)
	}
	in := reader(src)
	for {
		if err := context.Cause(c.w.ctx); err != nil {
			return false, err
		}
		n, err := io.ReadFull(in, c.a)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return false, err
		}
		m, oldErr := io.ReadFull(old, c.b)
		if oldErr != nil && oldErr != io.EOF && oldErr != io.ErrUnexpectedEOF {
			return false, nil
		}
		if !bytes.Equal(c.a[:n], c.b[:m]) {
			return false, nil
		}
		if sum != nil {
			sum.Write(c.a[:n])
		}
		progress(n)
		if err != nil { // and so it ended in both, since n = m
			return true, nil
		}
	}
}

// reader reads a file from its beginning, by ReadAt where that is offered.
func reader(f fs.File) io.Reader {
	if r, ok := f.(io.ReaderAt); ok {
		return io.NewSectionReader(r, 0, math.MaxInt64)
	}
	return f
}

func kind(typ fs.FileMode) string {
	switch {
	case typ == 0:
		return "a file"
	case typ&fs.ModeDir != 0:
		return "a directory"
	case typ&fs.ModeSymlink != 0:
		return "a symbolic link"
	case typ&fs.ModeDevice != 0:
		return "a device"
	case typ&fs.ModeNamedPipe != 0:
		return "a pipe"
	case typ&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a special file"
}

// leaves reports whether a link in the directory dir of the target points out
// of it, judged by the text alone.
func leaves(dir, link string) bool {
	if strings.HasPrefix(link, "/") {
		return true
	}
	to := path.Join(dir, link)
	return to == ".." || strings.HasPrefix(to, "../")
}
