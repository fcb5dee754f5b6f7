package main

import (
	"strings"

	"github.com/rivo/uniseg"
)

// wrap breaks text between words into lines of at most width columns, all but
// the first indented. first is how many columns the first line has used up. A
// width of 0 breaks nothing.
func wrap(text string, width, first, indent int) string {
	if width <= indent {
		return text
	}
	var b strings.Builder
	at := first
	for i, word := range strings.Split(text, " ") {
		n := uniseg.StringWidth(word)
		switch {
		case i == 0:
		case at+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// wrapHint is wrap for a hint, which is broken behind colons and semicolons
// alone: a command in it has to stay in one piece, so that it can be copied.
func wrapHint(text string, width, first, indent int) string {
	if width <= indent {
		return text
	}
	var b strings.Builder
	at, from, quoted := first, 0, false
	put := func(part string) {
		n := uniseg.StringWidth(part)
		switch {
		case b.Len() == 0:
		case at+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(part)
		at += n
	}
	for i := range len(text) {
		switch {
		case text[i] == '\'':
			quoted = !quoted
		case text[i] == ' ' && i > 0 && !quoted && strings.IndexByte(":;", text[i-1]) >= 0:
			put(text[from:i])
			from = i + 1
		}
	}
	put(text[from:])
	return b.String()
}

// clip cuts text to width columns. What is left out is marked, and after that is
// as much of the end as tail columns hold.
func clip(text string, width, tail int) string {
	total := uniseg.StringWidth(text)
	if total <= width {
		return text
	}
	used, rest, state := 0, text, -1
	next := func() (cols int, after string, newState int) {
		_, after, cols, newState = uniseg.FirstGraphemeClusterInString(rest, state)
		return cols, after, newState
	}
	for rest != "" {
		cols, after, s := next()
		if used+cols > width-1-tail {
			break
		}
		used, rest, state = used+cols, after, s
	}
	head := text[:len(text)-len(rest)]
	for rest != "" && total-used > tail {
		cols, after, s := next()
		used, rest, state = used+cols, after, s
	}
	return head + "…" + rest
}
