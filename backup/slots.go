package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/durable"
	"github.com/snapfs/snapfs/internal/hint"
)

// slots are the files that answers are written to. The first, PATH.pending, is
// the lock of the chain as well. Readers of chains leave both out.
//
// The lock is on the file that has the name while the lock is held: who gets it
// on a file that was renamed or removed meanwhile begins again. So no file is
// left behind that is nothing but a lock.
type slots struct {
	base  string
	files [2]*os.File // the second may be nil
	stale int64       // bytes that the first held
}

// path returns the name of a file.
func (s *slots) path(i int) string {
	if i == 0 {
		return s.base + ".pending"
	}
	return s.base + ".retry.pending"
}

// lock takes the lock of the chain at path.
func lock(path string) (*slots, error) {
	s := &slots{base: path}
	for {
		f, err := os.OpenFile(s.path(0), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, hint.Wrap(err, "make the directory first: mkdir -p %s", hint.Quote(filepath.Dir(path)))
		}
		if err != nil {
			return nil, err
		}
		ok, err := s.try(f)
		if err != nil || !ok {
			f.Close()
		}
		if err != nil {
			return nil, err
		}
		if ok {
			// Of a backup that was killed while it asked again. What cannot be removed
			// is in the way only if this one does so too.
			_ = os.Remove(s.path(1))
			return s, nil
		}
	}
}

// try locks a file that was opened by the name of the first slot. ok is false if
// that is another file by now.
func (s *slots) try(f *os.File) (ok bool, err error) {
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !st.Mode().IsRegular() {
		return false, &fs.PathError{Op: "open", Path: f.Name(), Err: errors.New("not a regular file")}
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return false, hint.Wrap(fmt.Errorf("%s: %w", s.base, ErrLocked), "wait for it to end; it holds the lock of %s", hint.Quote(f.Name()))
	case err != nil:
		// Without the lock, two backups could take the same number.
		return false, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	now, err := os.Lstat(f.Name())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !os.SameFile(st, now):
		return false, nil
	}
	if st, err = f.Stat(); err != nil {
		return false, err
	}
	s.files[0], s.stale = f, st.Size()
	return true, nil
}

// open returns the file of a slot, empty.
func (s *slots) open(i int) (*os.File, error) {
	if s.files[i] == nil {
		if err := os.Remove(s.path(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		f, err := os.OpenFile(s.path(i), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		s.files[i] = f
	}
	f := s.files[i]
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	_, err := f.Seek(0, 0)
	return f, err
}

// publish gives the file of a slot its final name, on disk. There must be
// nothing of that name, and nobody else may have touched the file, which has
// size bytes: the old client knows no locks.
func (s *slots) publish(i int, size int64, name string) error {
	f := s.files[i]
	if err := f.Sync(); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Lstat(s.path(i)); err != nil || !os.SameFile(st, now) || st.Size() != size {
		return fmt.Errorf("%s: another program has changed it", s.path(i))
	}
	if err := durable.Rename(s.path(i), name); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("%s is taken, but may not be on disk: %w", name, err)
	}
	return nil
}

// close removes what still has the name of a slot, and gives the lock back.
func (s *slots) close() error {
	var errs []error
	// The lock is the last to go.
	for i := len(s.files) - 1; i >= 0; i-- {
		f := s.files[i]
		if f == nil {
			continue
		}
		if st, err := f.Stat(); err == nil {
			if now, err := os.Lstat(s.path(i)); err == nil && os.SameFile(st, now) {
				errs = append(errs, os.Remove(s.path(i)))
			}
		}
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
