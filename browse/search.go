package browse

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"github.com/snapfs/snapfs/space"
)

// search is a search under way.
type search struct {
	cancel context.CancelFunc
}

// found is the message that a search has ended.
type found struct {
	s       *search
	in      *node
	path    string // below in; "" if there is none
	wrapped bool   // it was found before the place where the search began
	text    string
	err     error
}

func (m *Model) cancelSearch() {
	if m.next != nil {
		m.next.cancel()
		m.next = nil
	}
}

// find returns the command that searches for a name with text in it, in the
// directory where the selected row is, and below. It begins behind that row, or
// before it if back is set, and goes on from the other end.
func (m *Model) find(text string, back bool) tea.Cmd {
	m.cancelSearch()
	in := m.selected()
	from := ""
	if !in.open || in == m.root {
		if in.parent != nil {
			from = in.name
			in = in.parent
		}
	}
	// The directory that was searched in stays the same from match to match.
	if m.scope != nil && m.scope.text == text && m.scope.holds(m.selected()) {
		in = m.scope.in
		from = strings.TrimPrefix(strings.TrimPrefix(m.selected().path(), in.base()), "/")
	} else {
		m.scope = &scope{in, text}
	}
	ctx, cancel := context.WithCancel(m.ctx)
	s := &search{cancel}
	m.next, m.last, m.message = s, text, "searching …  (esc ends it)"
	tree, base := fs.FS(m.tree), in.base()
	return m.runs.command(func() tea.Msg {
		w := walker{ctx: ctx, tree: tree, match: matcher(text), from: from, back: back}
		err := w.walk(base, "")
		msg := found{s: s, in: in, text: text, err: err}
		switch {
		case back && w.before != "":
			msg.path = w.before
		case back:
			msg.path, msg.wrapped = w.lastMatch, true
		case w.after != "":
			msg.path = w.after
		default:
			msg.path, msg.wrapped = w.first, true
		}
		if from == "" {
			msg.wrapped = false
		}
		return msg
	})
}

// scope is where is searched, and for what.
type scope struct {
	in   *node
	text string
}

// holds reports whether n lies in the directory that is searched.
func (s *scope) holds(n *node) bool {
	for ; n != nil; n = n.parent {
		if n == s.in {
			return true
		}
	}
	return false
}

func (m *Model) takeFound(f found) {
	if m.next != f.s {
		return // ended, or another one has begun
	}
	m.next.cancel()
	m.next = nil
	switch {
	case f.path != "":
		m.message = ""
		if f.wrapped {
			m.message = "went on from the other end"
		}
		m.goal = &goal{f.in, strings.Split(f.path, "/")}
		m.focus = paneTree
	case f.err != nil:
		m.message = f.err.Error()
	default:
		m.message = "not found in " + f.in.base() + ": " + f.text
	}
}

// matcher returns what tells whether a name has text in it, whatever the case.
// A * stands for anything.
func matcher(text string) func(name string) bool {
	parts := strings.Split(fold(text), "*")
	return func(name string) bool {
		name = fold(name)
		for _, p := range parts {
			i := strings.Index(name, p)
			if i < 0 {
				return false
			}
			name = name[i+len(p):]
		}
		return true
	}
}

func fold(s string) string { return strings.Map(unicode.ToLower, s) }

// walker goes through a directory in the order of its listings.
type walker struct {
	ctx   context.Context
	tree  fs.FS
	match func(string) bool
	from  string // the search begins behind this path
	seen  bool   // whether from was passed
	back  bool   // the match before from is wanted

	first, before, after, lastMatch string // matches, first and last of all, and around from
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// walk goes through what is in dir, whose path below the beginning is rel.
func (w *walker) walk(dir, rel string) error {
	err := w.list(dir, rel)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (w *walker) list(dir, rel string) error {
	d, err := openDir(w.tree, dir)
	if err != nil {
		return err
	}
	defer d.Close()
	var damage error
	var last fs.DirEntry // the control directory, which shows everything once more
	for {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		entries, err := d.ReadDir(firstChunk)
		for _, e := range entries {
			if dir == "." && e.Name() == space.Control {
				last = e
				continue
			}
			if verr := w.entry(dir, rel, e); verr != nil {
				if errors.Is(verr, errEnough) || w.ctx.Err() != nil {
					return verr
				}
				damage = cmp.Or(damage, verr)
			}
		}
		if err == nil && len(entries) > 0 {
			continue
		}
		if !errors.Is(err, io.EOF) {
			damage = cmp.Or(damage, err)
		}
		if last != nil {
			if err := w.entry(dir, rel, last); err != nil {
				return err
			}
		}
		return damage
	}
}

// entry looks at an entry of a directory, and what is in it.
func (w *walker) entry(dir, rel string, e fs.DirEntry) error {
	name := path.Join(rel, e.Name())
	if name == w.from && w.from != "" {
		w.seen = true
		w.before = w.lastMatch
	}
	if err := w.visit(name, e.Name()); err != nil {
		return err
	}
	if e.IsDir() {
		return w.list(path.Join(dir, e.Name()), name)
	}
	return nil
}

func (w *walker) visit(name, base string) error {
	if !w.match(base) {
		return nil
	}
	if w.first == "" {
		w.first = name
	}
	w.lastMatch = name
	if w.after == "" && name != w.from && (w.seen || w.from == "") {
		w.after = name
		if !w.back {
			return errEnough
		}
	}
	return nil
}
