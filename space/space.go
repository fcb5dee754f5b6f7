package space

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/tarindex"
)

// Control is the name of the control directory.
const Control = ".snapfs"

// Directories in [Control] whose files are made on the way.
const (
	boltsName  = "bolt"
	influxName = "influx"
)

// shadowed is the name under which an entry called [Control] of the snapshot
// itself appears, so that it is not lost.
const shadowed = "%2Esnapfs"

// ErrNotSnapshot is returned when a file is neither a tar nor a Bolt database.
var ErrNotSnapshot = errors.New("neither a tar nor a Bolt file")

// Options adjusts [Open]. The zero value shows the newest point.
type Options struct {
	// At is the point shown at the root, see [chain.Chain.At].
	At string

	// Ghosts says what to do with shards that the server had dropped. They can
	// be told where there is a meta file that can be read.
	Ghosts chain.Ghosts

	// ShowControl lists the control directory in the root.
	ShowControl bool

	// ShowHashes shows the hashes of passwords in meta.json.
	ShowHashes bool

	// Status makes the content of status.json, each time it is read. Without
	// it there is no such file.
	Status func() ([]byte, error)

	// Keep opens what can be opened of a broken chain, see [chain.Options].
	Keep bool

	// Bolt says how Bolt files are read.
	Bolt boltview.Options
}

// Tree is an open snapshot as one io/fs tree. It implements [fs.FS],
// [fs.ReadDirFS], [fs.StatFS] and [fs.ReadLinkFS], is safe for concurrent use,
// and must be closed.
type Tree struct {
	path     string
	root     fs.FS // the merged view, or a Bolt file
	control  entry
	totals   func() (files, bytes int64)
	data     func() *dataset.Set
	allMetas func() []*influx.Meta // of the whole chain, the newest first
	show     bool
	time     time.Time

	chain  *chain.Chain
	mode   chain.Ghosts
	hashes bool // shown in meta.json
	view   *chain.View
	bolts  *bolts
	maps   maps

	file *os.File // bare Bolt file
	db   *boltview.DB
}

// Open opens a chain by the path of its full snapshot, any tar, or a bare Bolt
// file. The error matches [ErrNotSnapshot], or is one of [chain.Open] and
// [chain.Chain.At].
func Open(name string, opts Options) (*Tree, error) {
	t := &Tree{path: name, show: opts.ShowControl}
	t.totals = sync.OnceValues(t.count)
	t.data = sync.OnceValue(t.newData)
	t.allMetas = sync.OnceValue(func() []*influx.Meta {
		layers := t.chain.Layers()
		return t.metas(chain.Point{Layer: layers[len(layers)-1]})
	})
	c, err := chain.Open(name, chain.Options{Keep: opts.Keep})
	if errors.Is(err, tarindex.ErrFormat) {
		if berr := t.openBolt(name, opts); berr == nil {
			return t, nil
		} else if !errors.Is(berr, boltview.ErrNotBolt) {
			return nil, fmt.Errorf("%s: %w", name, berr)
		}
		return nil, fmt.Errorf("%s: %w: %w", name, ErrNotSnapshot, err)
	}
	if err != nil {
		return nil, err
	}
	view, err := c.At(opts.At)
	if err != nil {
		c.Close()
		return nil, err
	}
	t.chain, t.mode, t.hashes = c, opts.Ghosts, opts.ShowHashes
	var meta bool
	t.view, meta = t.ghosts(view, opts.Ghosts)
	t.root = t.view
	t.bolts = newBolts(t.view, &t.maps, opts.Bolt)
	t.time = view.Point().Time
	t.control = t.controlDir(opts, meta)
	return t, nil
}

func (t *Tree) openBolt(name string, opts Options) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	r := io.ReaderAt(f)
	if m := t.maps.of(f); m != nil {
		r = m
	}
	if t.db, err = boltview.Open(r, st.Size(), opts.Bolt); err != nil {
		return errors.Join(err, t.maps.close(), f.Close())
	}
	if opts.At != "" && opts.At != chain.Latest {
		_ = errors.Join(t.maps.close(), f.Close())
		return hint.Wrap(fmt.Errorf("%q: %w", opts.At, chain.ErrNoPoint), "%s is a bare Bolt file, which has no points in time", name)
	}
	t.file, t.time = f, st.ModTime()
	t.root = t.db.FS(boltview.FSOptions{ModTime: st.ModTime()})
	t.control = t.controlDir(opts, false)
	return nil
}

// Close closes the files under the tree, which must not be used afterwards.
func (t *Tree) Close() error {
	err := t.maps.close()
	if t.chain != nil {
		return errors.Join(err, t.chain.Close())
	}
	return errors.Join(err, t.file.Close())
}

// Path returns the path that was given to [Open].
func (t *Tree) Path() string { return t.path }

// Chain returns the chain behind the tree, nil for a bare Bolt file.
func (t *Tree) Chain() *chain.Chain { return t.chain }

// View returns the view at the root, nil for a bare Bolt file.
func (t *Tree) View() *chain.View { return t.view }

