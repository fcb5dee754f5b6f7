package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/snapfs/snapfs/internal/durable"
)

// folder is an open directory of the target, shared by the workers that write
// files there. Everything in it is reached by a single name, and so stays in
// it.
type folder struct {
	root *os.Root
	f    *os.File
	refs atomic.Int32 // whoever opened it, and each job
}

func openFolder(root *os.Root, name string) (*folder, error) {
	sub, err := root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	f, err := sub.Open(".")
	if err != nil {
		sub.Close()
		return nil, err
	}
	d := &folder{root: sub, f: f}
	d.refs.Add(1)
	return d, nil
}

func (d *folder) release() {
	if d != nil && d.refs.Add(-1) == 0 {
		d.f.Close()
		d.root.Close()
	}
}

// temp makes a temporary file.
func (d *folder) temp(perm fs.FileMode) (*os.File, string, error) {
	for {
		name := tempName(rand.Uint64())
		f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if !errors.Is(err, fs.ErrExist) {
			return f, name, err
		}
	}
}

// create makes a file under its final name, in place of one that is there.
func (d *folder) create(name string, perm fs.FileMode) (*os.File, error) {
	f, err := createNew(d.f, name, perm)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := d.root.Remove(name); err != nil {
		return nil, err
	}
	return createNew(d.f, name, perm)
}

// publish gives a temporary file its final name. Unless replace is set, it
// does not replace anything, and fails with fs.ErrExist if there is something.
func (d *folder) publish(temp, name string, replace bool) error {
	if replace {
		return d.root.Rename(temp, name)
	}
	if ok, err := renameNew(d.f, temp, name); ok {
		return err
	}
	return d.publishByLink(temp, name)
}

// publishByLink is for file systems that have no rename without replacing.
func (d *folder) publishByLink(temp, name string) error {
	err := d.root.Link(temp, name)
	switch {
	case err == nil:
		_ = d.root.Remove(temp) // a second name of the same file; the next restore removes it
		return nil
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// No hard links either. Somebody else may still come in between.
	if _, err := d.root.Lstat(name); err == nil {
		return &fs.PathError{Op: "rename", Path: name, Err: syscall.EEXIST}
	}
	return d.root.Rename(temp, name)
}

// symlink makes a link, or replaces what was there in one step.
func (d *folder) symlink(e *entry, owner *Owner) error {
	name := e.name
	if e.action == ActionOverwrite {
		name = tempName(rand.Uint64())
	}
	if err := d.root.Symlink(e.more.link, name); err != nil {
		return targetError{err}
	}
	if owner != nil {
		if err := d.root.Lchown(name, owner.UID, owner.GID); err != nil {
			_ = d.root.Remove(name)
			return targetError{err}
		}
	}
	// The time of a link is of so little use that not every system keeps one.
	_ = setTime(d.f, name, e.mtime)
	if name == e.name {
		return nil
	}
	if err := d.root.Rename(name, e.name); err != nil {
		_ = d.root.Remove(name)
		return targetError{err}
	}
	return nil
}

// file writes one regular file, whose path is only for messages.
func (r *runner) file(e *entry, d *folder, path string) (n int64, err error) {
	src, err := r.src.Open(path)
	if err != nil {
		return 0, err
	}
	defer src.Close()
	size := e.size
	if e.moving {
		size = -1
	} else if st, err := src.Stat(); err != nil {
		return 0, err
	} else if !st.Mode().IsRegular() || st.Size() != size {
		return 0, fmt.Errorf("changed since the plan was made: %d bytes then, %d now", size, st.Size())
	}
	var f *os.File
	temp := e.name
	if perm := r.opts.filePerm(e.mode); r.opts.staged {
		f, err = d.create(temp, perm)
	} else {
		f, temp, err = d.temp(perm)
	}
	if err != nil {
		return 0, targetError{err}
	}
	defer func() {
		if err != nil {
			f.Close()
			_ = d.root.Remove(temp)
		}
	}()
	r.opts.at("create " + path)
	sum := r.opts.hasher()
	if n, err = r.content(r.ctx, f, src, size, sum, r.progress(path)); err != nil {
		return n, err
	}
	r.opts.at("seal " + path)
	if err := r.seal(f, d, e, temp, n); err != nil {
		return n, targetError{err}
	}
	if err := context.Cause(r.ctx); err != nil {
		return n, err
	}
	if sum != nil {
		e.extra().sum = sum.Sum(nil)
	}
	if r.opts.Verify && !r.later(n) {
		if err := r.verify(d, e, temp); err != nil {
			return n, err
		}
	}
	if r.opts.staged {
		return n, nil
	}
	r.opts.at("publish " + path)
	if err := d.publish(temp, e.name, e.action == ActionOverwrite); err != nil {
		return n, targetError{err}
	}
	return n, nil
}

// later reports whether a file of that size is synced and verified with all
// others at the end. The disk had better work on large ones while others are
// copied.
func (r *runner) later(size int64) bool { return r.atOnce && size < bufSize }

// seal gives a written file its mode and time, makes it last, and closes it.
func (r *runner) seal(f *os.File, d *folder, e *entry, temp string, size int64) error {
	if r.opts.FileMode != 0 {
		if err := f.Chmod(r.opts.filePerm(e.mode)); err != nil {
			return err
		}
	}
	if o := r.opts.Owner; o != nil {
		if err := f.Chown(o.UID, o.GID); err != nil {
			return err
		}
	}
	if err := setTime(d.f, temp, e.mtime); err != nil {
		return err
	}
	if r.syncs() && !r.later(size) {
		if err := durable.Sync(r.ctx, f, size); err != nil {
			return err
		}
	}
	return f.Close()
}
