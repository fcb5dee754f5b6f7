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
