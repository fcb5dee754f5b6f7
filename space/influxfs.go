package space

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/snapfs/snapfs/internal/names"
)

// lineExt is the ending of files of line protocol.
const lineExt = ".lp"

// lineName returns the name of the file of a series: that of its key with the
// ending, or, as names.Key does it, what there is room for and a hash.
func lineName(key string) string {
	name := names.Key([]byte(key))
	if len(name)+len(lineExt) <= names.Max {
		return name + lineExt
	}
	hash := fmt.Sprintf("~%x", sha256.Sum256([]byte(key)))[:1+16]
	cut := names.Max - len(lineExt) - len(hash)
	// Neither an escape nor a rune may be cut in two.
	if i := strings.LastIndexByte(name[:cut], '%'); i >= cut-2 {
		cut = i
	}
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + hash + lineExt
}

// Open implements [fs.FS].
func (x *influxTree) Open(name string) (fs.File, error) {
	f, err := x.open(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

func (x *influxTree) open(name string) (fs.File, error) {
	n, err := x.find(name)
	if err != nil {
		return nil, err
	}
	switch {
	case n.list != nil:
		next, stop := iter.Pull2(n.list())
		return &lineDir{info: n.info, next: next, stop: stop}, nil
	case n.data != nil:
		b, err := n.data()
		return &lineJSON{bytes.NewReader(b), n.info}, err
	}
	return &lineFile{info: n.info, set: x.set(), series: *n.series}, nil
}

// Stat implements [fs.StatFS].
func (x *influxTree) Stat(name string) (fs.FileInfo, error) {
	n, err := x.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return n.info, nil
}

// lineJSON is an open file of JSON.
type lineJSON struct {
	*bytes.Reader
	info lineInfo
}

func (f *lineJSON) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *lineJSON) Close() error               { return nil }

// lineDir is an open directory. After damage its listing goes on, and ends in an
// error.
type lineDir struct {
	info   lineInfo
	next   func() (lineInfo, error, bool)
	stop   func()
	damage error
}

func (d *lineDir) Stat() (fs.FileInfo, error) { return d.info, nil }

func (d *lineDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a directory")}
}

// ReadDir implements [fs.ReadDirFile].
func (d *lineDir) ReadDir(n int) ([]fs.DirEntry, error) {
	var out []fs.DirEntry
	for n <= 0 || len(out) < n {
		i, err, more := d.next()
		if !more {
			if d.damage != nil && (n <= 0 || len(out) == 0) {
				return out, &fs.PathError{Op: "readdir", Path: d.info.name, Err: d.damage}
			}
			if n > 0 && len(out) == 0 {
				return nil, io.EOF
			}
			break
		}
		if err != nil {
			if d.damage == nil {
				d.damage = err
			}
			continue
		}
		out = append(out, fs.FileInfoToDirEntry(i))
	}
	return out, nil
}

// Close implements [fs.File].
func (d *lineDir) Close() error {
	d.stop()
	return nil
}
