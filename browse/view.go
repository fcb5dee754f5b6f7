package browse

import (
	"encoding/hex"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// The least size that the screen makes sense with.
const (
	minWidth  = 40
	minHeight = 8
)

// View implements [tea.Model].
func (m *Model) View() tea.View {
	text := m.screen()
	if m.opts.ASCII {
		text = ascii(text)
	}
	v := tea.NewView(text)
	v.AltScreen = true
	return v
}

// screen returns all lines, each as wide as the screen.
func (m *Model) screen() string {
	if m.width < minWidth || m.height < minHeight {
		return fit(fmt.Sprintf("%d×%d is too small; %d×%d will do", m.width, m.height, minWidth, minHeight), m.width)
	}
	lines := []string{m.st.selected(fit(m.title(), m.width))}
	if m.help {
		for i := range m.height - 2 {
			text := ""
			if i < len(helpText) {
				text = helpText[i]
			}
			lines = append(lines, fit(text, m.width))
		}
		return strings.Join(append(lines, fit("any key goes back", m.width)), "\n")
	}
	left, right := m.treeLines(), m.rightLines()
	for i := range m.height - 2 {
		lines = append(lines, left[i]+m.st.rule("│")+right[i])
	}
	return strings.Join(append(lines, m.bottom()), "\n")
}

func (m *Model) title() string {
	title := m.opts.Title
	if title == "" {
		title = m.tree.Path()
	}
	return " " + clean(title)
}

// bottom returns the last line: what is typed, a message, or the keys.
func (m *Model) bottom() string {
	switch {
	case m.prompt != nil:
		text := promptTitles[m.prompt.what] + clean(m.prompt.text) + "_"
		if w := ansi.StringWidth(text); w > m.width {
			text = from(text, w-m.width) // its end is what matters
		}
		return fit(text, m.width)
	case m.message != "":
		return fit(clean(m.message), m.width)
	case m.goal != nil || m.toEnd:
		n := m.selected()
		if m.goal != nil {
			n = m.goal.at
		}
		return fit(fmt.Sprintf("listing …  %d entries  (esc ends it)", len(n.kids)), m.width)
	}
	return fit("enter open   ← up   / search   tab pane   v view   e export   ? help   q quit", m.width)
}

func (m *Model) treeHeight() int { return max(1, m.height-2) }

func (m *Model) treeWidth() int { return min(max(m.width*2/5, 20), 60) }

// contentSize returns the cells that the content has.
func (m *Model) contentSize() (width, height int) {
	return m.width - m.treeWidth() - 1, max(1, m.height-3-m.factLines())
}

// factLines is how many lines the details have, at most half of the screen.
func (m *Model) factLines() int { return min(max(len(m.factText()), 4), (m.height-2)/2) }

// factText returns the lines of the details.
func (m *Model) factText() (lines []string) {
	const label, perFact = 9, 4
	width := m.width - m.treeWidth() - 2 - label
	for _, f := range m.view.facts {
		value := clean(f.value)
		if over := ansi.StringWidth(value) - width; over > 0 && f.name == "path" {
			value = "…" + from(value, over+1) // its end tells more
		}
		parts := strings.Split(ansi.Hardwrap(value, width, true), "\n")
		for i, part := range parts[:min(len(parts), perFact)] {
			name := ""
			if i == 0 {
				name = f.name
			}
			lines = append(lines, fit(name, label)+part)
		}
	}
	return lines
}

func (m *Model) treeLines() []string {
	w := m.treeWidth()
	lines := make([]string, m.treeHeight())
	for i := range lines {
		if at := m.top + i; at < len(m.rows) {
			lines[i] = m.rowText(m.rows[at], at == m.cur, w)
		} else {
			lines[i] = fit("", w)
		}
	}
	return lines
}

// rowText returns a row of the tree. What a style cannot show, or not without
// colours, is told by a sign.
func (m *Model) rowText(r row, selected bool, width int) string {
	mark := " "
	if selected {
		mark = ">"
		if m.focus == paneContent {
			mark = "-"
		}
	}
	n, depth := r.n, r.n.depth
	if r.more {
		depth++
	}
	step := 1
	if width >= 40 {
		step = 2
	}
	indent := strings.Repeat(" ", min(step*depth, width/2))
	text := ""
	paint := func(s string) string { return s }
	name := middle(clean(n.text()), width-5-len(indent))
	switch {
	case r.more && n.cut:
		text = fmt.Sprintf("  … more than %d", maxKids)
	case r.more && n.err != nil:
		text, paint = "  ! "+clean(n.err.Error()), m.st.damaged
	case r.more:
		text = "  …"
	case n.holds() && n.open:
		text, paint = "▾ "+name, m.st.dir
	case n.holds():
		text, paint = "▸ "+name, m.st.dir
	default:
		text = "  " + name
	}
	flag := " "
	switch {
	case r.more:
	case n.damaged:
		flag, paint = "!", m.st.damaged
	case n.ghost:
		flag, paint = "g", m.st.ghost
	}
	text = fit(mark+indent+text, width-2) + flag + " "
	if selected {
		return m.st.selected(text)
	}
	return paint(text)
}

// rightLines returns the details and the content.
func (m *Model) rightLines() []string {
	width, height := m.contentSize()
	facts := m.factText()
	lines := make([]string, 0, m.height-2)
	for i := range m.factLines() {
		text := ""
		if i < len(facts) {
			text = facts[i]
		}
		lines = append(lines, fit(" "+text, width))
	}
	lines = append(lines, m.st.rule(m.rule(width)))
	content := m.content(width-1, height)
	for i := range height {
		text := ""
		if i < len(content) {
			text = content[i]
		}
		lines = append(lines, " "+fit(text, width-1))
	}
	return lines
}

// rule returns the line above the content, which says how it is shown.
func (m *Model) rule(width int) string {
	v := &m.view
	text := ""
	for _, x := range v.modes {
		if x == v.mode {
			text += "[" + x.String() + "] "
		} else {
			text += x.String() + " "
		}
	}
	if v.mode == modeChart && v.chart != nil && v.chart.lost > 0 {
		text += fmt.Sprintf("! %d unreadable ", v.chart.lost)
	}
	if v.err != nil {
		text += "! "
	}
	lead := "── "
	if text == "" {
		lead = "───"
	}
	if m.focus == paneContent {
		lead = ">" + strings.TrimPrefix(lead, "─")
	}
	text = lead + text
	return fit(text+strings.Repeat("─", max(0, width-ansi.StringWidth(text))), width)
}

// contentLines returns how many lines there are to scroll through.
func (m *Model) contentLines() int {
	width, _ := m.contentSize()
	switch v := &m.view; v.mode {
	case modeText, modeList:
		n := len(v.text)
		if v.cut {
			n++
		}
		return n
	case modeDecoded:
		return len(v.decoded)
	case modeHex:
		per := int64(perLine(width))
		return int((v.size + per - 1) / per)
	}
	return 0
}

// content returns the lines of the content that are on the screen.
func (m *Model) content(width, height int) []string {
	v := &m.view
	var lines []string
	switch v.mode {
	case modeChart:
		if v.chart == nil || len(v.chart.fields) < 2 || height < 8 {
			return v.chart.draw(width, height)
		}
		return append(v.chart.draw(width, height-1), fmt.Sprintf("field %d of %d: [ ]", v.field+1, len(v.chart.fields)))
	case modeText, modeList:
		lines = v.text
		if v.cut {
			lines = append(lines[:len(lines):len(lines)], "… and more")
		}
	case modeDecoded:
		lines = v.decoded
	case modeHex:
		return v.hex(width, height)
	default:
		return nil
	}
	var out []string
	for i := v.top; i < len(lines) && len(out) < height; i++ {
		out = append(out, from(clean(lines[i]), v.left))
	}
	return out
}

// perLine returns how many bytes of a hexadecimal dump fit in a line.
func perLine(width int) int {
	for _, n := range []int{32, 16, 8} {
		if 11+3*n+n+2 <= width {
			return n
		}
	}
	return 4
}

// hex returns lines of hexadecimal digits.
func (v *view) hex(width, height int) []string {
	per := perLine(width + 1)
	var out []string
	for i := range height {
		off := int64(v.top+i) * int64(per)
		at := off - v.at
		if off >= v.size {
			break
		}
		if at < 0 || at >= int64(len(v.window)) {
			out = append(out, fmt.Sprintf("%08x  …", off))
			continue
		}
		b := v.window[at:min(at+int64(per), int64(len(v.window)))]
		digits := ""
		for j := range b {
			if j == per/2 && per >= 8 {
				digits += " "
			}
			digits += hex.EncodeToString(b[j:j+1]) + " "
		}
		chars := []byte(string(b))
		for j, c := range chars {
			if c < ' ' || c > '~' {
				chars[j] = '.'
			}
		}
		out = append(out, fmt.Sprintf("%08x  %s %s", off, fit(digits, 3*per+1), chars))
	}
	return out
}
