// Package dirtree makes an io/fs tree out of numbered files.
//
// A source has files 0 to n-1, each with a path; the tree knows which
// directory holds what, in flat arrays that cost about 24 bytes and the name
// for each file, and asks the source for everything else.
package dirtree

import (
	"io"
	"io/fs"
	"time"
)

// Info is what a source tells of one of its files.
type Info struct {
	Mode    fs.FileMode // type and permissions
	Size    int64       // bytes; 0 unless regular
	ModTime time.Time
	Sys     any // returned by FileInfo.Sys; may implement interfaces of package attr
}

// Source holds the files of a tree by number. Its methods are called
// concurrently.
type Source interface {
	// Info describes file ref.
	Info(ref uint32) Info
	// Content returns the bytes of the regular file ref. If the result also
	// implements attr.Extent, so does the open file. If it implements
	// io.Closer, it is closed with the file.
	Content(ref uint32) (io.ReaderAt, error)
	// Link returns the target of the symbolic link ref.
	Link(ref uint32) (string, error)
}
