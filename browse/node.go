package browse

import (
	"errors"
	"io"
	"io/fs"
	"path"

	tea "charm.land/bubbletea/v2"

	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/space"
)

const (
	// firstChunk and lastChunk are how many entries of a directory are read at
	// a time: few at first, for the screen, and more if all are wanted.
	firstChunk = 256
	lastChunk  = 16 << 10

	// maxKids bounds the entries of a directory that are kept.
	maxKids = 1 << 20
)

// node is something in the tree that was listed.
type node struct {
	parent  *node
	name    string
	label   string // shown in its place, if not ""
	within  string // path that its entries are in, if it is not its own: of a Bolt file
	depth   int
	mode    fs.FileMode
	ghost   bool
	damaged bool

	open  bool
	kids  []*node
	dir   fs.ReadDirFile // being listed; nil before and after
	done  bool           // all entries are in kids
	cut   bool           // there are more than maxKids
	err   error          // of the listing
	chunk int
}

// path returns where the node is in the tree.
func (n *node) path() string {
	if n.parent == nil {
		return "."
	}
	return path.Join(n.parent.base(), n.name)
}

// base returns where its entries are.
func (n *node) base() string {
	if n.within != "" {
		return n.within
	}
	return n.path()
}

// holds reports whether the node has entries, as far as is known.
func (n *node) holds() bool { return n.mode.IsDir() || n.within != "" }

// row is a line of the tree.
type row struct {
	n    *node
	more bool // stands for the entries of n that were not read yet
}

// rows appends the rows of what is in n.
func (n *node) rows(to []row) []row {
	for _, k := range n.kids {
		to = append(to, row{n: k})
		if k.open {
			to = k.rows(to)
		}
	}
	if !n.done || n.cut || n.err != nil {
		to = append(to, row{n, true})
	}
	return to
}

// loaded is the message that a part of a directory was read.
type loaded struct {
	n    *node
	dir  fs.ReadDirFile
	kids []*node
	done bool
	err  error
}

// load returns the command that reads more of a directory.
func (m *Model) load(n *node) tea.Cmd {
	name, dir := n.base(), n.dir
	n.chunk = min(max(2*n.chunk, firstChunk), lastChunk)
	chunk := min(n.chunk, maxKids-len(n.kids))
	return m.runs.command(func() tea.Msg {
		if dir == nil {
			var err error
			if dir, err = openDir(m.tree, name); err != nil {
				return loaded{n: n, done: true, err: err}
			}
		}
		entries, err := dir.ReadDir(chunk)
		msg := loaded{n: n, dir: dir, kids: make([]*node, 0, len(entries))}
		for _, e := range entries {
			msg.kids = append(msg.kids, newNode(n, e))
		}
		if err != nil || len(entries) == 0 {
			msg.done = true
			if !errors.Is(err, io.EOF) {
				msg.err = err
			}
		}
		return msg
	})
}

func openDir(tree fs.FS, name string) (fs.ReadDirFile, error) {
	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	if d, ok := f.(fs.ReadDirFile); ok {
		return d, nil
	}
	f.Close()
	return nil, &fs.PathError{Op: "list", Path: name, Err: errors.New("not a directory")}
}

func newNode(parent *node, e fs.DirEntry) *node {
	n := &node{parent: parent, name: e.Name(), depth: parent.depth + 1, mode: e.Type()}
	fi, err := e.Info()
	if err != nil {
		n.damaged = true
		return n
	}
	for k := range attr.All(fi) {
		n.ghost = n.ghost || k == "ghost"
		n.damaged = n.damaged || k == "damage"
	}
	if text := label(n.name, fi); text != n.name {
		n.label = text
	}
	return n
}

// label returns what is shown for a name: of a key that is a time that time,
// which the name does not tell anybody.
func label(name string, fi fs.FileInfo) string {
	for k, v := range attr.All(fi) {
		if t, ok := keyTime(v); ok && k == "key" {
			return t.Format(timeLayout)
		}
	}
	return name
}

// text returns what is shown in the tree.
func (n *node) text() string {
	if n.label != "" {
		return n.label
	}
	return n.name
}

// add puts what was read into the tree.
func (m *Model) add(msg loaded) {
	n := msg.n
	m.loading = nil
	n.dir, n.err, n.done = msg.dir, msg.err, msg.done
	n.kids = append(n.kids, msg.kids...)
	if len(n.kids) >= maxKids && !n.done {
		n.cut, n.done = true, true
	}
	if n.done && n.dir != nil {
		n.dir.Close()
		n.dir = nil
	}
	m.rebuild()
}

// rebuild makes the rows anew; what is selected stays.
func (m *Model) rebuild() {
	at := m.selected()
	waits := m.cur < len(m.rows) && m.rows[m.cur].more // for what has come now
	m.rows = append(m.rows[:0], row{n: m.root})
	if m.root.open {
		m.rows = m.root.rows(m.rows)
	}
	if m.cur < len(m.rows) && (waits || m.rows[m.cur].n == at) {
		return
	}
	for at != nil {
		for i, r := range m.rows {
			if r.n == at && !r.more {
				m.cur = i
				return
			}
		}
		at = at.parent // what is no longer shown lies in it
	}
	m.cur = min(m.cur, len(m.rows)-1)
}

// boltDir returns where the buckets of a Bolt file are, whether or not it is one.
func boltDir(name string) string { return path.Join(space.Control, "bolt", name) }

// closeAll closes the directories that were not read to their end.
func (n *node) closeAll() {
	if n.dir != nil {
		n.dir.Close()
		n.dir = nil
	}
	for _, k := range n.kids {
		k.closeAll()
	}
}
