package chain

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/dirtree"
	"github.com/snapfs/snapfs/tarindex"
)

// View is a chain at one point in time, or one layer by itself, as an io/fs
// tree. It implements [fs.FS], [fs.ReadDirFS], [fs.StatFS] and
// [fs.ReadLinkFS]. Regular files also implement [io.ReaderAt], and
// [attr.Extent] where their bytes lie in one piece.
//
// Files have the modification time that the manifest gives them. The merged
// manifest is the file "manifest" of the root, if the chain has manifests;
// directories called "meta" or "manifest" appear as "meta.d" and "manifest.d".
//
// It is safe for concurrent use, and valid until the chain is closed.
type View struct {
	chain   *Chain
	point   Point
	records []record
	ghosts  map[uint32]string // why a record is a ghost
	merged  bool              // make the manifest up, rather than show that of the layer
	tree    func() *dirtree.FS
	json    func() []byte // of the merged manifest
	size    func() int64  // of that, known without making it
}

func newView(c *Chain, layer int, records []record) *View {
	l := c.layers[layer]
	v := &View{chain: c, point: Point{l.Name, l.Time, l}, records: records, merged: true}
	v.tree = sync.OnceValue(v.build)
	v.json = sync.OnceValue(func() []byte { return v.Manifest().AppendJSON(nil) })
	v.size = sync.OnceValue(v.manifestSize)
	return v
}

// LayerView returns what the tar of one layer holds, by itself, its manifest as
// it is.
func (c *Chain) LayerView(l *Layer) *View {
	v := newView(c, l.number, l.records)
	v.merged = false
	return v
}

// build makes the tree. File len(v.records) is the manifest.
func (v *View) build() *dirtree.FS {
	b := dirtree.Builder{ModTime: v.point.Time, Reserved: []string{ManifestName, "meta"}}
	b.Grow(len(v.records) + 1)
	for i, r := range v.records {
		mode := fs.FileMode(0)
		if r.member >= 0 {
			mode = v.index(r).Mode(int(r.member))
		}
		b.Add(r.path, uint32(i), mode)
	}
	if v.hasManifest() {
		b.Add(ManifestName, uint32(len(v.records)), 0)
	}
	return b.Build((*source)(v))
}

func (v *View) hasManifest() bool {
	if v.merged {
		return v.chain.dialect != Unknown
	}
	return v.point.Layer.manifest >= 0
}

func (v *View) layer(r record) *Layer          { return v.chain.layers[r.layer] }
func (v *View) index(r record) *tarindex.Index { return v.layer(r).index }

// Chain returns the chain that the view is of.
func (v *View) Chain() *Chain { return v.chain }

// Point returns the point that the view is of.
func (v *View) Point() Point { return v.point }

// Open implements [fs.FS].
func (v *View) Open(name string) (fs.File, error) { return v.tree().Open(name) }

// ReadDir implements [fs.ReadDirFS].
func (v *View) ReadDir(name string) ([]fs.DirEntry, error) { return v.tree().ReadDir(name) }

// Stat implements [fs.StatFS].
func (v *View) Stat(name string) (fs.FileInfo, error) { return v.tree().Stat(name) }

// Lstat implements [fs.ReadLinkFS].
func (v *View) Lstat(name string) (fs.FileInfo, error) { return v.tree().Lstat(name) }

// ReadLink implements [fs.ReadLinkFS].
func (v *View) ReadLink(name string) (string, error) { return v.tree().ReadLink(name) }

// File is one file of a view: the copy that won.
type File struct {
	Path    string      // in the tree of the view, but for the ".d" of [View]
	Name    string      // as in the tar
	Layer   *Layer      // that holds the copy
	Size    int64       // bytes
	Mode    fs.FileMode // type and permissions
	ModTime time.Time   // by the manifest, else by the tar
	Ghost   string      // why it is a ghost, see [View.WithGhosts]; "" if it is none
	Missing bool        // listed in the manifest, but not in the tar

	Listed  ManifestFile // entry in the manifest of the layer; without a name if there is none
	Written time.Time    // by the header: when the tar was written; zero if Missing

	member int
}

// Content returns the content of a file, whose size is Size. If it is one run
// of bytes in the tar, it implements [attr.Extent]. The error matches
// [ErrMissing], [ErrChanged] or [tarindex.ErrNoContent]; bytes that the tar lacks are an error
// when they are read.
func (f File) Content() (io.ReaderAt, error) {
	if f.Missing {
		return nil, fmt.Errorf("%s: %w", f.Layer.Path, ErrMissing)
	}
	return f.Layer.content(f.member)
}

// TreePath returns the path under which the tree of the view has a file, which
// differs from its Path below a directory that has the name of a file.
func (v *View) TreePath(f File) string {
	if fi, err := v.Stat(f.Path); err == nil && !fi.IsDir() {
		return f.Path
	}
	elems := strings.Split(f.Path, "/")
	for i := range len(elems) - 1 {
		dir := strings.Join(elems[:i+1], "/")
		if fi, err := v.Stat(dir); err != nil || !fi.IsDir() {
			elems[i] += ".d"
		}
	}
	return strings.Join(elems, "/")
}

// Len returns the number of files that Files yields.
func (v *View) Len() int { return len(v.records) }

