package dirtree

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/snapfs/snapfs/internal/attr"
)

type fileInfo struct {
	name string
	info Info
}

func (fi *fileInfo) Name() string       { return fi.name }
func (fi *fileInfo) Size() int64        { return fi.info.Size }
func (fi *fileInfo) Mode() fs.FileMode  { return fi.info.Mode }
func (fi *fileInfo) ModTime() time.Time { return fi.info.ModTime }
func (fi *fileInfo) IsDir() bool        { return fi.info.Mode.IsDir() }
func (fi *fileInfo) Sys() any           { return fi.info.Sys }
func (fi *fileInfo) String() string     { return fs.FormatFileInfo(fi) }

// dirEntry is one line of a listing. It asks the source for nothing until its
// Info is wanted.
type dirEntry struct {
	t    *FS
	node uint32
}

func (d *dirEntry) Name() string               { return d.t.name(d.t.nodes[d.node]) }
func (d *dirEntry) IsDir() bool                { return d.t.nodes[d.node].kind() == kindDir }
func (d *dirEntry) Type() fs.FileMode          { return d.t.nodes[d.node].kind().mode() }
func (d *dirEntry) Info() (fs.FileInfo, error) { return d.t.info(d.node, d.Name()), nil }
func (d *dirEntry) String() string             { return fs.FormatDirEntry(d) }

func (t *FS) open(i uint32, name string) (fs.File, error) {
	fi := t.info(i, base(name)).(*fileInfo)
	switch n := t.nodes[i]; n.kind() {
	case kindDir:
		return &dir{t: t, node: t.dirs[n.ref], info: fi, path: name}, nil
	case kindFile:
		r, err := t.src.Content(n.ref)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		f := &file{info: fi, path: name, r: r}
		if e, ok := r.(attr.Extent); ok {
			return &extentFile{file: f, extent: e}, nil
		}
		return f, nil
	default:
		return &special{info: fi, path: name}, nil
	}
}

// file is an open regular file.
type file struct {
	info   *fileInfo
	path   string
	r      io.ReaderAt
	off    int64 // of Read and Seek, which are not for concurrent use
	closed atomic.Bool
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *file) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.path, Err: err}
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	size := f.info.info.Size
	switch {
	case f.closed.Load():
		return 0, f.fail("read", fs.ErrClosed)
	case off < 0:
		return 0, f.fail("read", fs.ErrInvalid)
	case off >= size:
		return 0, io.EOF
	}
	// Content may be longer than the file, as Info tells it, but not shorter.
	short := int64(len(p)) > size-off
	if short {
		p = p[:size-off]
	}
	n, err := f.r.ReadAt(p, off)
	switch {
	case n == len(p) && short:
		return n, io.EOF
	case n == len(p):
		return n, nil
	case err == nil || errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, f.fail("read", err)
}

func (f *file) Read(p []byte) (int, error) {
	if len(p) == 0 && !f.closed.Load() {
		return 0, nil
	}
	n, err := f.ReadAt(p, f.off)
	f.off += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (f *file) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.off
	case io.SeekEnd:
		offset += f.info.info.Size
	default:
		return 0, f.fail("seek", fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, f.fail("seek", fs.ErrInvalid)
	}
	f.off = offset
	return offset, nil
}

func (f *file) Close() error {
	if f.closed.Swap(true) {
		return f.fail("close", fs.ErrClosed)
	}
	if c, ok := f.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// extentFile is a file whose content says where on disk it is.
type extentFile struct {
	*file
	extent attr.Extent
}

func (f *extentFile) Extent() (*os.File, int64, bool) { return f.extent.Extent() }

// Changed implements [attr.Steady], for content that does.
func (f *extentFile) Changed() error {
	if s, ok := f.extent.(attr.Steady); ok {
		return s.Changed()
	}
	return nil
}

// special is an open file that is neither regular nor a directory.
type special struct {
	info *fileInfo
	path string
}

func (f *special) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *special) Close() error               { return nil }
func (f *special) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.path, Err: errors.ErrUnsupported}
}

// dir is an open directory.
type dir struct {
	t    *FS
	node dirNode
	info *fileInfo
	path string
	next uint32
}

func (d *dir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *dir) Close() error               { return nil }
func (d *dir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: syscall.EISDIR}
}

func (d *dir) ReadDir(n int) ([]fs.DirEntry, error) {
	left := d.node.count - d.next
	if n > 0 {
		if left == 0 {
			return nil, io.EOF
		}
		if uint64(n) < uint64(left) {
			left = uint32(n)
		}
	}
	list := d.t.list(d.node.first+d.next, left)
	d.next += left
	return list, nil
}

// Seek sets the entry that ReadDir lists next, counted from 0.
func (d *dir) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += int64(d.next)
	case io.SeekEnd:
		offset += int64(d.node.count)
	default:
		offset = -1
	}
	if offset < 0 || offset > int64(d.node.count) {
		return 0, &fs.PathError{Op: "seek", Path: d.path, Err: fs.ErrInvalid}
	}
	d.next = uint32(offset)
	return offset, nil
}

// base is path.Base for a valid path.
func base(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return name[i+1:]
		}
	}
	return name
}
