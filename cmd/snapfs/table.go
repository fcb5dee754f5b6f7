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

// table prints rows in columns. Columns whose head begins with ">" are aligned
// right.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// note adds a line that is in no column.
func (t *table) note(text string) { t.rows = append(t.rows, []string{text}) }

func (t *table) write(w io.Writer) error {
	rows := t.rows
	if t.head != nil {
		head := make([]string, len(t.head))
		for i, h := range t.head {
			head[i] = strings.TrimPrefix(h, ">")
		}
		rows = append([][]string{head}, rows...)
	}
	var widths []int
	for _, r := range rows {
		if len(r) == 1 && len(t.head) > 1 {
			continue // a note
		}
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], uniseg.StringWidth(c))
		}
	}
	for _, r := range rows {
		if len(r) == 1 && len(t.head) > 1 {
			if _, err := fmt.Fprintln(w, r[0]); err != nil {
				return err
			}
			continue
		}
		var b strings.Builder
		for i, c := range r {
			pad := strings.Repeat(" ", widths[i]-uniseg.StringWidth(c))
			right := i < len(t.head) && strings.HasPrefix(t.head[i], ">")
			if right {
				b.WriteString(pad)
			}
			b.WriteString(c)
			if !right {
				b.WriteString(pad)
			}
			b.WriteString("  ")
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
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
