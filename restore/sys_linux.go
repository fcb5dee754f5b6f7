package restore

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// device returns the number of the file system that holds a file.
func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}

// inode returns the number of a file within its file system.
func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// lock takes the lock of a target; it is gone when f is closed. A file system
// without locks gives none and no error.
func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	return nil
}

// setTime sets the time of modification of name in the directory d, of a link
// itself. The zero time, and one that the system has no number for, is let be.
func setTime(d *os.File, name string, t time.Time) error {
	if t.IsZero() {
		return nil
	}
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return nil
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, ts}
	if err := unix.UtimesNanoAt(int(d.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimensat", Path: name, Err: err}
	}
	return nil
}

// createNew makes a file of a name, which is one element, in the directory d. It
// is what os.Root does, less the five system calls by which package os finds out
// that a file cannot be polled.
func createNew(d *os.File, name string, perm fs.FileMode) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(d.Fd()), name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(perm.Perm()))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		default:
			return os.NewFile(uintptr(fd), name), nil
		}
	}
}

// renameNew renames a file within the directory d; fs.ErrExist if there is
// something of the new name. ok is false if the file system cannot do that.
func renameNew(d *os.File, from, to string) (ok bool, err error) {
	err = unix.Renameat2(int(d.Fd()), from, int(d.Fd()), to, unix.RENAME_NOREPLACE)
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
		return false, nil
	case err != nil:
		return true, &fs.PathError{Op: "rename", Path: to, Err: err}
	}
	return true, nil
}

// syncsAtOnce reports whether f is on a file system where syncfs(2) does for all
// files what fsync(2) does for one, and reports errors as well.
func syncsAtOnce(f *os.File) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return false
	}
	const xfs, f2fs = 0x58465342, 0xf2f52010
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, xfs, f2fs:
		return true
	}
	return false
}

// preallocate asks for the blocks of a file in one go. Where that cannot be had
// they come while it is written, and if there are too few, the write tells.
func preallocate(f *os.File, size int64) {
	_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
}

// forget asks the system to drop what it holds of a synced file in memory, so
// that the next read is one of the disk. Not every file system obeys.
func forget(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// full reports whether err means that there is no use in writing more files.
func full(err error) bool {
	for _, errno := range [...]error{
		unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO, unix.ESTALE, unix.ENXIO, unix.ENODEV, unix.EMFILE, unix.ENFILE,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return errors.Is(err, ErrVerify)
}
