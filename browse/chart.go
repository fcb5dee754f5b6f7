package browse

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/plot"
)

// readChart reads a series twice: what fields there are and how far they reach,
// and then one of them into a line of so many columns.
func readChart(ctx context.Context, data *dataset.Set, s dataset.Series, field, columns int) *chart {
	c := &chart{}
	areas := map[string]*plot.Range{}
	booleans := map[string]bool{}
	for p, err := range data.Points(s, dataset.Filter{}) {
		if ctx.Err() != nil {
			c.err = ctx.Err()
			return c
		}
		if err != nil {
			c.lost++
			if c.err == nil {
				c.err = err
			}
			continue
		}
		for _, f := range p.Fields {
			v, ok := f.Value.Number()
			if !ok {
				continue
			}
			a := areas[f.Field.Name]
			if a == nil {
				a = new(plot.Range)
				areas[f.Field.Name] = a
				booleans[f.Field.Name] = f.Value.Type() == influx.Boolean
			}
			a.Add(p.Time, v)
		}
	}
	// Booleans tell the least.
	c.fields = slices.SortedFunc(maps.Keys(areas), func(a, b string) int {
		if booleans[a] != booleans[b] {
			if booleans[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	if len(c.fields) == 0 {
		return c
	}
	c.field = c.fields[field%len(c.fields)]
	c.area = *areas[c.field]
	c.line = plot.NewLine(clean(c.field+" of "+s.Key), c.area, columns)
	for p, err := range data.Points(s, dataset.Filter{}) {
		if ctx.Err() != nil {
			c.err = ctx.Err()
			return c
		}
		if err != nil {
			continue
		}
		for _, f := range p.Fields {
			if v, ok := f.Value.Number(); ok && f.Field.Name == c.field {
				c.line.Add(p.Time, v)
			}
		}
	}
	return c
}

// draw returns the chart as lines, as high as there is room.
func (c *chart) draw(width, height int) []string {
	if c == nil {
		return []string{"reading …"}
	}
	if c.line == nil {
		lines := []string{"no numbers in this series"}
		if c.err != nil {
			lines = append(lines, clean(c.err.Error()))
		}
		return lines
	}
	var b strings.Builder
	term := plot.Terminal{Width: width, Height: height}
	_ = term.Draw(&b, c.area, []*plot.Line{c.line}) // a Builder takes everything
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}
