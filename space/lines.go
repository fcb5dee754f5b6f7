package space

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"strings"
	"sync"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
)

const (
	// chunk is how many bytes are made at a time, but for the last line.
	chunk = 32 << 10

	// markEvery is how many bytes lie between two marks of a file, at first,
	// and maxMarks how many marks there are before every other is dropped.
	markEvery = 256 << 10
	maxMarks  = 1024
)

// lines makes the points of a series as line protocol, forward only. What cannot
// be read is a comment in its place, so that all the rest can be had, and makes
// an error of the end.
type lines struct {
	next   func() (influx.Point, error, bool)
	stop   func()
	series []byte // what all lines begin with
	buf    []byte // made, from pos on not yet read
	pos    int
	off    int64 // of what is read next
	end    error // after buf; nil while there is more
	failed int   // errors
	first  error // of those
	mark   func(off, time int64)
}

// newLines begins at a point in time that is written at off.
func newLines(set *dataset.Set, s dataset.Series, from, off int64, mark func(off, time int64)) *lines {
	f := dataset.Filter{From: from, To: math.MaxInt64}
	l := &lines{off: off, mark: mark}
	l.next, l.stop = iter.Pull2(set.Points(s, f))
	var err error
	if l.series, err = influx.AppendSeries(nil, s.Measurement, s.Tags); err != nil {
		l.stop()
		l.fail(err)
		l.finish()
	}
	return l
}

// fail writes an error as a comment.
func (l *lines) fail(err error) {
	l.failed++
	if l.first == nil {
		l.first = err
	}
	l.comment(err)
}

func (l *lines) comment(err error) {
	text := strings.NewReplacer("\n", " ", "\r", " ").Replace(err.Error())
	l.buf = append(append(append(l.buf, "# "...), text...), '\n')
}

func (l *lines) finish() {
	l.end = io.EOF
	if l.failed > 0 {
		l.end = fmt.Errorf("%d errors, which are comments in the file; the first: %w", l.failed, l.first)
	}
}

// fill makes the next chunk.
func (l *lines) fill() {
	l.buf, l.pos = l.buf[:0], 0
	for l.end == nil && len(l.buf) < chunk {
		p, err, more := l.next()
		if !more {
			l.finish()
			break
		}
		if err != nil {
			l.fail(err)
			continue
		}
		// After an error nobody knows whether it would come again.
		if l.failed == 0 && len(l.buf) == 0 {
			l.mark(l.off, p.Time)
		}
		if l.buf, err = influx.AppendPoint(l.buf, l.series, p, influx.Nanosecond); err != nil {
			l.comment(fmt.Errorf("at %d: %w", p.Time, err))
		}
	}
}

// read reads up to len(p) bytes.
func (l *lines) read(p []byte) (int, error) {
	for n := 0; ; {
		if l.pos == len(l.buf) {
			if l.end != nil {
				return n, l.end
			}
			l.fill()
			continue
		}
		m := copy(p[n:], l.buf[l.pos:])
		n, l.pos, l.off = n+m, l.pos+m, l.off+int64(m)
		if n == len(p) {
			return n, nil
		}
	}
}

// skip goes on to an offset, or to the end.
func (l *lines) skip(off int64) error {
	for l.off < off {
		if l.pos == len(l.buf) {
			if l.end != nil {
				return l.end
			}
			l.fill()
			continue
		}
		m := min(int64(len(l.buf)-l.pos), off-l.off)
		l.pos, l.off = l.pos+int(m), l.off+m
	}
	return nil
}

// lineFile is an open file of line protocol. Its content is made while it is
// read; going back makes it again, from the last mark before.
type lineFile struct {
	info   lineInfo
	set    *dataset.Set
	series dataset.Series

	mu    sync.Mutex
	at    *lines // nil at the start and after Close
	pos   int64  // of Read
	marks []mark // ascending
	every int64  // bytes between two
}

// mark is the offset of the line of a point.
type mark struct{ off, time int64 }

// Stat implements [fs.File].
func (f *lineFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Read implements [fs.File].
func (f *lineFile) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.readAt(p, f.pos)
	f.pos += int64(n)
	if n > 0 {
		err = nil // it comes again
	}
	return n, err
}

// ReadAt implements [io.ReaderAt]. Concurrent calls wait for each other.
func (f *lineFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.info.name, Err: errors.New("negative offset")}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readAt(p, off)
}

func (f *lineFile) readAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	f.seek(off)
	err := f.at.skip(off)
	n := 0
	if err == nil {
		n, err = f.at.read(p)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &fs.PathError{Op: "read", Path: f.info.name, Err: err}
	}
	return n, err
}

// seek makes at one that is at off or before, as near as can be.
func (f *lineFile) seek(off int64) {
	m := mark{0, math.MinInt64}
	for _, x := range f.marks {
		if x.off <= off {
			m = x
		}
	}
	if f.at != nil && f.at.off <= off && f.at.off >= m.off {
		return
	}
	f.rewind()
	f.at = newLines(f.set, f.series, m.time, m.off, f.addMark)
}

func (f *lineFile) addMark(off, time int64) {
	if f.every == 0 {
		f.every = markEvery
	}
	last := int64(0)
	if n := len(f.marks); n > 0 {
		last = f.marks[n-1].off
	}
	if off < last+f.every {
		return
	}
	if len(f.marks) == maxMarks {
		for i := range maxMarks / 2 {
			f.marks[i] = f.marks[2*i]
		}
		f.marks = f.marks[:maxMarks/2]
		f.every *= 2
	}
	f.marks = append(f.marks, mark{off, time})
}

func (f *lineFile) rewind() {
	if f.at != nil {
		f.at.stop()
		f.at = nil
	}
}

// Close implements [fs.File].
func (f *lineFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rewind()
	return nil
}
