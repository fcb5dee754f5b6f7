// Package durable gives a file that is complete its name, so that it has the
// name for good or not at all.
package durable

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Temp makes a file beside that of a name, which takes the name by [Rename] or
// [Replace] when it is complete. Errors are about the name.
func Temp(name string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".snapfs-*.tmp")
	var cause *os.PathError
	if errors.As(err, &cause) {
		err = &os.PathError{Op: "write", Path: name, Err: cause.Err}
	}
	return f, err
}

// Rename gives the file from the name to, which must be on the same file system
// and free: the error matches [os.ErrExist] if it is not. That the new name lasts
// is for [SyncDir] to see to.
func Rename(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		// The file system cannot do that; a link is not made over a file either.
		if err := os.Link(from, to); err != nil {
			return err
		}
		return os.Remove(from)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// ErrNotRegular is returned for a name that something else than a file has, such
// as a device.
var ErrNotRegular = errors.New("is not a regular file")

// Regular returns an error that matches [ErrNotRegular] if there is something of
// that name, through links, that is no regular file. Who may do everything would
// take its name from /dev/null by renaming a file to it.
func Regular(name string) error {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return &os.PathError{Op: "replace", Path: name, Err: ErrNotRegular}
	}
	return nil
}

// Replace gives the file from the name to, in place of a file that has it. Both
// must be on the same file system. The error matches [ErrNotRegular] if
// [Regular] says so. That the new name lasts is for [SyncDir] to see to.
func Replace(from, to string) error {
	if err := Regular(to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// SyncDir makes the names in a directory last, where the file system can.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err = d.Sync(); errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