// Totals returns the number of regular files at the root and below, and the sum
// of their sizes in bytes. A bare Bolt file counts as one.
func (t *Tree) Totals() (files, bytes int64) { return t.totals() }

// Runs yields where on disk files of at least min bytes are, in whatever point
// in time, as far as they lie in one piece: see [chain.Chain.Runs].
func (t *Tree) Runs(min int64) iter.Seq[attr.Run] {
	if t.chain == nil {
		return func(func(attr.Run) bool) {}
	}
	return t.chain.Runs(min)
}

func (t *Tree) count() (files, bytes int64) {
	if t.view == nil {
		return 1, t.db.Info().Size
	}
	for f := range t.view.Files() {
		if f.Mode.IsRegular() {
			files++
			bytes += f.Size
		}
	}
	return files, bytes
}

// Bolt returns the Bolt file name of the tree opened for reading; "." or ""
// stands for the bare Bolt file that the tree was opened with. The error
// matches [fs.ErrNotExist], or is one of [boltview.Open].
func (t *Tree) Bolt(name string) (*boltview.DB, error) {
	if t.db != nil {
		if name != "." && name != "" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return t.db, nil
	}
	name = path.Clean(name)
	if first, _ := split(name); first == Control {
		return openBolt(t, name, &t.maps, t.bolts.opts)
	}
	return t.bolts.open(name)
}

// find returns the tree that serves name, and its name in there.
func (t *Tree) find(op, name string) (fs.FS, string, error) {
	if !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	first, rest := split(name)
	switch first {
	case Control:
		sub, inner, err := t.control.find(rest)
		if err != nil {
			return nil, "", &fs.PathError{Op: op, Path: name, Err: err}
		}
		return sub, inner, nil
	case shadowed:
		if _, err := fs.Stat(t.root, name); errors.Is(err, fs.ErrNotExist) {
			return t.root, path.Join(Control, rest), nil
		}
	}
	return t.root, name, nil
}

// Find implements [attr.Finder] for the files of the snapshot at the root.
func (t *Tree) Find(ino uint64) (path string) {
	if t.view == nil {
		return ""
	}
	path = t.view.Find(ino)
	if first, _ := split(path); first == Control {
		return "" // it has another name here
	}
	return path
}

// InMemory implements [attr.Memory].
func (t *Tree) InMemory(dir string) bool {
	first, _ := split(dir)
	return t.view != nil && first != Control
}

// NamesOnly implements [attr.Names]: keys, series and points can be millions.
func (t *Tree) NamesOnly(dir string) bool {
	first, rest := split(dir)
	if first != Control {
		return t.db != nil
	}
	first, _ = split(rest)
	return first == boltsName || first == influxName
}

// Open implements [fs.FS].
func (t *Tree) Open(name string) (fs.File, error) {
	if name == "." {
		return t.openRoot()
	}
	fsys, inner, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	return openIn(fsys, inner, name)
}

// Stat implements [fs.StatFS]. Links are followed.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	fsys, inner, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	fi, err := fs.Stat(fsys, inner)
	return named(fi, err, name)
}

// Lstat implements [fs.ReadLinkFS].
func (t *Tree) Lstat(name string) (fs.FileInfo, error) {
	fsys, inner, err := t.find("lstat", name)
	if err != nil {
		return nil, err
	}
	fi, err := fs.Lstat(fsys, inner)
	return named(fi, err, name)
}

// ReadLink implements [fs.ReadLinkFS].
func (t *Tree) ReadLink(name string) (string, error) {
	fsys, inner, err := t.find("readlink", name)
	if err != nil {
		return "", err
	}
	target, err := fs.ReadLink(fsys, inner)
	return target, renamed(err, name)
}

// ReadDir implements [fs.ReadDirFS].
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	d, err := openDir(t, name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// openRoot opens the root of the snapshot, with the control directory in its
// listing if asked for, and an entry of the snapshot by that name renamed.
func (t *Tree) openRoot() (fs.File, error) {
	d, err := openDir(t.root, ".")
	if err != nil {
		return nil, err
	}
	root := &rootDir{ReadDirFile: d}
	if t.show {
		root.extra = lazyEntry{leaf{t.control}}
	}
	return root, nil
}

// rootDir is the open root directory.
type rootDir struct {
	fs.ReadDirFile
	extra fs.DirEntry // still to be listed
}

// ReadDir implements [fs.ReadDirFile].
func (d *rootDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if d.extra != nil && n == 1 {
		entries := []fs.DirEntry{d.extra}
		d.extra = nil
		return entries, nil
	}
	more := n
	if d.extra != nil && n > 0 {
		more--
	}
	entries, err := d.ReadDirFile.ReadDir(more)
	for i, e := range entries {
		if e.Name() == Control {
			entries[i] = renamedEntry{e, shadowed}
		}
	}
	if d.extra != nil {
		entries, d.extra = slices.Insert(entries, 0, d.extra), nil
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	return entries, err
}
