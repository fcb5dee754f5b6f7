package space

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/snapfs/snapfs/chain"
)

// controlDir makes the control directory. meta says whether the view has
// metadata that can be read.
func (t *Tree) controlDir(opts Options, meta bool) entry {
	d := &dir{}
	if t.chain != nil {
		t.addChain(d, meta)
	}
	if opts.Status != nil {
		d.add(entry{name: "status.json", data: opts.Status, time: t.time, volatile: true})
	}
	return entry{name: Control, dir: d, time: t.time}
}

// addChain adds what there is of a chain.
func (t *Tree) addChain(control *dir, meta bool) {
	points, layers, times := &dir{}, &dir{}, &dir{}
	seen := map[string]int{}
	var at func() (fs.FS, error)
	for p := range t.chain.Points() {
		at = t.at(p.Name)
		points.add(entry{name: p.Name, open: at, time: p.Time})
		layers.add(entry{name: p.Name, open: func() (fs.FS, error) { return t.chain.LayerView(p.Layer), nil }, time: p.Time})
		if p.Time.IsZero() {
			continue
		}
		name := p.Time.UTC().Format(chain.TimeName)
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, seen[name])
		}
		times.add(entry{name: name, link: "../points/" + p.Name, open: at, time: p.Time})
	}
	newest, _ := t.chain.At(chain.Latest)
	points.add(entry{name: chain.Latest, link: newest.Point().Name, open: at, time: newest.Point().Time})

	control.add(entry{name: "chain.json", data: func() ([]byte, error) { return Describe(t.chain) }, time: t.time})
	if meta {
		control.add(entry{name: "meta.json", data: t.metaJSON, time: t.time})
	}
	control.add(entry{name: "points", dir: points, time: t.time})
	control.add(entry{name: "times", dir: times, time: t.time})
	control.add(entry{name: "layers", dir: layers, time: t.time})
	control.add(entry{name: boltsName, open: func() (fs.FS, error) { return t.bolts, nil }, time: t.time})
	if t.chain.Dialect() != chain.Unknown {
		influx, byTime := newInfluxTree(t.Data, t.time), made{sync.OnceValue(t.byTime)}
		control.add(entry{name: influxName, open: func() (fs.FS, error) { return influx, nil }, time: t.time})
		control.add(entry{name: "by-time", open: func() (fs.FS, error) { return byTime, nil }, time: t.time})
	}
}

// at returns what opens the view at a point. It is made once, when it is first
// asked for.
func (t *Tree) at(point string) func() (fs.FS, error) {
	return sync.OnceValues(func() (fs.FS, error) {
		v, err := t.chain.At(point)
		if err != nil {
			return nil, err
		}
		v, _ = t.ghosts(v, t.mode)
		return v, nil
	})
}

// description is chain.json.
type description struct {
	Path     string          `json:"path"`
	Dialect  chain.Dialect   `json:"dialect"`
	Layers   []layer         `json:"layers"`
	Warnings []chain.Warning `json:"warnings"`
}

type layer struct {
	*chain.Layer
	Damage string `json:"damage,omitempty"`
}

// Describe returns what is known of a chain as indented JSON: the content of
// chain.json.
func Describe(c *chain.Chain) ([]byte, error) {
	d := description{Path: c.Path(), Dialect: c.Dialect(), Warnings: c.Warnings()}
	if d.Warnings == nil {
		d.Warnings = []chain.Warning{}
	}
	for _, l := range c.Layers() {
		out := layer{Layer: l}
		if l.Err != nil {
			out.Damage = l.Err.Error()
		}
		d.Layers = append(d.Layers, out)
	}
	b, err := json.MarshalIndent(d, "", "  ")
	return append(b, '\n'), err
}

// dir is a directory of the control tree. Its entries are set before it is
// used.
type dir struct{ entries []entry }

// entry is one thing in a dir: a file that has data, a directory that has dir,
// or a tree that open makes; with a link, a symbolic link to that tree.
type entry struct {
	name     string
	time     time.Time
	data     func() ([]byte, error) // makes the content
	volatile bool                   // the content differs each time
	dir      *dir
	open     func() (fs.FS, error)
	link     string // the target as text
}

func (d *dir) add(e entry) {
	at, _ := slices.BinarySearchFunc(d.entries, e.name, byName)
	d.entries = slices.Insert(d.entries, at, e)
}

func byName(e entry, name string) int { return bytes.Compare([]byte(e.name), []byte(name)) }

// find returns the tree that serves name, and its name in there. What is of the
// control directory itself is a tree by itself, a [leaf].
func (e entry) find(name string) (fs.FS, string, error) {
	at := e
	for name != "." {
		if at.dir == nil {
			return nil, "", fs.ErrNotExist
		}
		first, rest := split(name)
		i, ok := slices.BinarySearchFunc(at.dir.entries, first, byName)
		if !ok {
			return nil, "", fs.ErrNotExist
		}
		at, name = at.dir.entries[i], rest
		if at.open != nil && (at.link == "" || rest != ".") {
			sub, err := at.open()
			return sub, rest, err
		}
	}
	return leaf{at}, at.name, nil
}

// info is the fs.FileInfo of something that is not of the snapshot.
type info struct {
	name     string
	size     int64
	mode     fs.FileMode
	time     time.Time
	volatile bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.time }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return i }

// Volatile implements [attr.Volatile].
func (i info) Volatile() bool { return i.volatile }

// file is an open generated file.
type file struct {
	*bytes.Reader
	info info
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

// listing is an open directory of the control tree.
type listing struct {
	info info
	left []entry
}

func (d *listing) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *listing) Close() error               { return nil }
func (d *listing) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: fs.ErrInvalid}
}

// ReadDir implements [fs.ReadDirFile].
func (d *listing) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(d.left) {
		if n > 0 && len(d.left) == 0 {
			return nil, io.EOF
		}
		n = len(d.left)
	}
	out := make([]fs.DirEntry, 0, n)
	for _, e := range d.left[:n] {
		out = append(out, lazyEntry{leaf{e}})
	}
	d.left = d.left[n:]
	return out, nil
}
