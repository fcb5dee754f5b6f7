package boltview

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/snapfs/snapfs/internal/attr"
)

// Mapping is a file mapped into memory, to be read without system calls. It is
// an [io.ReaderAt] that any number of databases may be opened on, each through
// an [io.SectionReader].
//
// Nothing that a reader gets ever points into the map. So a file that is cut while
// it is mapped, or a disk that fails, makes reads return an error, and does not
// end the process.
type Mapping struct {
	f    *os.File
	data []byte
	// users counts reads under way, and 1 until Close.
	users  atomic.Int64
	closed atomic.Bool
	// read counts bytes since pages were last given back.
	read atomic.Int64
	// cursors are those of all databases in the map.
	cursors sync.Pool
}

// Pages of a map count as memory of the process while they are mapped, although
// the system can have them back at any time: a pass over a large file would
// make this process look as large. So a map of more than keepMapped bytes gives
// its pages back each time keepRead bytes were read. They stay in the cache of
// the system, but touching one again takes several times as long, which is why
// smaller maps keep them.
const (
	keepMapped = 128 << 20
	keepRead   = 64 << 20
)

var _ attr.Extent = (*Mapping)(nil)

// Map maps the whole of f as it is now. f may be closed after that, unless
// [Mapping.Extent] is used. Where files cannot be mapped the error is
// [errors.ErrUnsupported].
func Map(f *os.File) (*Mapping, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := fi.Size()
	if !fi.Mode().IsRegular() || size != int64(int(size)) {
		return nil, fmt.Errorf("map %s: %w", f.Name(), errors.ErrUnsupported)
	}
	m := &Mapping{f: f}
	if size > 0 { // there is no map of nothing
		if m.data, err = mmap(f, int(size)); err != nil {
			return nil, fmt.Errorf("map %s: %w", f.Name(), err)
		}
	}
	m.users.Store(1)
	return m, nil
}

// Size returns how many bytes are mapped.
func (m *Mapping) Size() int64 { return int64(len(m.data)) }

// Extent implements attr.Extent: the whole file.
func (m *Mapping) Extent() (*os.File, int64, bool) { return m.f, 0, true }

// ReadAt implements [io.ReaderAt]. After Close it returns [os.ErrClosed].
func (m *Mapping) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read a map: negative offset")
	}
	if off >= int64(len(m.data)) {
		return 0, io.EOF
	}
	err = m.guard(func() error {
		n = copy(b, m.data[off:])
		if len(m.data) > keepMapped && m.read.Add(int64(n)) >= keepRead {
			m.read.Store(0)
			release(m.data)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// guard calls f, which may touch the map; what f leaves behind must not. Where
// the file has lost a page that is in the map, the error says so.
func (m *Mapping) guard(f func() error) (err error) {
	if !m.enter() {
		return os.ErrClosed
	}
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		m.leave()
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // a fault
			err = fmt.Errorf("read a mapped file: %w: the file is shorter than it was, or its disk fails", io.ErrUnexpectedEOF)
		default:
			panic(r)
		}
	}()
	return f()
}

// mapped returns the bytes of r, of which there are size, if they lie in a map.
func mapped(r io.ReaderAt, size int64) (*Mapping, []byte) {
	var off int64
	for {
		switch s := r.(type) {
		case *Mapping:
			if off < 0 || size < 0 || off+size > int64(len(s.data)) {
				return nil, nil
			}
			return s, s.data[off : off+size]
		case *io.SectionReader:
			under, start, n := s.Outer()
			if off < 0 || off+size > n {
				return nil, nil
			}
			r, off = under, start+off
		default:
			return nil, nil
		}
	}
}

// enter begins a read. It returns false after Close.
func (m *Mapping) enter() bool {
	for !m.closed.Load() {
		// From 0 there is no way back: the map is gone.
		n := m.users.Load()
		if n == 0 {
			return false
		}
		if m.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
	return false
}

// leave ends a read. The last one after Close unmaps.
func (m *Mapping) leave() {
	if m.users.Add(-1) == 0 {
		munmap(m.data)
	}
}

// Close unmaps the file once the reads under way are done. It does not close
// the file.
func (m *Mapping) Close() error {
	if m.closed.Swap(true) {
		return os.ErrClosed
	}
	m.leave()
	return nil
}
