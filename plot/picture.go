package plot

import (
	"fmt"
	"io"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// Picture says how a chart is drawn as a picture.
type Picture struct {
	Format string // "png" or "svg"
	Title  string
	// Width and Height are in points of 1/72 inch; 720 and 360 if 0.
	Width, Height float64
}

// Columns returns how many columns the lines of the chart should have.
func (p Picture) Columns() int {
	w, _ := p.size()
	return int(w)
}

func (p Picture) size() (width, height float64) {
	width, height = p.Width, p.Height
	if width <= 0 {
		width = 720
	}
	if height <= 0 {
		height = 360
	}
	return width, height
}

// Draw writes the picture. Its bytes are the same for the same lines.
func (p Picture) Draw(w io.Writer, area Range, lines []*Line) error {
	chart := plot.New()
	chart.Title.Text = p.Title
	chart.X.Tick.Marker = plot.TimeTicks{Format: timeFormat(area), Time: func(s float64) time.Time {
		return time.Unix(0, area.From).Add(time.Duration(s * float64(time.Second))).UTC()
	}}
	chart.Add(plotter.NewGrid())
	chart.Legend.Top = true
	chart.Legend.XOffs, chart.Legend.Padding = vg.Points(-8), vg.Points(3)
	for i, l := range lines {
		xy := l.points()
		if len(xy) == 0 {
			continue
		}
		line, err := plotter.NewLine(xy)
		if err != nil {
			return fmt.Errorf("draw %s: %w", l.Name, err)
		}
		line.Color = plotutil.Color(i)
		line.Width = vg.Points(1)
		chart.Add(line)
		chart.Legend.Add(l.Name, line)
	}
	// Room for the names above the lines, and beside the numbers of the axis.
	chart.Y.Max += (chart.Y.Max - chart.Y.Min) * min(0.06*float64(len(lines)), 0.4)
	chart.Y.Label.Text = " "
	width, height := p.size()
	out, err := chart.WriterTo(vg.Length(width), vg.Length(height), p.Format)
	if err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	_, err = out.WriteTo(w)
	return err
}

// points returns the line as seconds since the start of the chart and values:
// of each column the lowest, the highest and the last.
func (l *Line) points() plotter.XYs {
	var out plotter.XYs
	span := (float64(l.area.To) - float64(l.area.From)) / 1e9
	for i, c := range l.columns {
		if c.points == 0 {
			continue
		}
		x := span * float64(i) / float64(max(len(l.columns)-1, 1))
		// The end that the last value is further from comes first.
		first, second := c.low, c.high
		if c.last-c.low < c.high-c.last {
			first, second = c.high, c.low
		}
		for _, y := range []float64{first, second, c.last} {
			if n := len(out); n == 0 || out[n-1] != (plotter.XY{X: x, Y: y}) {
				out = append(out, plotter.XY{X: x, Y: y})
			}
		}
	}
	return out
}

func timeFormat(area Range) string {
	if time.Duration(area.To-area.From) > 4*24*time.Hour {
		return "2006-01-02"
	}
	return "01-02\n15:04:05"
}
