package boltview

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/snapfs/snapfs/internal/names"
)

// InfoName is the file in the root of a [FS] that holds [DB.Info] as JSON. No
// key has that name.
const InfoName = ".info.json"

// FSOptions says what a tree shows beside names and contents.
type FSOptions struct {
	// Seed is the number that inode numbers start from: that of the file which
	// holds the database.
	Seed uint64
	// ModTime is the time of every file: Bolt knows none.
	ModTime time.Time
}

// FS shows a Bolt file as a tree: buckets are directories, keys are files with
// the value as content, and [InfoName] tells about the whole. File names are
// the keys, percent-encoded where they are not plain.
//
// It implements [fs.FS], [fs.StatFS] and [fs.ReadDirFS]. A name is looked up
// without listing its bucket. Open directories stream in the order of keys and
// can [io.Seeker.Seek] to an entry by its number; files are [io.ReaderAt] and
// attr.Extent. FileInfo.Sys gives the attributes key, and for buckets sequence,
// page and keys.
//
// A damaged page takes only its own keys along: a listing goes on behind it,
// and ends in an error that is [ErrCorrupt].
type FS struct {
	db   *DB
	opts FSOptions
}

// FS returns the tree of the file.
func (db *DB) FS(opts FSOptions) *FS { return &FS{db, opts} }

// Open opens a file or directory.
func (fsys *FS) Open(name string) (fs.File, error) {
	f, err := fsys.open(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

func (fsys *FS) open(name string) (fs.File, error) {
	n, err := fsys.lookup(name)
	if err != nil {
		return nil, err
	}
	if !n.IsDir() {
		return newFile(n), nil
	}
	b, err := n.bucket()
	if err != nil {
		return nil, err
	}
	return &dir{info: n, b: b}, nil
}

// Stat describes a file or directory.
func (fsys *FS) Stat(name string) (fs.FileInfo, error) {
	n, err := fsys.lookup(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return n, nil
}

// ReadDir lists a whole bucket, sorted by name. For a big one, open it and use
// [fs.ReadDirFile.ReadDir] with a limit.
func (fsys *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := fsys.open(name)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	d, ok := f.(*dir)
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	defer d.Close()
	list, err := d.ReadDir(-1)
	slices.SortStableFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, err
}

var errNotDir = errors.New("not a directory")

// lookup finds what a path stands for.
func (fsys *FS) lookup(name string) (*info, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	if name == "." {
		return &info{fsys: fsys, dir: ".", name: ".", root: fsys.db.Root()}, nil
	}
	if name == InfoName {
		return fsys.infoFile(), nil
	}
	b := fsys.db.Root()
	dir, last := ".", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		dir, last = name[:i], name[i+1:]
		for elem := range strings.SplitSeq(dir, "/") {
			it, err := b.named(elem)
			if err != nil {
				return nil, err
			}
			if b, err = it.Bucket(); err != nil {
				if errors.Is(err, ErrNotBucket) {
					err = fs.ErrNotExist
				}
				return nil, err
			}
		}
	}
	it, err := b.named(last)
	if err != nil {
		return nil, err
	}
	return &info{fsys: fsys, dir: dir, name: last, item: it}, nil
}

// infoFile returns the file [InfoName].
func (fsys *FS) infoFile() *info {
	// The struct holds nothing that JSON cannot say.
	data, _ := json.MarshalIndent(fsys.db.Info(), "", "  ")
	return &info{fsys: fsys, dir: ".", name: InfoName, data: append(data, '\n')}
}

// named returns the item with a file name. A name that is not there is
// [fs.ErrNotExist].
func (b *Bucket) named(name string) (Item, error) {
	prefix, long := names.Long(name)
	if !long {
		key, ok := names.Decode(name)
		// Other names than that of the listing may decode to a key.
		if !ok || names.Key(key) != name {
			return Item{}, fs.ErrNotExist
		}
		it, err := b.Item(key)
		if errors.Is(err, ErrNotFound) {
			err = fs.ErrNotExist
		}
		return it, err
	}
	var damage error
	for it, err := range b.From(prefix) {
		switch {
		case err != nil && damage == nil:
			damage = err
		case err != nil:
		case !bytes.HasPrefix(it.Key, prefix):
			return Item{}, orNotExist(damage)
		case names.Key(it.Key) == name:
			return it.Clone(), nil
		}
	}
	return Item{}, orNotExist(damage)
}

// orNotExist says that a name is missing only if all was seen.
func orNotExist(damage error) error {
	if damage != nil {
		return damage
	}
	return fs.ErrNotExist
}
