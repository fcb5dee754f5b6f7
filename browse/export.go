package browse

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"

	tea "charm.land/bubbletea/v2"
	"github.com/dustin/go-humanize"

	"github.com/snapfs/snapfs/restore"
	"github.com/snapfs/snapfs/space"
)

// exported is the message that something was copied out, or why not.
type exported string

// export returns the command that copies the selected file or directory into a
// directory of the disk, where nothing of that name may be.
func (m *Model) export(dir string) tea.Cmd {
	n := m.selected()
	m.message = "exporting …"
	ctx, tree := m.ctx, m.tree
	name, base := n.path(), n.base()
	return m.runs.command(func() tea.Msg { return exported(export(ctx, tree, name, base, n.mode, dir)) })
}

func export(ctx context.Context, tree *space.Tree, name, base string, mode fs.FileMode, dir string) string {
	var src fs.FS = &single{tree, name}
	target := dir
	if mode.IsDir() {
		sub, err := fs.Sub(tree, base)
		if err != nil {
			return err.Error()
		}
		src = sub
		last := path.Base(name)
		if name == "." {
			last = filepath.Base(tree.Path()) + ".files"
		}
		target = filepath.Join(dir, last)
	}
	r, err := restore.Copy(ctx, target, src, restore.Options{
		Filter: func(p string, _ fs.DirEntry) bool { return name != "." || p != space.Control },
	})
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("exported %s files, %s", humanize.Comma(int64(r.Files)), humanize.IBytes(uint64(r.Bytes)))
	if r.Kept > 0 {
		text += fmt.Sprintf(" (%s were there already)", humanize.Comma(int64(r.Kept)))
	}
	return text + ", to " + target // last, since the line may be too short for it
}

// single is a tree with nothing but one file of another tree, in its root.
type single struct {
	fs.FS
	name string
}

func (s *single) inner(op, name string) (string, error) {
	if name != path.Base(s.name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return s.name, nil
}

// Open implements [fs.FS].
func (s *single) Open(name string) (fs.File, error) {
	if name == "." {
		d, err := openDir(s.FS, path.Dir(s.name))
		if err != nil {
			return nil, err
		}
		return &singleDir{ReadDirFile: d, tree: s}, nil
	}
	inner, err := s.inner("open", name)
	if err != nil {
		return nil, err
	}
	return s.FS.Open(inner)
}

// Lstat implements [fs.ReadLinkFS].
func (s *single) Lstat(name string) (fs.FileInfo, error) {
	if name == "." {
		return fs.Stat(s.FS, path.Dir(s.name))
	}
	inner, err := s.inner("lstat", name)
	if err != nil {
		return nil, err
	}
	return fs.Lstat(s.FS, inner)
}

// ReadLink implements [fs.ReadLinkFS].
func (s *single) ReadLink(name string) (string, error) {
	inner, err := s.inner("readlink", name)
	if err != nil {
		return "", err
	}
	return fs.ReadLink(s.FS, inner)
}

// singleDir is the open root of a single.
type singleDir struct {
	fs.ReadDirFile // for what it is like
	tree           *single
	done           bool
}

// ReadDir implements [fs.ReadDirFile].
func (d *singleDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if d.done {
		if n > 0 {
			return nil, io.EOF
		}
		return nil, nil
	}
	fi, err := d.tree.Lstat(path.Base(d.tree.name))
	if err != nil {
		return nil, err
	}
	d.done = true
	return []fs.DirEntry{fs.FileInfoToDirEntry(fi)}, nil
}
