package repair

import (
	"io/fs"
	"os"
	"path"

	"github.com/snapfs/snapfs/internal/attr"
)

// FS is a tree in which some regular files have another content: that of files
// on disk. Mode and time stay those of the tree; attributes, which tell where
// the content was, go.
type FS struct {
	base  fs.FS
	files map[string]replaced
}

type replaced struct {
	name string // on disk
	size int64
}

// Overlay returns the tree base with the content of regular files replaced.
// files has their paths, and the names of the files on disk, which must be there
// and stay as they are while the tree is in use.
func Overlay(base fs.FS, files map[string]string) (*FS, error) {
	fsys := &FS{base, map[string]replaced{}}
	for p, name := range files {
		st, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		fsys.files[p] = replaced{name, st.Size()}
	}
	return fsys, nil
}

// Open implements [fs.FS]. Files that were replaced implement attr.Extent.
func (fsys *FS) Open(name string) (fs.File, error) {
	if r, ok := fsys.files[name]; ok {
		fi, err := fs.Stat(fsys.base, name)
		if err != nil {
			return nil, err
		}
		f, err := os.Open(r.name)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return &file{f, info{fi, r.size}}, nil
	}
	f, err := fsys.base.Open(name)
	if err != nil {
		return nil, err
	}
	if d, ok := f.(fs.ReadDirFile); ok {
		return &dir{d, fsys, name}, nil
	}
	return f, nil
}

// Stat implements [fs.StatFS].
func (fsys *FS) Stat(name string) (fs.FileInfo, error) {
	fi, err := fs.Stat(fsys.base, name)
	return fsys.info(name, fi, err)
}

// Lstat implements [fs.ReadLinkFS].
func (fsys *FS) Lstat(name string) (fs.FileInfo, error) {
	fi, err := fs.Lstat(fsys.base, name)
	return fsys.info(name, fi, err)
}

func (fsys *FS) info(name string, fi fs.FileInfo, err error) (fs.FileInfo, error) {
	if r, ok := fsys.files[name]; ok && err == nil {
		return info{fi, r.size}, nil
	}
	return fi, err
}

// ReadLink implements [fs.ReadLinkFS].
func (fsys *FS) ReadLink(name string) (string, error) { return fs.ReadLink(fsys.base, name) }

// ReadDir implements [fs.ReadDirFS].
func (fsys *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(fsys.base, name)
	return fsys.entries(name, entries), err
}

func (fsys *FS) entries(dir string, entries []fs.DirEntry) []fs.DirEntry {
	for i, e := range entries {
		if r, ok := fsys.files[path.Join(dir, e.Name())]; ok {
			entries[i] = entry{e, r.size}
		}
	}
	return entries
}

// dir is an open directory.
type dir struct {
	fs.ReadDirFile
	fsys *FS
	name string
}

func (d *dir) ReadDir(n int) ([]fs.DirEntry, error) {
	entries, err := d.ReadDirFile.ReadDir(n)
	return d.fsys.entries(d.name, entries), err
}

// entry is the entry of a file that was replaced.
type entry struct {
	fs.DirEntry
	size int64
}

func (e entry) Info() (fs.FileInfo, error) {
	fi, err := e.DirEntry.Info()
	if err != nil {
		return nil, err
	}
	return info{fi, e.size}, nil
}

// info describes a file that was replaced.
type info struct {
	fs.FileInfo
	size int64
}

func (i info) Size() int64    { return i.size }
func (i info) Sys() any       { return nil }
func (i info) String() string { return fs.FormatFileInfo(i) }

// file is an open file that was replaced.
type file struct {
	*os.File
	info info
}

var _ attr.Extent = (*file)(nil)

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }

// Extent implements [attr.Extent].
func (f *file) Extent() (*os.File, int64, bool) { return f.File, 0, true }
