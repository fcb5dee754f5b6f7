package plot

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// Terminal says how a chart is drawn with characters.
type Terminal struct {
	Width, Height int // characters, axes included; 80 and 16 if 0
	// Paint colours the text of line i; nil leaves it as it is. It must not
	// change what the text measures.
	Paint func(text string, i int) string
}

// axisWidth is the room for the numbers at the left.
const axisWidth = 11

const (
	minWidth  = axisWidth + 10
	minHeight = 5
)

// Columns returns how many columns the lines of the chart should have: a
// character has two.
func (t Terminal) Columns() int {
	w, _ := t.size()
	return 2 * (w - axisWidth)
}

func (t Terminal) size() (width, height int) {
	width, height = t.Width, t.Height
	if width == 0 {
		width = 80
	}
	if height == 0 {
		height = 16
	}
	return max(width, minWidth), max(height, minHeight)
}

// Draw draws the lines, each with as many columns as [Terminal.Columns] says.
// All are in the range.
func (t Terminal) Draw(w io.Writer, area Range, lines []*Line) error {
	width, height := t.size()
	rows := height - 2 // the time axis and the legend
	c := newCanvas(width-axisWidth, rows)
	for i, l := range lines {
		c.line(i, l)
	}
	out := bufio.NewWriter(w)
	for y := range rows {
		label := ""
		switch y {
		case 0:
			label = number(area.Max)
		case rows - 1:
			label = number(area.Min)
		case rows / 2:
			label = number(area.Max - (area.Max/2-area.Min/2)*2*float64(y)/float64(rows-1))
		}
		fmt.Fprintf(out, "%*s ┤", axisWidth-2, label)
		for x := range c.width {
			cell := c.cells[y*c.width+x]
			text := string(rune(0x2800 + int(cell.dots)))
			if t.Paint != nil && cell.dots != 0 {
				text = t.Paint(text, cell.line)
			}
			out.WriteString(text)
		}
		out.WriteByte('\n')
	}
	room := width - axisWidth
	from, to := axisTimes(area, room)
	gap := max(1, room-len(from)-len(to))
	fmt.Fprintf(out, "%*s%s%s%s\n", axisWidth, "", from, strings.Repeat(" ", gap), to)
	for i, l := range lines {
		mark := "━━ " + l.Name
		if t.Paint != nil {
			mark = t.Paint("━━", i) + " " + l.Name
		}
		fmt.Fprintf(out, "%*s%s\n", axisWidth, "", mark)
	}
	return out.Flush()
}

// axisTimes returns both ends of the time axis, as precise as there is room for.
func axisTimes(area Range, room int) (from, to string) {
	for _, layout := range []string{"2006-01-02T15:04:05Z", "2006-01-02T15:04", time.DateOnly} {
		from, to = time.Unix(0, area.From).UTC().Format(layout), time.Unix(0, area.To).UTC().Format(layout)
		if len(from)+1+len(to) <= room {
			break
		}
	}
	return from, to
}

// number prints a value in few characters.
func number(v float64) string { return fmt.Sprintf("%.*g", 5, v) }

// canvas is a field of characters, each of 2 by 4 dots.
type canvas struct {
	width, height int
	cells         []cell
}

type cell struct {
	dots uint8
	line int // that drew in it last
}

func newCanvas(width, height int) *canvas {
	return &canvas{width, height, make([]cell, width*height)}
}

// dotBits are the bits of a braille character, by row and column.
var dotBits = [4][2]uint8{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

// dot sets a dot. y is 0 at the top.
func (c *canvas) dot(line, x, y int) {
	if x < 0 || y < 0 || x >= 2*c.width || y >= 4*c.height {
		return
	}
	cell := &c.cells[y/4*c.width+x/2]
	cell.dots |= dotBits[y%4][x%2]
	cell.line = line
}

// line draws each column from its lowest to its highest value, and joins it
// with the one before.
func (c *canvas) line(i int, l *Line) {
	top := 4*c.height - 1
	row := func(v float64) int { return top - int(l.area.height(v)*float64(top)+0.5) }
	before := -1
	for x, col := range l.columns {
		if col.points == 0 {
			continue
		}
		high, low := row(col.high), row(col.low)
		for y := high; y <= low; y++ {
			c.dot(i, x, y)
		}
		if before >= 0 {
			c.join(i, before, row(l.columns[before].last), x, min(max(row(l.columns[before].last), high), low))
		}
		before = x
	}
}

// join draws a straight line between two dots.
func (c *canvas) join(i, x0, y0, x1, y1 int) {
	steps := max(x1-x0, y1-y0, y0-y1)
	for s := range steps {
		c.dot(i, x0+(x1-x0)*s/steps, y0+(y1-y0)*s/steps)
	}
}
