package restore

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/copyrange"
)

const (
	bufSize = 1 << 20

	// minRange is the size in bytes from which on the kernel copies: of less, to
	// read and write takes no longer.
	minRange = 64 << 10
)

var (
	errLong  = errors.New("file is longer than its size")
	errCount = errors.New("reader returned an impossible count")
)

// targetError is an error of the side that is written to.
type targetError struct{ error }

func (e targetError) Unwrap() error { return e.error }

// content copies size bytes from src to the beginning of dst, and makes sure
// that src ends there. A negative size means up to the end. It returns the
// number of bytes copied; errors of dst are targetErrors. A sum, if there is
// one, gets all that is read.
func (r *runner) content(ctx context.Context, dst *os.File, src fs.File, size int64, sum hash.Hash, progress func(int64)) (int64, error) {
	var done int64
	in, seekable := src.(io.ReaderAt)
	if seekable && size >= minRange && sum == nil {
		var err error
		if done, err = r.byRange(ctx, dst, src, size, progress); err != nil {
			return done, err
		}
	}
	buf := r.bufs.Get().(*[bufSize]byte)
	defer r.bufs.Put(buf)
	if done > 0 && done == size {
		// The kernel does not know that a file has changed since the tree was opened.
		// A read through the tree fails then.
		if n, err := fill(src, in, buf[:1], done-1); n == 0 {
			return done, err
		}
	}
	for done != size {
		if err := context.Cause(ctx); err != nil {
			return done, err
		}
		want := bufSize
		if size >= 0 {
			want = int(min(bufSize, size-done))
		}
		n, err := fill(src, in, buf[:want], done)
		if n > 0 {
			if _, err := dst.WriteAt(buf[:n], done); err != nil {
				return done, targetError{err}
			}
			if sum != nil {
				sum.Write(buf[:n])
			}
			done += int64(n)
			progress(int64(n))
		}
		switch {
		case done == size:
		case err == io.EOF && size < 0:
			return done, nil
		case err == io.EOF:
			return done, fmt.Errorf("file ends after %d of %d bytes: %w", done, size, io.ErrUnexpectedEOF)
		case err != nil:
			return done, err
		}
	}
	if x, ok := src.(attr.Extent); ok && size >= 0 {
		if _, _, ok := x.Extent(); ok {
			return done, nil // it has no more than its size; a read to see that costs as much as one of the content
		}
	}
	if n, _ := fill(src, in, buf[:1], done); n > 0 {
		return done, fmt.Errorf("%w of %d bytes", errLong, size)
	}
	return done, nil
}

// fill reads until p is full or there is an error, at off if in is not nil.
func fill(src fs.File, in io.ReaderAt, p []byte, off int64) (int, error) {
	done, idle := 0, 0
	for done < len(p) {
		var n int
		var err error
		if in != nil {
			n, err = in.ReadAt(p[done:], off+int64(done))
		} else {
			n, err = src.Read(p[done:])
		}
		if n < 0 || n > len(p)-done {
			return done, errCount
		}
		done += n
		if err != nil {
			return done, err
		}
		if idle++; n > 0 {
			idle = 0
		} else if idle == 100 {
			return done, io.ErrNoProgress
		}
	}
	return done, nil
}

// byRange lets the kernel copy as much as it can, and returns how much that
// was. What is left, because of an error of either side too, is for the
// caller to try again: a read there tells whose fault it is.
func (r *runner) byRange(ctx context.Context, dst *os.File, src fs.File, size int64, progress func(int64)) (done int64, err error) {
	if r.noRange.Load() {
		return 0, nil
	}
	var from *os.File
	var off int64
	switch f := src.(type) {
	case *os.File:
		from = f
	case attr.Extent:
		var ok bool
		if from, off, ok = f.Extent(); !ok {
			return 0, nil
		}
	default:
		return 0, nil
	}
	if size >= bufSize {
		preallocate(dst, size)
	}
	done, err = copyrange.Copy(ctx, dst, 0, from, off, size, progress)
	var full *fs.PathError
	switch {
	case errors.As(err, &full):
		return done, targetError{err}
	case errors.Is(err, errors.ErrUnsupported):
		// It will be the same for the next file.
		r.noRange.Store(true)
		return done, nil
	}
	return done, err
}
