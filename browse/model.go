package browse

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	tea "charm.land/bubbletea/v2"

	"github.com/snapfs/snapfs/space"
)

// Model is the state of the browser. It is a [tea.Model].
type Model struct {
	ctx  context.Context
	stop context.CancelFunc
	runs *running
	tree *space.Tree
	opts Options
	st   style

	width, height int

	root    *node
	rows    []row
	cur     int // row that is selected
	top     int // first row on the screen
	loading *node
	toEnd   bool // the last row is wanted, however many there are

	focus pane
	view  view
	job   *job
	next  *search
	scope *scope
	goal  *goal

	prompt      *prompt
	message     string
	help        bool
	last        string // text that was searched for
	interrupted bool
}

// pane is a part of the screen that takes keys.
type pane uint8

const (
	paneTree pane = iota
	paneContent
)

// New returns a browser that stands at the root of the tree. Ctx ends what it
// reads; after [Model.Close] nothing is open any more.
func New(ctx context.Context, tree *space.Tree, o Options) *Model {
	r := &running{}
	r.idle.L = &r.mu
	ctx, stop := context.WithCancel(ctx)
	m := &Model{ctx: ctx, stop: stop, runs: r, tree: tree, opts: o, st: style{o.Plain}, width: 80, height: 24}
	m.root = &node{name: "/", mode: fs.ModeDir, open: true}
	m.rebuild()
	return m
}

// Close ends what is being read, waits until it has ended, and closes what is
// open. The model must not be used any more.
func (m *Model) Close() {
	m.stop()
	m.runs.close()
	m.root.closeAll()
}

// Init implements [tea.Model].
func (m *Model) Init() tea.Cmd { return m.work() }

// Update implements [tea.Model].
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		cmd = m.key(msg)
	case tea.PasteMsg:
		if m.prompt != nil {
			m.prompt.text += clean(msg.Content)
		}
	case loaded:
		m.add(msg)
	case result:
		m.take(msg)
	case found:
		m.takeFound(msg)
	case exported:
		m.message = string(msg)
	}
	return m, tea.Batch(cmd, m.work())
}

// work starts what is to be done next: reading on in a directory that is in
// sight, and reading of what is selected what the screen lacks.
func (m *Model) work() tea.Cmd {
	var cmds []tea.Cmd
	m.approach()
	if m.toEnd {
		m.cur = len(m.rows) - 1
		m.toEnd = m.rows[m.cur].more && !m.rows[m.cur].n.done
	}
	m.scroll()
	if m.loading == nil {
		if n := m.wanted(); n != nil {
			m.loading = n
			cmds = append(cmds, m.load(n))
		}
	}
	if m.job != nil && m.job.n != m.selected() {
		m.job.cancel() // its result will come, and be of no use
	}
	if m.job == nil {
		cmds = append(cmds, m.read())
	}
	return tea.Batch(cmds...)
}

// wanted returns a directory of which more should be read: one whose end is on
// the screen or shortly below.
func (m *Model) wanted() *node {
	if m.goal != nil && !m.goal.at.done {
		return m.goal.at
	}
	for i := m.top; i < len(m.rows) && i < m.top+2*m.treeHeight(); i++ {
		if r := m.rows[i]; r.more && !r.n.done {
			return r.n
		}
	}
	return nil
}

// selected returns what is selected; of entries that were not read the
// directory.
func (m *Model) selected() *node {
	if m.cur >= len(m.rows) {
		return m.root
	}
	return m.rows[m.cur].n
}

// scroll moves the tree so that the selected row is on the screen.
func (m *Model) scroll() {
	h := m.treeHeight()
	m.cur = min(max(m.cur, 0), len(m.rows)-1)
	m.top = min(m.top, m.cur)
	m.top = max(m.top, m.cur-h+1)
	m.top = max(0, min(m.top, len(m.rows)-h))
}

// move selects another row.
func (m *Model) move(by int) {
	m.toEnd = false
	m.cur = min(max(m.cur+by, 0), len(m.rows)-1)
}

// expand shows what is in the selected node.
func (m *Model) expand() {
	n := m.selected()
	switch {
	case m.rows[m.cur].more:
		return
	case n.holds() && !n.open:
		n.open = true
		m.rebuild()
	case n.holds() && len(n.kids) > 0:
		m.move(1)
	case !n.holds() && n.mode.IsRegular():
		m.message = "no directory, and no Bolt file: " + n.name
	}
}

// collapse hides what is in the selected node, or goes to where it is in.
func (m *Model) collapse() {
	n := m.selected()
	switch {
	case m.rows[m.cur].more, n.open && n != m.root:
		n.open = false
	case n.parent != nil:
		n = n.parent
	}
	for i, r := range m.rows {
		if r.n == n && !r.more {
			m.cur = i
			break
		}
	}
	m.rebuild()
}

// goal is a node that is to be selected, once it is listed.
type goal struct {
	at   *node
	rest []string // elements of the path from there
}

// approach goes as far towards the goal as what is listed allows.
func (m *Model) approach() {
	for m.goal != nil {
		g := m.goal
		if len(g.rest) == 0 {
			m.goal = nil
			m.show(g.at)
			return
		}
		if !g.at.open {
			g.at.open = true
			m.rebuild()
		}
		var next *node
		for _, k := range g.at.kids {
			if k.name == g.rest[0] {
				next = k
				break
			}
		}
		switch {
		case next != nil:
			g.at, g.rest = next, g.rest[1:]
			if len(g.rest) > 0 && !next.holds() {
				next.within = boltDir(next.path())
			}
		case g.at.done:
			m.goal = nil
			m.show(g.at)
			m.message = fmt.Sprintf("not there: %s", path.Join(g.at.base(), g.rest[0]))
			return
		default:
			return // it is loading
		}
	}
}

// show selects a node, whose parents are open.
func (m *Model) show(n *node) {
	for i, r := range m.rows {
		if r.n == n && !r.more {
			m.cur = i
			return
		}
	}
}
