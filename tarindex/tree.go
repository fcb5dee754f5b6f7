package tarindex

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"iter"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/dirtree"
	"github.com/snapfs/snapfs/internal/names"
)

// FileInfo describes member i as a file of the tree. A hard link has the size
// and the inode number of its target. Sys returns something that implements
// attr.Inoder and attr.Lister; the attributes are
//
//	offset  of the first byte of the content in the archive, if it is one run
//	header  offset of the header
//	size    of the content
//	mtime   in the header, RFC 3339
//	key     the member's name, if its path cannot say it
func (ix *Index) FileInfo(i int) fs.FileInfo {
	p, _ := ix.member(i).path(ix.name(i))
	return fileInfo{path.Base(p), source{ix}.Info(uint32(i))}
}

// Describe returns what FileInfo tells of member i, and costs no memory.
func (ix *Index) Describe(i int) (mode fs.FileMode, size int64, modTime time.Time) {
	mode = ix.mode(i)
	if j, ok := ix.target(i); ok && mode.IsRegular() {
		size = ix.member(j).size
	}
	return mode, size, ix.member(i).modTime()
}

// Ino returns the inode number of member i, as FileInfo does.
func (ix *Index) Ino(i int) uint64 {
	j, _ := ix.target(i)
	return attr.MemberIno(ix.layer, ix.member(j).header)
}

type fileInfo struct {
	name string
	info dirtree.Info
}

func (fi fileInfo) Name() string       { return fi.name }
func (fi fileInfo) Size() int64        { return fi.info.Size }
func (fi fileInfo) Mode() fs.FileMode  { return fi.info.Mode }
func (fi fileInfo) ModTime() time.Time { return fi.info.ModTime }
func (fi fileInfo) IsDir() bool        { return fi.info.Mode.IsDir() }
func (fi fileInfo) Sys() any           { return fi.info.Sys }

// Link returns the target of member i, a symbolic link, in terms of paths: its
// elements are escaped as those of members are.
func (ix *Index) Link(i int) (string, error) {
	i, _ = ix.target(i)
	if ix.member(i).typ != tar.TypeSymlink {
		return "", &Error{Op: "read", Name: ix.name(i), Offset: ix.member(i).header, Err: errors.New("not a symbolic link")}
	}
	hdr, err := ix.Header(i)
	if err != nil {
		return "", err
	}
	elems := strings.Split(hdr.Linkname, "/")
	for k, elem := range elems {
		if elem != "" && elem != "." && elem != ".." {
			elems[k] = names.Element(elem)
		}
	}
	return strings.Join(elems, "/"), nil
}

// Offset returns where in the archive the content of a regular member begins, in
// bytes, links followed; false if it is not one run of bytes.
func (ix *Index) Offset(i int) (int64, bool) {
	j, ok := ix.target(i)
	t := ix.member(j)
	if !ok || !ix.mode(i).IsRegular() || t.flags&flagSparse != 0 {
		return 0, false
	}
	return t.dataOffset(), true
}

// Lookup returns the member at path in the tree: the last one, if there are
// several. ok is false if there is none, or only a directory that was made up.
func (ix *Index) Lookup(path string) (i int, ok bool) {
	ref, ok := ix.tree().Lookup(path)
	return int(ref), ok
}

// Open implements [fs.FS]. Regular files are [io.ReaderAt].
func (ix *Index) Open(name string) (fs.File, error) { return ix.tree().Open(name) }

// Stat implements [fs.StatFS].
func (ix *Index) Stat(name string) (fs.FileInfo, error) { return ix.tree().Stat(name) }

// ReadDir implements [fs.ReadDirFS].
func (ix *Index) ReadDir(name string) ([]fs.DirEntry, error) { return ix.tree().ReadDir(name) }

// ReadLink implements [fs.ReadLinkFS].
func (ix *Index) ReadLink(name string) (string, error) { return ix.tree().ReadLink(name) }

// Lstat implements [fs.ReadLinkFS].
func (ix *Index) Lstat(name string) (fs.FileInfo, error) { return ix.tree().Lstat(name) }

// tree returns the tree, which is built when it is first needed.
func (ix *Index) tree() *dirtree.FS {
	t, _ := ix.build()
	return t
}

// buildTree makes the tree, and finds out what is strange about the members.
func (ix *Index) buildTree() (*dirtree.FS, []note) {
	var notes []note
	b := dirtree.Builder{
		Shadowed: func(_ string, ref, by uint32) {
			notes = append(notes, note{kind: Shadowed, member: ref, other: by})
		},
	}
	if ix.count > 0 {
		b.ModTime = ix.member(0).modTime()
	}
	b.Grow(ix.count)
	for i := range ix.count {
		m, name := ix.member(i), ix.name(i)
		if !inTree(m) {
			continue
		}
		p, escaped := m.path(name)
		if escaped {
			notes = append(notes, note{kind: Escaped, member: uint32(i)})
		}
		b.Add(p, uint32(i), ix.mode(i))
	}
	return b.Build(source{ix}), notes
}

// findNotes finds out what is strange about the members. Where their paths
// ascend, but for that of the first, as in the tars of servers, none hides
// another, and it takes no tree.
func (ix *Index) findNotes() []note {
	var notes []note
	var first, last string
	for i := range ix.count {
		m := ix.member(i)
		if !inTree(m) {
			continue
		}
		path, escaped := m.path(ix.name(i))
		switch {
		case first == "":
			first = path
		case path <= last || path == first:
			_, notes := ix.build()
			return notes
		default:
			last = path
		}
		if escaped {
			notes = append(notes, note{kind: Escaped, member: uint32(i)})
		}
	}
	return notes
}

// inTree reports whether a member is a file: a volume label is not.
func inTree(m member) bool { return m.typ != typeVolume }

const typeVolume = 'V' // GNU tar

// source shows the members to the tree.
type source struct{ ix *Index }

func (s source) Info(ref uint32) dirtree.Info {
	mode, size, modTime := s.ix.Describe(int(ref))
	return dirtree.Info{Mode: mode, Size: size, ModTime: modTime, Sys: sys{s.ix, ref}}
}

func (s source) Content(ref uint32) (io.ReaderAt, error) { return s.ix.Content(int(ref)) }
func (s source) Link(ref uint32) (string, error)         { return s.ix.Link(int(ref)) }

// sys is what FileInfo.Sys returns.
type sys struct {
	ix  *Index
	ref uint32
}

var (
	_ attr.Inoder = sys{}
	_ attr.Lister = sys{}
)

func (s sys) Ino() uint64 { return s.ix.Ino(int(s.ref)) }

func (s sys) Attrs() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		ix, i := s.ix, int(s.ref)
		m := ix.member(i)
		j, ok := ix.target(i)
		t := ix.member(j)
		regular := ok && ix.mode(i).IsRegular()
		num := func(n int64) string { return strconv.FormatInt(n, 10) }
		if off, ok := ix.Offset(i); ok && !yield("offset", num(off)) {
			return
		}
		if !yield("header", num(m.header)) {
			return
		}
		if regular && !yield("size", num(t.size)) {
			return
		}
		if !yield("mtime", m.modTime().UTC().Format(time.RFC3339Nano)) {
			return
		}
		name := ix.name(i)
		if _, escaped := m.path(name); escaped {
			yield("key", name)
		}
	}
}