// File returns the file whose Path is path, which costs no tree.
func (v *View) File(path string) (f File, ok bool) {
	i, ok := slices.BinarySearchFunc(v.records, path, byPath)
	if !ok {
		return File{}, false
	}
	f = v.file(v.records[i])
	f.Ghost = v.ghosts[uint32(i)]
	return f, true
}

// Files yields the files of the view in the order of their paths, without the
// manifest. Directories and links that a tar has are among them.
func (v *View) Files() iter.Seq[File] {
	return func(yield func(File) bool) {
		for i, r := range v.records {
			f := v.file(r)
			f.Ghost = v.ghosts[uint32(i)]
			if !yield(f) {
				return
			}
		}
	}
}

func (v *View) file(r record) File {
	l := v.layer(r)
	f := File{Path: r.path, Layer: l, Mode: 0o444}
	if r.member >= 0 {
		f.Name = l.index.Name(int(r.member))
		f.Mode, f.Size, f.ModTime = l.index.Describe(int(r.member))
		f.Written, f.member = f.ModTime, int(r.member)
	}
	if r.listed >= 0 {
		f.Listed = l.entry(r)
		if r.member < 0 {
			f.Name, f.Size, f.Missing, f.ModTime = f.Listed.Name, f.Listed.Size, true, l.Time
		}
		if !f.Listed.Stamp.Time.IsZero() {
			f.ModTime = f.Listed.Stamp.Time
		}
	}
	return f
}

// Manifest returns the merged manifest: the entries of the copies that won, in
// the order that servers write them, which is that of the bytes of their names. This is
// what the old client sent to ask for an incremental.
func (v *View) Manifest() Manifest {
	m := Manifest{Dialect: v.chain.dialect, Files: make([]ManifestFile, 0, len(v.records))}
	for _, r := range v.records {
		if r.listed >= 0 {
			m.Files = append(m.Files, v.layer(r).entry(r))
		}
	}
	sortFiles(m.Files)
	return m
}

// manifestSize returns the length of the merged manifest as JSON.
func (v *View) manifestSize() int64 {
	m := Manifest{Dialect: v.chain.dialect, Files: []ManifestFile{}}
	size := int64(len(m.AppendJSON(nil)))
	var buf []byte
	n := int64(0)
	for _, r := range v.records {
		if r.listed >= 0 {
			buf = v.layer(r).entry(r).appendJSON(buf[:0], m.Dialect)
			size += int64(len(buf))
			n++
		}
	}
	return size + max(n-1, 0) // a comma between two
}

// source is a View as dirtree sees it.
type source View

func (s *source) Info(ref uint32) dirtree.Info {
	v := (*View)(s)
	if int(ref) == len(v.records) {
		return v.manifestInfo()
	}
	f := v.file(v.records[ref])
	return dirtree.Info{Mode: f.Mode, Size: f.Size, ModTime: f.ModTime, Sys: member{v, ref}}
}

func (v *View) manifestInfo() dirtree.Info {
	l := v.point.Layer
	if !v.merged {
		e := l.index.Entry(l.manifest)
		return dirtree.Info{Mode: e.Mode, Size: e.Size, ModTime: e.ModTime, Sys: member{v, uint32(len(v.records))}}
	}
	return dirtree.Info{Mode: 0o444, Size: v.size(), ModTime: v.point.Time}
}

func (s *source) Content(ref uint32) (io.ReaderAt, error) {
	v := (*View)(s)
	if int(ref) == len(v.records) {
		if !v.merged {
			return v.point.Layer.content(v.point.Layer.manifest)
		}
		return bytes.NewReader(v.json()), nil
	}
	return v.file(v.records[ref]).Content()
}

func (s *source) Link(ref uint32) (string, error) {
	v := (*View)(s)
	if int(ref) == len(v.records) {
		return "", fs.ErrInvalid
	}
	r := v.records[ref]
	return v.index(r).Link(int(r.member))
}

// member is what FileInfo.Sys returns for a file of a view.
type member struct {
	view *View
	ref  uint32
}

// record returns where the file lies.
func (m member) record() record {
	if int(m.ref) == len(m.view.records) {
		l := m.view.point.Layer
		return record{path: ManifestName, layer: int32(l.number), member: int32(l.manifest), listed: -1}
	}
	return m.view.records[m.ref]
}

// Ino implements [attr.Inoder]: the same copy has the same number in every view.
func (m member) Ino() uint64 {
	r := m.record()
	if r.member < 0 {
		return attr.PathIno(uint64(r.layer), r.path)
	}
	return m.view.index(r).Ino(int(r.member))
}

// Attrs implements [attr.Lister].
func (m member) Attrs() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		r := m.record()
		l := m.view.layer(r)
		if !yield("layer", l.Name) || !yield("file", l.Path) {
			return
		}
		if why := m.view.ghosts[m.ref]; why != "" && !yield("ghost", why) {
			return
		}
		if r.member < 0 {
			yield("damage", ErrMissing.Error())
			return
		}
		for k, val := range attr.All(l.index.FileInfo(int(r.member))) {
			if !yield(k, val) {
				return
			}
		}
	}
}

// Extent implements [attr.Extent] without a look at the tar, which may have
// changed.
func (m member) Extent() (f *os.File, off int64, ok bool) {
	r := m.record()
	if r.member < 0 {
		return nil, 0, false
	}
	c, err := m.view.index(r).Content(int(r.member))
	if err != nil {
		return nil, 0, false
	}
	e, ok := c.(attr.Extent)
	if !ok {
		return nil, 0, false
	}
	return e.Extent()
}
