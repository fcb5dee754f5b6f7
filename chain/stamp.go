package chain

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// ErrChanged is returned when a file of a view is opened or read, and its tar
// was written to after the chain had been opened: what lies at the offset of a
// member may be anything by then. A tar that was removed, or had another one
// moved to its place, is no such case: see [ErrReplaced].
var ErrChanged = errors.New("changed on disk since the chain was opened")

// stamp is what tells whether a file was written to.
type stamp struct {
	size  int64
	mtime unix.Timespec
}

// stampOf returns the stamp of an open file. It is asked for at each read, so
// it does without the FileInfo of package os, which is made on the heap.
func stampOf(f *os.File) (stamp, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstat(int(f.Fd()), &st)
		if err == nil {
			return stamp{st.Size, st.Mtim}, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return stamp{}, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
		}
	}
}

// Changed returns an error that matches [ErrChanged] and says what has changed, if
// the tar was written to since the chain was opened.
func (l *Layer) Changed() error {
	if l.file == nil {
		return nil
	}
	now, err := stampOf(l.file)
	switch {
	case err != nil:
		return err
	case now == l.stamp:
		return nil
	case now.size != l.stamp.size:
		return fmt.Errorf("%s: %w: it had %d bytes and has %d", l.Path, ErrChanged, l.stamp.size, now.size)
	}
	return fmt.Errorf("%s: %w: it was written to at %s", l.Path, ErrChanged, time.Unix(now.mtime.Unix()).UTC().Format(time.RFC3339))
}

// content returns the content of a member, which fails once the tar has
// changed.
func (l *Layer) content(member int) (io.ReaderAt, error) {
	if err := l.Changed(); err != nil {
		return nil, err
	}
	r, err := l.index.Content(member)
	if err != nil {
		return nil, err
	}
	s := steady{r, l}
	if e, ok := r.(attr.Extent); ok {
		return &steadyExtent{s, e}, nil
	}
	return &s, nil
}

// steady reads what was there when the chain was opened, or fails.
type steady struct {
	r io.ReaderAt
	l *Layer
}

// ReadAt looks at the tar after it has read, not before: the bytes are then from
// a time at which it was as it should.
func (s *steady) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if changed := s.l.Changed(); changed != nil {
		return 0, changed
	}
	return n, err
}

// steadyExtent is content that lies in one piece.
type steadyExtent struct {
	steady
	extent attr.Extent
}

// Extent implements [attr.Extent].
func (s *steadyExtent) Extent() (*os.File, int64, bool) { return s.extent.Extent() }

// Changed implements [attr.Steady].
func (s *steadyExtent) Changed() error { return s.l.Changed() }

// Runs yields where the contents of all files of at least min bytes are, in any
// layer and so in any view, as far as they lie in one piece. What is read from
// there without the chain is not checked for [ErrChanged].
func (c *Chain) Runs(min int64) iter.Seq[attr.Run] {
	return func(yield func(attr.Run) bool) {
		for _, l := range c.layers {
			if l.index == nil {
				continue
			}
			for r := range l.index.Runs(min) {
				if !yield(r) {
					return
				}
			}
		}
	}
}
