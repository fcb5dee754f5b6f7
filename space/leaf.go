package space

import (
	"bytes"
	"io/fs"
)

// leaf is an entry of the control directory as a tree that holds nothing else:
// every name is the entry itself.
type leaf struct{ entry }

// Open implements [fs.FS]. A link is followed.
func (l leaf) Open(name string) (fs.File, error) {
	switch {
	case l.dir != nil:
		return &listing{info: l.plain(), left: l.dir.entries}, nil
	case l.data != nil:
		b, err := l.data()
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		i := l.plain()
		i.size = int64(len(b))
		return &file{bytes.NewReader(b), i}, nil
	}
	sub, err := l.open()
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return openIn(sub, ".", l.name)
}

// Stat implements [fs.StatFS]. A link is followed.
func (l leaf) Stat(name string) (fs.FileInfo, error) {
	if l.link == "" {
		return l.Lstat(name)
	}
	sub, err := l.open()
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return fs.Stat(sub, ".")
}

// Lstat implements [fs.ReadLinkFS].
func (l leaf) Lstat(name string) (fs.FileInfo, error) {
	i := l.plain()
	if l.data != nil {
		b, err := l.data()
		if err != nil {
			return nil, &fs.PathError{Op: "lstat", Path: name, Err: err}
		}
		i.size = int64(len(b))
	}
	return i, nil
}

// ReadLink implements [fs.ReadLinkFS].
func (l leaf) ReadLink(name string) (string, error) {
	if l.link == "" {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return l.link, nil
}

// plain describes the entry without making its content.
func (l leaf) plain() info {
	i := info{name: l.name, time: l.time, volatile: l.volatile, mode: 0o444}
	switch {
	case l.link != "":
		i.mode = fs.ModeSymlink | 0o777
		i.size = int64(len(l.link))
	case l.data == nil:
		i.mode = fs.ModeDir | 0o555
	}
	return i
}

// lazyEntry is a directory entry whose content is not made until asked for.
type lazyEntry struct{ leaf }

func (e lazyEntry) Name() string               { return e.name }
func (e lazyEntry) IsDir() bool                { return e.Type().IsDir() }
func (e lazyEntry) Type() fs.FileMode          { return e.plain().mode.Type() }
func (e lazyEntry) Info() (fs.FileInfo, error) { return e.Lstat(e.name) }
