package browse

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// maxMarks is how many combining characters may follow a character.
const maxMarks = 4

// clean returns s as it can go to a terminal: one line, with everything replaced
// that is not printed, and no combining characters but behind something that
// they combine with.
func clean(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] <= '~'
	}
	if plain {
		return s
	}
	var b strings.Builder
	marks := maxMarks // as if there were some: the first character must not be one
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case r == '\t':
			b.WriteString("    ")
			marks = 0
		case r >= 0xfe00 && r <= 0xfe0f:
			// They change the width in some terminals, and not in others.
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks < maxMarks {
				b.WriteRune(r)
			} else if b.Len() == 0 {
				b.WriteRune('◌')
				b.WriteRune(r)
				marks = 0
			}
			marks++
		case r == utf8.RuneError && n == 1 || !unicode.IsPrint(r):
			b.WriteRune(utf8.RuneError)
			marks = 0
		default:
			b.WriteRune(r)
			marks = 0
		}
	}
	return b.String()
}

// fit returns clean text in exactly width cells: cut, or filled up.
func fit(s string, width int) string {
	if width <= 0 {
		return ""
	}
	if w := ansi.StringWidth(s); w <= width {
		return s + strings.Repeat(" ", width-w)
	}
	s = ansi.Truncate(s, width, "…")
	// A wide character that did not fit leaves a cell free.
	return s + strings.Repeat(" ", width-ansi.StringWidth(s))
}

// middle returns clean text in at most width cells. Long names differ at their
// ends, so that the middle is cut.
func middle(s string, width int) string {
	w := ansi.StringWidth(s)
	if w <= width || width < 8 {
		return s
	}
	head := ansi.Truncate(s, width/2, "…")
	room := width - ansi.StringWidth(head)
	rest := from(s, w-room)
	if ansi.StringWidth(rest) > room {
		rest = from(s, w-room+1) // a wide character began before
	}
	return head + rest
}

// from returns clean text without its first cells.
func from(s string, cells int) string {
	if cells == 0 {
		return s
	}
	return ansi.TruncateLeft(s, cells, "")
}

// style is how text is marked.
type style struct{ plain bool }

func (style) selected(s string) string { return "\x1b[7m" + s + "\x1b[m" }

func (st style) dir(s string) string     { return st.color("1;34", s) }
func (st style) ghost(s string) string   { return st.color("35", s) }
func (st style) damaged(s string) string { return st.color("31", s) }
func (st style) rule(s string) string    { return st.color("36", s) }

func (st style) color(code, s string) string {
	if st.plain {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[m"
}

// ascii returns a screen with ASCII in place of all other characters, and as
// wide as it was.
func ascii(screen string) string {
	var b strings.Builder
	for _, r := range screen {
		switch {
		case r <= '~':
			b.WriteRune(r)
		case r > 0x2800 && r <= 0x28ff: // of a chart
			b.WriteByte('*')
		default:
			if sign, ok := asciiSigns[r]; ok {
				b.WriteByte(sign)
			} else {
				b.WriteString(strings.Repeat("?", ansi.StringWidth(string(r))))
			}
		}
	}
	return b.String()
}

var asciiSigns = map[rune]byte{
	0x2800: ' ', '┤': '|', '━': '-', '─': '-', '│': '|', '▸': '+', '▾': '-', '…': '.', '×': 'x', '↑': '^', '↓': 'v', '←': '<', '→': '>',
}
