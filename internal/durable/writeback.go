package durable

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// writebackStep is how many bytes are brought to the disk at once.
const writebackStep = 16 << 20

// Writeback brings a file to the disk while it is being written, from its start
// on and all by one writer. Without it all is left to the sync at the end, which
// takes long for a large file, and which nothing can interrupt.
//
// The zero value with File set is ready. It must not be copied.
type Writeback struct {
	File *os.File

	at    int64 // where the writer is
	asked int64 // up to here the system was asked to write
	done  int64 // up to here it has
	off   bool  // the file system cannot
	err   error
}

// Write writes to the file. It makes Writeback an [io.Writer].
func (w *Writeback) Write(b []byte) (int, error) {
	n, err := w.File.Write(b)
	w.Wrote(int64(n))
	if err == nil {
		err = w.err
	}
	return n, err
}

// Wrote says that n more bytes are in the file. It may wait for some of those
// before them.
func (w *Writeback) Wrote(n int64) {
	w.at += n
	for w.at-w.asked >= writebackStep && !w.off && w.err == nil {
		w.sync(w.asked, unix.SYNC_FILE_RANGE_WRITE)
		w.asked += writebackStep
		if w.asked-w.done > writebackStep && w.err == nil {
			w.sync(w.done, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
			w.done += writebackStep
		}
	}
}

// sync does something with one step.
func (w *Writeback) sync(from int64, flags int) {
	err := unix.SyncFileRange(int(w.File.Fd()), from, writebackStep, flags)
	switch {
	case err == nil || errors.Is(err, unix.EINTR):
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ESPIPE), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPERM):
		w.off = true
	default:
		// It is told once: a sync that follows knows nothing of it.
		w.err = &os.PathError{Op: "write", Path: w.File.Name(), Err: err}
	}
}

// Sync syncs the file. The error is also one of the bytes that are on the disk
// already.
func (w *Writeback) Sync() error {
	if w.err != nil {
		return w.err
	}
	return w.File.Sync()
}

// Sync syncs a file that has size bytes. It ends with ctx, if only between two
// steps: the bytes are brought to the disk step by step first.
func Sync(ctx context.Context, f *os.File, size int64) error {
	w := Writeback{File: f}
	for w.at < size {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		w.Wrote(min(writebackStep, size-w.at))
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return w.Sync()
}
