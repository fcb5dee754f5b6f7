package fs

import (
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// file is an open regular file. Reading takes no lock.
type file struct {
	m        *mount
	path     string
	file     iofs.File
	content  io.ReaderAt
	size     int64 // bytes that are promised; the file may end earlier if volatile
	volatile bool
	logged   atomic.Bool // the first error was
	push     bool        // into the kernel's cache, when it is opened
	backed
}

func (m *mount) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY || in.Flags&syscall.O_TRUNC != 0 {
		return fuse.EROFS
	}
	n := m.nodes.get(in.NodeId)
	if n == nil {
		return errStale
	}
	path := n.path()
	f, err := m.openFile(path)
	if err != nil {
		return m.fail("open", path, err)
	}
	// There is nothing to write back at close(2), so no need to be asked.
	out.OpenFlags = fuse.FOPEN_NOFLUSH
	if f.volatile {
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
	} else if id := f.back(n); id != 0 {
		out.OpenFlags |= fuse.FOPEN_PASSTHROUGH
		out.BackingID = id
	} else {
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
		f.push = f.small() && m.pushes.begin(n.ino)
	}
	out.Fh = m.files.add(f)
	return fuse.OK
}

func (m *mount) openFile(name string) (*file, error) {
	f, err := m.tree.Open(name)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && fi.IsDir() {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	h := &file{m: m, path: name, file: f, size: fi.Size(), volatile: attr.IsVolatile(fi)}
	if r, ok := f.(io.ReaderAt); ok {
		h.content = r
	} else {
		h.content = &sequential{file: f, open: func() (iofs.File, error) { return m.tree.Open(name) }}
		h.file = nil // the sequential reader closes it
	}
	return h, nil
}

func (m *mount) Read(_ <-chan struct{}, in *fuse.ReadIn, dest []byte) (fuse.ReadResult, fuse.Status) {
	f := m.files.get(in.Fh)
	if f == nil {
		return nil, errHandle
	}
	off := int64(in.Offset)
	var n int
	var err error
	if f.volatile {
		n, err = f.readVolatile(dest, off)
	} else {
		n, err = f.read(dest, off)
	}
	if err != nil {
		no := errno(err)
		if no == syscall.EIO && !f.logged.Swap(true) {
			m.log.Error("input/output error", "op", "read", "path", f.path, "offset", off, "cause", err)
		}
		return nil, fuse.Status(no)
	}
	return fuse.ReadResultData(dest[:n]), fuse.OK
}

// mostNow is the most bytes of a read for which it is worth while to look whether
// they are in memory.
const mostNow = 16 << 10

// readNow is a read that waits for nothing. ok is false if there may be bytes for
// which it would have to; n is 0 if there is an error, or if there is nothing to
// read: Read tells which.
func (m *mount) readNow(fh uint64, dest []byte, off uint64) (n int, ok bool) {
	f := m.files.get(fh)
	if f == nil {
		return 0, true
	}
	e, ok := f.file.(attr.Extent)
	if !ok || off >= uint64(f.size) {
		return 0, false
	}
	under, start, ok := e.Extent()
	if !ok {
		return 0, false
	}
	dest = dest[:min(int64(len(dest)), f.size-int64(off))]
	n, err := unix.Preadv2(int(under.Fd()), [][]byte{dest}, start+int64(off), unix.RWF_NOWAIT)
	switch {
	case err == unix.EOPNOTSUPP: // tmpfs
		if !cached(under, start+int64(off), int64(len(dest))) {
			return 0, false
		}
		n, err = f.read(dest, int64(off))
	case err != nil || n < len(dest):
		return 0, false
	default:
		if s, ok := f.file.(attr.Steady); ok {
			err = s.Changed()
		}
	}
	if err != nil {
		n = 0
	}
	return n, true
}

// cached reports whether all pages of a run of bytes are in memory.
func cached(f *os.File, off, size int64) bool {
	page := int64(os.Getpagesize())
	first, last := off/page, (off+size-1)/page
	var stat unix.Cachestat_t
	err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Off: uint64(off), Len: uint64(size)}, &stat, 0)
	return err == nil && int64(stat.Cache) == last-first+1
}

// read reads up to the size of the file, all or nothing: a reply that is short
// of what was asked for is the end of the file for the kernel. It then makes
// the file smaller and the rest of its pages zeros, and keeps both. After an
// error it asks again page by page, so that what can be read is read.
func (f *file) read(dest []byte, off int64) (int, error) {
	if off < 0 || off >= f.size {
		return 0, nil
	}
	dest = dest[:min(int64(len(dest)), f.size-off)]
	n, err := f.content.ReadAt(dest, off)
	if n == len(dest) {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// readVolatile reads what there is. Nothing of it is cached, so that a short
// reply is no more than that, and an error can wait for the next read.
func (f *file) readVolatile(dest []byte, off int64) (int, error) {
	n, err := f.content.ReadAt(dest, off)
	if n > 0 || errors.Is(err, io.EOF) {
		return n, nil
	}
	return 0, err
}

func (m *mount) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	f := m.files.remove(in.Fh)
	if f == nil {
		return
	}
	if err := f.close(); err != nil {
		m.log.Debug("close", "path", f.path, "cause", err) // it can be told nobody
	}
}

func (f *file) close() error {
	err := f.release()
	if f.small() {
		f.m.pushes.end(f.n.ino)
	}
	if f.file != nil {
		return errors.Join(err, f.file.Close())
	}
	if c, ok := f.content.(io.Closer); ok {
		return errors.Join(err, c.Close())
	}
	return err
}

// sequential reads at any offset from a file that only goes forward, by opening
// it again to go back.
type sequential struct {
	open func() (iofs.File, error)

	mu   sync.Mutex
	file iofs.File // nil after a failed open
	pos  int64
}

func (s *sequential) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil || off < s.pos {
		if err := s.reopen(); err != nil {
			return 0, err
		}
	}
	skipped, err := io.CopyN(io.Discard, s.file, off-s.pos)
	s.pos += skipped
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.file, p)
	s.pos += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

func (s *sequential) reopen() error {
	if err := s.close(); err != nil {
		return err
	}
	f, err := s.open()
	if err != nil {
		return err
	}
	s.file, s.pos = f, 0
	return nil
}

func (s *sequential) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.close()
}

func (s *sequential) close() error {
	f := s.file
	s.file = nil
	if f == nil {
		return nil
	}
	return f.Close()
}
