package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fatih/color"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/plot"
	"github.com/snapfs/snapfs/space"
)

type plotCmd struct {
	Field  string `required:"" placeholder:"NAME" help:"Field to draw: numbers, or booleans as 0 and 1."`
	Out    string `short:"o" placeholder:"FILE" type:"path" help:"Write a picture, .png or .svg, instead of drawing in the terminal."`
	Width  int    `placeholder:"N" help:"Characters; as wide as the terminal."`
	Height int    `placeholder:"N" help:"Characters; 16."`
	dataFlags
	atFlag
	ghostsFlag
	snapArg
}

func (plotCmd) Help() string {
	return `Draws one field of all series that are selected, 8 at the most. Lowest and highest values are kept however
many points there are.

Examples:
  snapfs plot /tmp/snap --db telemetry --measurement cpu --field load
  snapfs plot /tmp/snap --db telemetry --measurement cpu --field load --where-tag host=alpha --start 2015-11-01
  snapfs plot /tmp/snap --db telemetry --measurement cpu --field load --out load.png`
}

// maxLines is how many series a chart can have and still be read.
const maxLines = 8

var lineColors = []color.Attribute{color.FgCyan, color.FgYellow, color.FgGreen, color.FgMagenta, color.FgBlue, color.FgRed, color.FgWhite, color.FgHiBlack}

func (c *plotCmd) Run(a *App) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	format := strings.TrimPrefix(filepath.Ext(c.Out), ".")
	if c.Out != "" && format != "png" && format != "svg" {
		return usageError(hint.Wrap(fmt.Errorf("--out %s: neither .png nor .svg", c.Out), "snapfs plot … --out chart.png"))
	}
	t, err := c.open(space.Options{At: c.At, Ghosts: c.Ghosts})
	if err != nil {
		return err
	}
	defer t.Close()
	data := t.Data()
	if data == nil {
		return &codeError{fmt.Errorf("%s: a bare Bolt file has no databases", c.Snap), exitNotSnapshot}
	}
	p := &plotter{app: a, data: data, filter: f, field: c.Field}
	series, err := p.series()
	if err != nil {
		return err
	}
	var area plot.Range
	if err := p.each(series, func(_ int, t int64, v float64) { area.Add(t, v) }); err != nil {
		return err
	}
	if area.Points == 0 {
		return hint.Wrap(fmt.Errorf("no values of field %q in %s", c.Field, plural(int64(len(series)), "series")), "snapfs fields %s lists the fields", hint.Quote(c.Snap))
	}
	if c.Out == "" {
		err = c.terminal(a, p, series, area)
	} else {
		err = c.picture(p, series, area, format)
	}
	if err == nil && p.lost > 0 {
		err = &codeError{fmt.Errorf("%s could not be read, the first: %w", plural(p.lost, "point or block"), p.first), exitDamage}
	}
	return err
}

func (c *plotCmd) terminal(a *App, p *plotter, series []dataset.Series, area plot.Range) error {
	term := plot.Terminal{Width: c.Width, Height: c.Height}
	width, tty := a.terminal(a.Stdout)
	if term.Width == 0 {
		term.Width = width
	}
	if tty && a.Getenv("NO_COLOR") == "" {
		term.Paint = func(s string, i int) string { return a.paint(s, lineColors[i%len(lineColors)]) }
	}
	lines, err := p.lines(series, area, term.Columns())
	if err != nil {
		return err
	}
	return term.Draw(a.Stdout, area, lines)
}

func (c *plotCmd) picture(p *plotter, series []dataset.Series, area plot.Range, format string) error {
	pic := plot.Picture{Format: format, Title: c.Field}
	lines, err := p.lines(series, area, pic.Columns())
	if err != nil {
		return err
	}
	return writeFile(c.Out, func(w io.Writer) error { return pic.Draw(w, area, lines) })
}

// plotter reads what is to be drawn.
type plotter struct {
	app    *App
	data   *dataset.Set
	filter dataset.Filter
	field  string
	lost   int64 // points and blocks that could not be read, in the last round
	first  error
}

// series returns the selected series that may have the field.
func (p *plotter) series() ([]dataset.Series, error) {
	var out []dataset.Series
	for s, err := range p.data.Series(p.filter) {
		if err := p.app.ctx.Err(); err != nil {
			return nil, err
		}
		if err != nil {
			if p.first == nil {
				p.first = err
			}
			continue
		}
		out = append(out, s)
	}
	switch {
	case len(out) == 0 && p.first != nil:
		return nil, p.first
	case len(out) == 0:
		return nil, hint.Wrap(errors.New("no series is selected"), "snapfs series lists them")
	case len(out) > maxLines:
		return nil, usageError(hint.Wrap(fmt.Errorf("%d series are selected, %d can be drawn", len(out), maxLines), "select some by --db, --rp, --measurement, --series or --where-tag"))
	}
	return out, nil
}

// each calls f for each value of the field.
func (p *plotter) each(series []dataset.Series, f func(i int, t int64, v float64)) error {
	p.lost = 0
	for i, s := range series {
		for point, err := range p.data.Points(s, p.filter) {
			if err := p.app.ctx.Err(); err != nil {
				return err
			}
			if err != nil {
				p.lost++
				if p.first == nil {
					p.first = err
				}
				continue
			}
			at := slices.IndexFunc(point.Fields, func(v influx.FieldValue) bool { return v.Field.Name == p.field })
			if at < 0 {
				continue
			}
			if v, ok := point.Fields[at].Value.Number(); ok {
				f(i, point.Time, v)
			}
		}
	}
	return nil
}

// lines reads the series again, into lines of n columns.
func (p *plotter) lines(series []dataset.Series, area plot.Range, n int) ([]*plot.Line, error) {
	var out []*plot.Line
	for _, s := range series {
		out = append(out, plot.NewLine(printable(s.Key), area, n))
	}
	err := p.each(series, func(i int, t int64, v float64) { out[i].Add(t, v) })
	return out, err
}
