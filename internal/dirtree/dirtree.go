// Package dirtree makes an io/fs tree out of numbered files.
//
// A [Source] has files, each known by a number, its ref. A [Builder] is told
// the path of each, and builds an [FS]: flat arrays that say which directory
// holds what and cost 16 bytes and the name for each file. Everything else the
// tree asks of the source when it is needed.
//
// Directories need not be added: those that a path passes through are made up.
// A file and a directory of one name get along, see [Builder.Add].
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
	// Info describes file ref. The type in its mode is that given to Add.
	Info(ref uint32) Info
	// Content returns the bytes of the regular file ref, as many as Info says.
	// If the result also implements attr.Extent, so does the open file. If it
	// implements io.Closer, it is closed with the file.
	Content(ref uint32) (io.ReaderAt, error)
	// Link returns the target of the symbolic link ref, a path in terms of the
	// names in the tree.
	Link(ref uint32) (string, error)
}
