package space

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// split cuts the first element off a path. The rest of a single element is ".".
func split(name string) (first, rest string) {
	first, rest, ok := strings.Cut(name, "/")
	if !ok {
		rest = "."
	}
	return first, rest
}

// renamed gives an error of a tree below the path that its caller knows.
func renamed(err error, name string) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return &fs.PathError{Op: p.Op, Path: name, Err: p.Err}
	}
	return err
}

// openIn opens a file of a tree below, whose root, if it is a directory, gets the
// name of the whole path.
func openIn(below fs.FS, inner, name string) (fs.File, error) {
	f, err := below.Open(inner)
	if err != nil {
		return nil, renamed(err, name)
	}
	if _, dir := f.(fs.ReadDirFile); dir && inner == "." {
		return &renamedDir{f, path.Base(name)}, nil
	}
	return f, nil
}

// openDir opens a directory.
func openDir(fsys fs.FS, name string) (fs.ReadDirFile, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	d, ok := f.(fs.ReadDirFile)
	if !ok {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a directory")}
	}
	return d, nil
}

// named gives the root of a tree below the name that it has above.
func named(fi fs.FileInfo, err error, name string) (fs.FileInfo, error) {
	if err != nil {
		return nil, renamed(err, name)
	}
	if base := path.Base(name); fi.Name() != base {
		return renamedInfo{fi, base}, nil
	}
	return fi, nil
}

type renamedInfo struct {
	fs.FileInfo
	name string
}

func (i renamedInfo) Name() string { return i.name }

type renamedEntry struct {
	fs.DirEntry
	name string
}

func (e renamedEntry) Name() string { return e.name }

func (e renamedEntry) Info() (fs.FileInfo, error) {
	fi, err := e.DirEntry.Info()
	if err != nil {
		return nil, err
	}
	return renamedInfo{fi, e.name}, nil
}

// renamedDir is the open root of a tree below.
type renamedDir struct {
	fs.File
	name string
}

func (d *renamedDir) Stat() (fs.FileInfo, error) {
	fi, err := d.File.Stat()
	return named(fi, err, d.name)
}

// ReadDir implements [fs.ReadDirFile].
func (d *renamedDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if r, ok := d.File.(fs.ReadDirFile); ok {
		return r.ReadDir(n)
	}
	return nil, &fs.PathError{Op: "readdir", Path: d.name, Err: errors.New("not a directory")}
}
