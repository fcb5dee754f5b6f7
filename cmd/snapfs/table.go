package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rivo/uniseg"
)

// table prints rows in columns. Marks before the name of a column say what
// becomes of it, in this order:
//
//	?  it is left out where rows are too wide, the last such column first
//	~  its cells are cut in their middle where rows are too wide
//	|  its cells, the last of their rows, are wrapped
//	>  it is aligned right
type table struct {
	head  []string
	rows  [][]string
	width int // of the terminal; 0: rows are as wide as they are
}

// table returns a table for standard output.
func (a *App) table(head ...string) *table {
	width, _ := a.terminal(a.Stdout)
	return &table{head: head, width: width}
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// note adds a line that is in no column.
func (t *table) note(text string) { t.rows = append(t.rows, []string{text}) }

// isNote reports whether a row is a line that is in no column.
func (t *table) isNote(row []string) bool { return len(row) == 1 && len(t.head) > 1 }

// column is a column as it is printed.
type column struct {
	name                    string
	spare, cut, wrap, right bool // marks
	width                   int
	least                   int // that a column needs which is wrapped
	hidden                  bool
}

const (
	gap     = 2  // between columns
	longest = 40 // of the words that a wrapped column has to have room for
)

// columns returns the columns, made to fit.
func (t *table) columns() []column {
	var cols []column
	for _, h := range t.head {
		var c column
		h, c.spare = strings.CutPrefix(h, "?")
		h, c.cut = strings.CutPrefix(h, "~")
		h, c.wrap = strings.CutPrefix(h, "|")
		c.name, c.right = strings.CutPrefix(h, ">")
		c.width = uniseg.StringWidth(c.name)
		cols = append(cols, c)
	}
	for _, r := range t.rows {
		if t.isNote(r) {
			continue
		}
		for i, c := range r {
			if i == len(cols) {
				cols = append(cols, column{})
			}
			cols[i].width = max(cols[i].width, uniseg.StringWidth(c))
			if cols[i].wrap {
				for word := range strings.SplitSeq(c, " ") {
					cols[i].least = max(cols[i].least, min(uniseg.StringWidth(word), longest))
				}
			}
		}
	}
	end := len(cols)
	for end > 0 && cols[end-1].width == 0 {
		end-- // for remarks, of which there are none
	}
	if t.width > 0 {
		fit(cols[:end], t.width)
	}
	return cols
}

// fit makes columns narrower, until all are within width or nothing is left that
// may be done.
func fit(cols []column, width int) {
	// What is narrower than that tells nothing, be it cut or wrapped.
	const narrow, text = 12, 24
	for {
		over := -width - gap
		flexible, spare := -1, -1
		for i, c := range cols {
			if c.hidden {
				continue
			}
			over += c.width + gap
			if c.wrap {
				over -= max(c.width-max(text, c.least), 0)
			}
			if c.cut {
				flexible = i
			}
			if c.spare {
				spare = i
			}
		}
		if over <= 0 {
			return
		}
		if flexible >= 0 {
			c := &cols[flexible]
			if c.width-over >= narrow || spare < 0 {
				c.width = max(c.width-over, min(narrow, c.width))
				return
			}
		}
		if spare < 0 {
			return
		}
		cols[spare].hidden = true
	}
}

func (t *table) write(w io.Writer) error {
	cols := t.columns()
	rows := t.rows
	if t.head != nil {
		head := make([]string, len(t.head))
		for i := range head {
			head[i] = cols[i].name
		}
		rows = append([][]string{head}, rows...)
	}
	for _, r := range rows {
		line := r[0]
		if !t.isNote(r) {
			line = t.line(cols, r)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// line returns a row as it is printed.
func (t *table) line(cols []column, row []string) string {
	var b strings.Builder
	at := 0
	for i, cell := range row {
		c := cols[i]
		switch {
		case c.hidden:
			continue
		case c.cut:
			cell = clip(cell, c.width, (c.width-1)/2)
		case c.wrap:
			b.WriteString(wrap(cell, t.width, at, at))
			continue
		}
		pad := strings.Repeat(" ", c.width-uniseg.StringWidth(cell))
		if c.right {
			b.WriteString(pad + cell)
		} else {
			b.WriteString(cell + pad)
		}
		b.WriteString(strings.Repeat(" ", gap))
		at += c.width + gap
	}
	return strings.TrimRight(b.String(), " ")
}

// size prints bytes: for people on a terminal, exact in a pipe.
func (a *App) size(n int64) string {
	if _, tty := a.terminal(a.Stdout); tty {
		return humanize.IBytes(uint64(max(n, 0)))
	}
	return fmt.Sprint(n)
}

// bytes is size with its unit.
func (a *App) bytes(n int64) string {
	if _, tty := a.terminal(a.Stdout); tty {
		return a.size(n)
	}
	return a.size(n) + " bytes"
}

// when prints a time as this program does everywhere: UTC, to the second.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// printJSON writes an indented JSON document.
func (a *App) printJSON(v any) error {
	e := json.NewEncoder(a.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printLine writes one line of JSON.
func (a *App) printLine(v any) error {
	e := json.NewEncoder(a.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// plural returns "1 file", "2 files".
func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return humanize.Comma(n) + " " + word + "s"
}
