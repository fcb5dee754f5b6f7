package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// finish sets the times of directories, from the innermost up since each
// file made in a directory changes its time, and syncs them.
func (r *runner) finish(ctx context.Context, top *os.File) error {
	each := func(do func(d *dir, f *os.File) error) error {
		for i := len(r.dirs) - 1; i >= 0; i-- {
			d := &r.dirs[i]
			if !d.needed || r.made[i] != nil {
				continue
			}
			if err := context.Cause(ctx); err != nil {
				return err
			}
			f, err := r.root.OpenFile(d.path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
			if err == nil {
				err = do(d, f)
				f.Close()
			}
			if err != nil {
				r.fail(d.path, targetError{err})
			}
		}
		return nil
	}
	err := each(func(d *dir, f *os.File) error {
		st, err := f.Stat()
		if err == nil && r.opts.staged && !r.opts.dressed(st) {
			err = r.dressDir(f)
		}
		if err != nil || d.path == "." || sameTime(d.mtime, st.ModTime()) {
			return err
		}
		err = setTime(f, ".", d.mtime)
		if d.exists && errors.Is(err, fs.ErrPermission) {
			return nil // somebody else's directory
		}
		return err
	})
	if err != nil {
		return err
	}
	if !r.atOnce {
		return each(func(_ *dir, f *os.File) error { return r.syncDir(f) })
	}
	r.opts.at("sync all")
	if err := unix.Syncfs(int(top.Fd())); err != nil {
		r.fail(".", targetError{os.NewSyscallError("syncfs", err)})
	} else if r.opts.Verify {
		r.verifyAll()
	}
	return context.Cause(ctx)
}

// dressDir gives a directory of a staged tree its mode and owner again, for
// whoever made it may have been killed before that.
func (r *runner) dressDir(f *os.File) error {
	if r.opts.DirMode != 0 {
		if err := f.Chmod(r.opts.dirPerm(0)); err != nil {
			return err
		}
	}
	if o := r.opts.Owner; o != nil {
		return f.Chown(o.UID, o.GID)
	}
	return nil
}

// syncDir makes the names in a directory last, unless that is not wanted.
func (r *runner) syncDir(f *os.File) error {
	if r.opts.NoSync {
		return nil
	}
	r.opts.at("sync " + f.Name())
	return syncFolder(f)
}

// syncFolder makes the names in a directory last, where the file system can.
func syncFolder(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
