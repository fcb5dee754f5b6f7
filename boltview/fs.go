package boltview

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snapfs/snapfs/internal/names"
)

// InfoName is the file in the root of a [FS] that holds [DB.Info] as JSON. No
// key has that name.
const InfoName = ".info.json"

// SalvageName is the directory in the root of a [FS] that holds the trees of
// [Info.Candidates], each under the number of its page. It is not listed in the
// root, and is there only if opening had to search.
const SalvageName = ".salvage"

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
	switch {
	case !n.IsDir():
		return newFile(n), nil
	case n.salvage:
		return &listDir{info: n, list: fsys.salvage()}, nil
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
	d, ok := f.(fs.ReadDirFile)
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	defer d.Close()
	list, err := d.ReadDir(-1)
	slices.SortStableFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, err
}

var (
	errNotDir = errors.New("not a directory")
	errIsDir  = errors.New("is a directory")
)

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
	if rest, ok := strings.CutPrefix(name, SalvageName); ok && (rest == "" || rest[0] == '/') {
		if rest == "" {
			if len(fsys.db.cands) == 0 {
				return nil, fs.ErrNotExist
			}
			return &info{fsys: fsys, dir: ".", name: SalvageName, salvage: true}, nil
		}
		page, in, deeper := strings.Cut(rest[1:], "/")
		b, err := fsys.candidate(page)
		if err != nil {
			return nil, err
		}
		if !deeper {
			return &info{fsys: fsys, dir: SalvageName, name: page, root: b}, nil
		}
		return fsys.under(b, b.label, in)
	}
	return fsys.under(fsys.db.Root(), ".", name)
}

// under finds the path name below the bucket at the path top.
func (fsys *FS) under(b *Bucket, top, name string) (*info, error) {
	dir, last := top, name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		dir, last = join(top, name[:i]), name[i+1:]
		for elem := range strings.SplitSeq(name[:i], "/") {
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

// candidate returns the root of the tree that is called name in [SalvageName].
func (fsys *FS) candidate(name string) (*Bucket, error) {
	for _, c := range fsys.db.cands {
		if strconv.FormatUint(c.Page, 10) == name {
			return fsys.db.At(c.Page)
		}
	}
	return nil, fs.ErrNotExist
}

// salvage lists [SalvageName].
func (fsys *FS) salvage() []fs.DirEntry {
	var list []fs.DirEntry
	for _, c := range fsys.db.cands {
		name := strconv.FormatUint(c.Page, 10)
		if b, err := fsys.candidate(name); err == nil {
			list = append(list, fs.FileInfoToDirEntry(&info{fsys: fsys, dir: SalvageName, name: name, root: b}))
		}
	}
	return list
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
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
