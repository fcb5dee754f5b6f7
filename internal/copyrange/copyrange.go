// Package copyrange lets the kernel copy bytes from file to file, which spares
// the way through memory and, where the file system can, the copy itself.
package copyrange

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Step is the number of bytes that are copied at once, so that cancellation is
// prompt.
const Step = 8 << 20

// Copy copies n bytes at srcOff of src to dstOff of dst; a negative dstOff
// stands for the offset of dst itself, which moves then. That of src never
// moves. Progress is called with the bytes of each step.
//
// It returns how many bytes it copied. That can be less than n without an
// error: the kernel would not go on, and who reads and writes the rest finds
// out why. The error is that of ctx, an [*fs.PathError] for dst if its file
// system is full, or matches [errors.ErrUnsupported] if it will be the same
// for all files of these file systems.
func Copy(ctx context.Context, dst *os.File, dstOff int64, src *os.File, srcOff, n int64, progress func(int64)) (done int64, err error) {
	at := &dstOff
	if dstOff < 0 {
		at = nil
	}
	for done < n {
		if err := context.Cause(ctx); err != nil {
			return done, err
		}
		k, err := unix.CopyFileRange(int(src.Fd()), &srcOff, int(dst.Fd()), at, int(min(Step, n-done)), 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
			return done, &fs.PathError{Op: "write", Path: dst.Name(), Err: err}
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EXDEV), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPERM):
			return done, fmt.Errorf("copy_file_range: %w: %w", errors.ErrUnsupported, err)
		case err != nil, k <= 0:
			return done, nil
		}
		done += int64(k)
		progress(int64(k))
	}
	return done, nil
}
