package space

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/attr"
)

// maxOpen is the number of Bolt files that are kept open between two calls.
const maxOpen = 64

// bolts shows the Bolt files of a tree as directories: the tree of directories
// stays, each Bolt file is the tree in it, and other files are left out.
type bolts struct {
	root fs.FS
	opts boltview.Options
	maps *maps

	mu   sync.Mutex // guards what follows; never held while reading
	dbs  map[string]func() (*boltview.DB, error)
	uses []string // keys of dbs, the one used last at the end
}

func newBolts(root fs.FS, m *maps, opts boltview.Options) *bolts {
	return &bolts{root: root, maps: m, opts: opts, dbs: map[string]func() (*boltview.DB, error){}}
}

// open returns the Bolt file name of the tree.
func (b *bolts) open(name string) (*boltview.DB, error) {
	b.mu.Lock()
	get, ok := b.dbs[name]
	if !ok {
		get = sync.OnceValues(func() (*boltview.DB, error) { return openBolt(b.root, name, b.maps, b.opts) })
		b.dbs[name] = get
		if len(b.uses) == maxOpen {
			delete(b.dbs, b.uses[0])
			b.uses = b.uses[1:]
		}
		b.uses = append(b.uses, name)
	} else if last := len(b.uses) - 1; b.uses[last] != name {
		for i, u := range b.uses {
			if u == name {
				copy(b.uses[i:], b.uses[i+1:])
				b.uses[last] = name
				break
			}
		}
	}
	b.mu.Unlock()
	return get()
}

// openBolt opens a Bolt file of any tree. The file stays open: what a view
// opens holds no descriptor of its own.
func openBolt(root fs.FS, name string, m *maps, opts boltview.Options) (*boltview.DB, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r, ok := f.(io.ReaderAt)
	if !ok || !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: boltview.ErrNotBolt}
	}
	db, err := boltview.Open(m.reader(r, fi.Size()), fi.Size(), opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return db, nil
}

// find returns the tree that serves name: a Bolt file's, or nil for the
// directories above them.
func (b *bolts) find(op, name string) (fsys *boltview.FS, inner string, err error) {
	if !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	for end := 0; end < len(name); {
		n := strings.IndexByte(name[end:], '/')
		if n < 0 {
			n = len(name) - end
		}
		file := name[:end+n]
		fi, err := fs.Stat(b.root, file)
		if err != nil {
			return nil, "", renamed(err, name)
		}
		if !fi.IsDir() {
			fsys, err := b.tree(file, fi)
			if err != nil {
				return nil, "", &fs.PathError{Op: op, Path: name, Err: missing(err)}
			}
			inner := strings.TrimPrefix(name[end+n:], "/")
			if inner == "" {
				inner = "."
			}
			return fsys, inner, nil
		}
		end += n + 1
	}
	return nil, name, nil
}

// missing turns the error of a file that is no Bolt file into one of a file
// that is not there.
func missing(err error) error {
	if errors.Is(err, boltview.ErrNotBolt) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

func (b *bolts) tree(name string, fi fs.FileInfo) (*boltview.FS, error) {
	db, err := b.open(name)
	if err != nil {
		return nil, err
	}
	ino, _ := attr.Ino(fi)
	return db.FS(boltview.FSOptions{Seed: ino, ModTime: fi.ModTime()}), nil
}

// Open implements [fs.FS].
func (b *bolts) Open(name string) (fs.File, error) {
	fsys, inner, err := b.find("open", name)
	if err != nil {
		return nil, err
	}
	if fsys == nil {
		d, err := openDir(b.root, inner)
		if err != nil {
			return nil, err
		}
		return &boltDir{d, b, name}, nil
	}
	return openIn(fsys, inner, name)
}

// Stat implements [fs.StatFS].
func (b *bolts) Stat(name string) (fs.FileInfo, error) {
	fsys, inner, err := b.find("stat", name)
	if err != nil {
		return nil, err
	}
	if fsys == nil {
		fi, err := fs.Stat(b.root, inner)
		if err != nil {
			return nil, err
		}
		return madeDir{fi}, nil
	}
	fi, err := fsys.Stat(inner)
	return named(fi, err, name)
}

// boltDir is an open directory above the Bolt files.
type boltDir struct {
	fs.ReadDirFile
	b    *bolts
	name string
}

func (d *boltDir) Stat() (fs.FileInfo, error) {
	fi, err := d.ReadDirFile.Stat()
	if err != nil {
		return nil, err
	}
	return madeDir{fi}, nil
}

// ReadDir implements [fs.ReadDirFile]. Each file is opened to see what it is.
func (d *boltDir) ReadDir(n int) ([]fs.DirEntry, error) {
	for {
		entries, err := d.ReadDirFile.ReadDir(n)
		kept := entries[:0]
		for _, e := range entries {
			if !e.Type().IsDir() && !e.Type().IsRegular() {
				continue
			}
			if e.IsDir() {
				kept = append(kept, dirOf{e})
				continue
			}
			// A file that cannot be read is listed: opening it tells why.
			if db, err := openBolt(d.b.root, path.Join(d.name, e.Name()), d.b.maps, boltview.Options{}); db != nil || !errors.Is(err, boltview.ErrNotBolt) {
				kept = append(kept, dirOf{e})
			}
		}
		if len(kept) > 0 || err != nil || n <= 0 {
			return kept, err
		}
	}
}

// dirOf is the entry of a file or directory that appears as a directory.
type dirOf struct{ fs.DirEntry }

func (e dirOf) IsDir() bool       { return true }
func (e dirOf) Type() fs.FileMode { return fs.ModeDir }

func (e dirOf) Info() (fs.FileInfo, error) {
	fi, err := e.DirEntry.Info()
	if err != nil {
		return nil, err
	}
	return madeDir{fi}, nil
}

// madeDir is the information about a directory that stands for something else.
// It has no identity or attributes of its own.
type madeDir struct{ fs.FileInfo }

func (i madeDir) IsDir() bool       { return true }
func (i madeDir) Mode() fs.FileMode { return fs.ModeDir | 0o555 }
func (i madeDir) Size() int64       { return 0 }
func (i madeDir) Sys() any          { return nil }
