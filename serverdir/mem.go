package serverdir

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/dirtree"
)

// file is a file of a directory: one of a tree, or one that is made here.
type file struct {
	path string
	from string      // path in the tree, "" if made here
	mode fs.FileMode // only the type counts for a file of the tree
	data []byte
}

// made returns a file with some content.
func made(path string, data []byte) file { return file{path: path, data: data, mode: 0o600} }

// source is a list of files as a source of a tree.
type source struct {
	base  fs.FS
	time  time.Time // of what is made here
	files []file
}

// newTree makes a tree of files, some of which are in base.
func newTree(base fs.FS, t time.Time, files ...file) *dirtree.FS {
	b := dirtree.Builder{ModTime: t}
	b.Grow(len(files))
	for i, f := range files {
		b.Add(f.path, uint32(i), f.mode)
	}
	return b.Build(source{base, t, files})
}

// Info implements [dirtree.Source].
func (s source) Info(ref uint32) dirtree.Info {
	f := s.files[ref]
	if f.from == "" {
		return dirtree.Info{Mode: f.mode, Size: int64(len(f.data)), ModTime: s.time}
	}
	fi, err := fs.Lstat(s.base, f.from)
	if err != nil {
		// It was there a moment ago. To open it tells why not now.
		return dirtree.Info{Mode: f.mode, ModTime: s.time}
	}
	return dirtree.Info{Mode: f.mode.Type() | fi.Mode().Perm(), Size: fi.Size(), ModTime: fi.ModTime(), Sys: fi.Sys()}
}

// Content implements [dirtree.Source].
func (s source) Content(ref uint32) (io.ReaderAt, error) {
	f := s.files[ref]
	if f.from == "" {
		return bytes.NewReader(f.data), nil
	}
	in, err := s.base.Open(f.from)
	if err != nil {
		return nil, err
	}
	switch in := in.(type) {
	case *os.File:
		return onDisk{in}, nil
	case io.ReaderAt:
		return in, nil
	}
	in.Close()
	return nil, &fs.PathError{Op: "open", Path: f.from, Err: fs.ErrInvalid}
}

// Link implements [dirtree.Source].
func (s source) Link(ref uint32) (string, error) { return fs.ReadLink(s.base, s.files[ref].from) }

// onDisk is a file that is one on disk as a whole, which can be copied by the
// kernel.
type onDisk struct{ *os.File }

// Extent implements [attr.Extent].
func (f onDisk) Extent() (*os.File, int64, bool) { return f.File, 0, true }

var _ attr.Extent = onDisk{}
