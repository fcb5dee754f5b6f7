package tarindex

import (
	"errors"
	"io"
	"iter"
	"os"

	"github.com/snapfs/snapfs/internal/attr"
)

// Content returns the content of member i, as many bytes as FileInfo says. It
// is safe for concurrent use, and need not be closed. Where the archive is cut
// off, reads fail with an [*Error] that wraps [ErrTruncated]. If the content
// is one run of bytes in a file, it has a method Extent.
//
// A member that has no content, such as a device or a directory, is
// [ErrNoContent]. A sparse member whose map and data contradict each other is
// [ErrFormat].
func (ix *Index) Content(i int) (io.ReaderAt, error) {
	j, ok := ix.target(i)
	m := ix.member(j)
	if !ok || headerOnly(m.typ) || m.isDir() {
		return nil, &Error{Op: "read", Name: ix.name(i), Offset: ix.member(i).header, Err: ErrNoContent}
	}
	if m.flags&flagSparse != 0 {
		return ix.openSparse(j)
	}
	c := content{ix: ix, i: j, off: m.dataOffset(), size: m.size}
	if ix.file != nil && m.size <= ix.size-c.off {
		return &fileContent{c}, nil
	}
	return &c, nil
}

// content is a run of bytes in the archive.
type content struct {
	ix        *Index
	i         int
	off, size int64
}

func (c *content) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, &Error{Op: "read", Name: c.ix.name(c.i), Offset: c.off, Err: errors.New("negative offset")}
	case off >= c.size:
		return 0, io.EOF
	}
	short := int64(len(p)) > c.size-off
	if short {
		p = p[:c.size-off]
	}
	n, err := c.ix.readAt(c.i, p, c.off, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// readAt fills p with the bytes of the archive at base+off. Both may be
// anything, but not negative. An error is about member i; if it is nil, p is
// full.
func (ix *Index) readAt(i int, p []byte, base, off int64) (int, error) {
	// Stop at the size that the archive had: bytes beyond it, if it has grown
	// since, are no part of the member as it was indexed.
	there := max(0, min(int64(len(p)), ix.size-base-off))
	n, err := 0, io.EOF
	if there > 0 {
		n, err = ix.r.ReadAt(p[:there], base+off)
	}
	switch {
	case n == len(p):
		return n, nil
	case err == nil || errors.Is(err, io.EOF):
		return n, &Error{Op: "read", Name: ix.name(i), Offset: base + off + int64(n), Missing: ix.lacks(i), Err: ErrTruncated}
	}
	return n, &Error{Op: "read", Name: ix.name(i), Offset: base + off + int64(n), Err: err}
}

// lacks returns how many bytes of member i are known to be cut off.
func (ix *Index) lacks(i int) int64 {
	if i == ix.cut {
		return ix.missing
	}
	return 0
}

// fileContent is content that lies in one piece in a file.
type fileContent struct{ content }

// Extent returns the file and the offset of the first byte in it.
func (c *fileContent) Extent() (*os.File, int64, bool) { return c.ix.file, c.off, true }

// Runs yields the content of each member that lies in one piece in a file and
// has at least min bytes: what the Extent of its content tells. It does not
// look at anything but the index.
func (ix *Index) Runs(min int64) iter.Seq[attr.Run] {
	return func(yield func(attr.Run) bool) {
		if ix.file == nil {
			return
		}
		for i := range ix.count {
			m := ix.member(i)
			off := m.dataOffset()
			if m.size < min || headerOnly(m.typ) || m.isDir() || m.flags&flagSparse != 0 || m.size > ix.size-off {
				continue
			}
			if !yield(attr.Run{File: ix.file, Off: off, Size: m.size}) {
				return
			}
		}
	}
}
