package boltview

import (
	"io"
	"io/fs"
	"sync"

	"github.com/snapfs/snapfs/internal/names"
)

// dir is an open bucket. It holds a cursor, not the keys.
type dir struct {
	info *info
	b    *Bucket

	mu     sync.Mutex
	c      *cursor
	first  bool  // the next entry is [InfoName]
	done   bool  // no key is left
	damage error // first one met, told at the end
	closed bool
}

func (d *dir) Stat() (fs.FileInfo, error) { return d.info, nil }

func (d *dir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.path(), Err: errIsDir}
}

func (d *dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.c != nil {
		d.b.db.release(d.c)
		d.c = nil
	}
	d.closed = true
	return nil
}

// rewind goes to the first entry.
func (d *dir) rewind() {
	if d.c == nil {
		d.c = d.b.db.cursor()
	}
	d.first = d.info.name == "."
	d.done = false
	_, d.damage = d.c.seek(d.b, nil)
}

// ReadDir returns the next n entries, or all with n <= 0, in the order of keys.
// Where pages are damaged it goes on behind them, and returns the first damage
// at the end in place of io.EOF.
func (d *dir) ReadDir(n int) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, d.fail(fs.ErrClosed)
	}
	if d.c == nil {
		d.rewind()
	}
	var list []fs.DirEntry
	if n > 0 {
		list = make([]fs.DirEntry, 0, min(n, 1024))
	}
	if d.first {
		d.first = false
		list = append(list, fs.FileInfoToDirEntry(d.info.fsys.infoFile()))
	}
	for !d.done && (n <= 0 || len(list) < n) {
		it, ok, err := d.c.next()
		switch {
		case err != nil:
			if d.damage == nil {
				d.damage = err
			}
		case !ok:
			d.done = true
		default:
			it = it.Clone()
			path := d.info.path()
			list = append(list, fs.FileInfoToDirEntry(&info{fsys: d.info.fsys, dir: path, name: names.Key(it.Key), item: it}))
		}
	}
	switch {
	case n > 0 && len(list) > 0:
		return list, nil
	case d.damage != nil:
		return list, d.fail(d.damage)
	case n > 0:
		return nil, io.EOF
	}
	return list, nil
}

// Seek goes to the entry number off, counted from 0 as ReadDir returns them.
// Only io.SeekStart is possible. It reads the leaf pages on the way, not their
// keys.
func (d *dir) Seek(off int64, whence int) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, d.fail(fs.ErrClosed)
	}
	if whence != io.SeekStart || off < 0 {
		return 0, d.fail(fs.ErrInvalid)
	}
	d.rewind()
	rest := off
	if d.first && rest > 0 {
		d.first = false
		rest--
	}
	for rest > 0 && !d.done {
		n, err := d.c.skip(rest)
		switch {
		case err != nil:
			if d.damage == nil {
				d.damage = err
			}
		case n == 0:
			d.done = true
		}
		rest -= n
	}
	return off - rest, nil
}

func (d *dir) fail(err error) error {
	return &fs.PathError{Op: "readdir", Path: d.info.path(), Err: err}
}

// listDir is an open directory with few entries, which are all there.
type listDir struct {
	info *info
	list []fs.DirEntry

	mu   sync.Mutex
	done int
}

func (d *listDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *listDir) Close() error               { return nil }

func (d *listDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.path(), Err: errIsDir}
}

func (d *listDir) ReadDir(n int) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rest := d.list[d.done:]
	if n > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(n, len(rest))]
	}
	d.done += len(rest)
	return rest, nil
}
