package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// errno returns what the kernel shall be told of err. What has no errno of its
// own is EIO.
func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var no syscall.Errno
	switch {
	case errors.As(err, &no):
		// ENOSYS would switch the operation off for the whole mount, and
		// numbers from 512 on are the kernel's own.
		if no == 0 || no == syscall.ENOSYS || no >= 512 {
			return syscall.EIO
		}
		return no
	case errors.Is(err, iofs.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, iofs.ErrPermission):
		return syscall.EACCES
	case errors.Is(err, iofs.ErrInvalid):
		return syscall.EINVAL
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return syscall.EINTR
	}
	return syscall.EIO
}

// fail returns the status for err, and logs the cause if it is lost in an EIO.
func (m *mount) fail(op, name string, err error) fuse.Status {
	no := errno(err)
	if no == syscall.EIO {
		m.log.Error("input/output error", "op", op, "path", name, "cause", err)
	}
	return fuse.Status(no)
}
