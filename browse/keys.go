package browse

import (
	"slices"
	"strings"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// helpText is what the key ? shows.
var helpText = []string{
	"↑ ↓  k j          move               → l enter  open a directory or a Bolt file",
	"pgup pgdn         a screen           ← h        close it, go up",
	"home end  g G     first, last        tab        between tree and content",
	"",
	"/ text            search names in this directory and below; * is anything",
	"n N               next and previous match",
	": path            go to a path",
	"",
	"v                 view: list, chart, decoded, text, hex",
	"[ ]               field of the chart",
	"e                 export what is selected into a directory",
	"esc               end a search, close a prompt",
	"?                 this help          q ctrl+c   leave",
	"",
	"What has a ▸ or + can be opened, a Bolt file as well. In .snapfs are points in",
	"time, layers, and the data as series.  g: ghost, the server had dropped it.",
	"!: damage.  Nothing here changes the snapshot.",
}

// prompt is a line that is being typed.
type prompt struct {
	what rune // / : e
	text string
}

var promptTitles = map[rune]string{'/': "search: ", ':': "go to: ", 'e': "export into directory: "}

// key is a key that was pressed.
func (m *Model) key(k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	if name == "ctrl+c" {
		m.interrupted = true
		return tea.Quit
	}
	if m.prompt != nil {
		return m.promptKey(k)
	}
	if m.help {
		m.help = false
		return nil
	}
	m.message = ""
	switch name {
	case "q":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "?", "f1":
		m.help = true
	case "esc":
		m.cancelSearch()
		m.goal, m.toEnd = nil, false
	case "tab", "shift+tab":
		m.focus = 1 - m.focus
	case "/", ":":
		m.prompt = &prompt{what: rune(name[0])}
	case "e":
		m.prompt = &prompt{what: 'e', text: "."}
	case "n", "N":
		if m.last == "" {
			m.message = "nothing was searched for: press /"
			return nil
		}
		return m.find(m.last, name == "N")
	case "v":
		m.nextMode()
	case "[", "]":
		m.nextField(name == "[")
	default:
		if m.focus == paneContent {
			m.contentKey(name)
		} else {
			m.treeKey(name)
		}
	}
	return nil
}

func (m *Model) treeKey(name string) {
	page := max(1, m.treeHeight()-1)
	m.goal = nil
	switch name {
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup", "ctrl+b":
		m.move(-page)
	case "pgdown", "ctrl+f", "space":
		m.move(page)
	case "home", "g":
		m.move(-len(m.rows))
	case "end", "G":
		m.move(len(m.rows))
		m.toEnd = true
	case "right", "l", "enter":
		m.expand()
	case "left", "h", "backspace":
		m.collapse()
	}
}

func (m *Model) contentKey(name string) {
	_, height := m.contentSize()
	page := max(1, height-1)
	v := &m.view
	last := max(0, m.contentLines()-height)
	switch name {
	case "up", "k":
		v.top--
	case "down", "j":
		v.top++
	case "pgup", "ctrl+b":
		v.top -= page
	case "pgdown", "ctrl+f", "space":
		v.top += page
	case "home", "g":
		v.top, v.left = 0, 0
	case "end", "G":
		v.top = last
	case "right", "l":
		v.left += 8
	case "left", "h":
		v.left = max(0, v.left-8)
	}
	v.top = min(max(v.top, 0), last)
}

// nextMode shows the content in the next of its modes.
func (m *Model) nextMode() {
	v := &m.view
	if len(v.modes) == 0 {
		m.message = "there is no content to show"
		return
	}
	v.mode = v.modes[(slices.Index(v.modes, v.mode)+1)%len(v.modes)]
	v.top, v.left = 0, 0
}

// nextField draws another field.
func (m *Model) nextField(back bool) {
	v := &m.view
	if v.mode != modeChart || v.chart == nil || len(v.chart.fields) == 0 {
		m.message = "there is no chart here: in .snapfs/influx the files of series have one"
		return
	}
	n := len(v.chart.fields)
	if back {
		v.field = (v.field + n - 1) % n
	} else {
		v.field = (v.field + 1) % n
	}
}

func (m *Model) promptKey(k tea.KeyPressMsg) tea.Cmd {
	p := m.prompt
	switch k.String() {
	case "esc":
		m.prompt = nil
	case "enter":
		m.prompt = nil
		text := strings.TrimSpace(p.text)
		switch {
		case text == "":
		case p.what == '/':
			return m.find(text, false)
		case p.what == ':':
			m.goTo(text)
		case p.what == 'e':
			return m.export(text)
		}
	case "backspace":
		_, n := utf8.DecodeLastRuneInString(p.text)
		p.text = p.text[:len(p.text)-n]
	case "ctrl+u":
		p.text = ""
	default:
		p.text += clean(k.Text)
	}
	return nil
}

// goTo selects a path, as it is in the mount.
func (m *Model) goTo(name string) {
	g := &goal{at: m.root}
	for elem := range strings.SplitSeq(name, "/") {
		if elem != "" && elem != "." {
			g.rest = append(g.rest, elem)
		}
	}
	m.goal, m.focus = g, paneTree
}
