package boltview

import (
	"bytes"
	"io"
	"io/fs"
	"iter"
	"os"
	"strconv"
	"time"

	"github.com/snapfs/snapfs/internal/attr"
)

// info describes a file of the tree. It is its own Sys.
type info struct {
	fsys *FS
	dir  string // path of the directory that holds it
	name string
	item Item    // unless it is one of those that follow
	root *Bucket // of a tree
	data []byte  // of a file made here

	salvage bool // this is [SalvageName]
}

var (
	_ attr.Inoder = (*info)(nil)
	_ attr.Lister = (*info)(nil)
	_ attr.Extent = (*file)(nil)
)

func (n *info) Name() string { return n.name }
func (n *info) IsDir() bool  { return n.root != nil || n.item.IsBucket() || n.salvage }
func (n *info) Sys() any     { return n }

func (n *info) Size() int64 {
	switch {
	case n.IsDir():
		return 0
	case n.data != nil:
		return int64(len(n.data))
	}
	return n.item.Size()
}

func (n *info) Mode() fs.FileMode {
	if n.IsDir() {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

func (n *info) ModTime() time.Time { return n.fsys.opts.ModTime }

// path is that from the root of the tree.
func (n *info) path() string { return join(n.dir, n.name) }

// Ino returns a number that is the same each time, and for no other file.
func (n *info) Ino() uint64 { return attr.PathIno(n.fsys.opts.Seed, n.path()) }

// bucket returns the bucket of a directory.
func (n *info) bucket() (*Bucket, error) {
	if n.root != nil {
		return n.root, nil
	}
	return n.item.Bucket()
}

// Attrs returns key, the raw bytes, and for a bucket sequence, page and keys.
// What cannot be read is left out.
func (n *info) Attrs() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if n.data != nil || n.salvage {
			return
		}
		if n.root == nil && !yield("key", string(n.item.Key)) {
			return
		}
		if !n.IsDir() {
			return
		}
		b, err := n.bucket()
		if err != nil {
			return
		}
		if !yield("sequence", strconv.FormatUint(b.Sequence(), 10)) || !yield("page", strconv.FormatUint(b.Page(), 10)) {
			return
		}
		if keys, err := b.Count(); err == nil {
			yield("keys", strconv.FormatInt(keys, 10))
		}
	}
}

// file is an open value, or [InfoName].
type file struct {
	*io.SectionReader
	info *info
}

func newFile(n *info) *file {
	if n.data != nil {
		return &file{io.NewSectionReader(bytes.NewReader(n.data), 0, int64(len(n.data))), n}
	}
	return &file{n.item.Open(), n}
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

// Extent implements attr.Extent where the database lies in a file on disk.
func (f *file) Extent() (*os.File, int64, bool) {
	if f.info.data != nil {
		return nil, 0, false
	}
	return extent(f.info.fsys.db.r, f.info.item.Offset())
}

// extent returns where on disk the bytes of r at off are.
func extent(r io.ReaderAt, off int64) (*os.File, int64, bool) {
	for {
		switch s := r.(type) {
		case *os.File:
			return s, off, true
		case attr.Extent:
			f, start, ok := s.Extent()
			return f, start + off, ok
		case *io.SectionReader:
			under, start, _ := s.Outer()
			r, off = under, start+off
		default:
			return nil, 0, false
		}
	}
}
