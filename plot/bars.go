package plot

import (
	"fmt"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// Ratios is a chart of how several subjects compare with a baseline, which is
// 1: bars to the right are better, bars to the left worse, on a logarithmic
// scale.
type Ratios struct {
	Title  string
	Labels []string // of the groups of bars, from top to bottom
	Bars   []RatioBars
}

// RatioBars are the bars of one subject.
type RatioBars struct {
	Name   string
	Ratios []float64 // for each label; 0 where there is none
}

// Draw writes the chart in a format: "png" or "svg". Its bytes are the same for
// the same chart.
func (r Ratios) Draw(w io.Writer, format string) error {
	const thick = 9
	chart := plot.New()
	chart.Title.Text = r.Title
	chart.Title.Padding = vg.Points(6)
	chart.X.Tick.Marker = plot.TickerFunc(logTicks)
	chart.Legend.Left = true // bars end at 1, and few come from that far
	chart.Legend.Padding = vg.Points(3)
	grid := plotter.NewGrid()
	grid.Horizontal.Width = 0
	chart.Add(grid)
	n := len(r.Labels)
	low, high := -0.3, 0.3
	for i, bars := range r.Bars {
		// Rows count from below.
		values := make(plotter.Values, n)
		for k, ratio := range bars.Ratios[:min(n, len(bars.Ratios))] {
			if ratio > 0 {
				v := math.Log10(ratio)
				values[n-1-k] = v
				low, high = min(low, v), max(high, v)
			}
		}
		bar, err := plotter.NewBarChart(values, vg.Points(thick))
		if err != nil {
			return fmt.Errorf("draw %s: %w", bars.Name, err)
		}
		bar.Horizontal = true
		bar.Color = plotutil.Color(i)
		bar.LineStyle.Width = 0
		bar.Offset = vg.Points(thick * (float64(len(r.Bars)-1)/2 - float64(i)))
		chart.Add(bar)
		chart.Legend.Add(bars.Name, bar)
	}
	labels := make([]string, n)
	for k, l := range r.Labels {
		labels[n-1-k] = l
	}
	chart.NominalY(labels...)
	chart.X.Min, chart.X.Max = low-0.1, high+0.1
	height := 90 + float64(n)*(float64(len(r.Bars))*thick+10)
	out, err := chart.WriterTo(720, vg.Length(height), format)
	if err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	_, err = out.WriteTo(w)
	return err
}

// logTicks are the ticks of an axis of decimal logarithms.
func logTicks(low, high float64) []plot.Tick {
	var out []plot.Tick
	for e := math.Floor(low); e <= high; e++ {
		for _, m := range []float64{1, 2, 5} {
			v := e + math.Log10(m)
			if v >= low && v <= high {
				out = append(out, plot.Tick{Value: v, Label: fmt.Sprintf("%g", m*math.Pow(10, e))})
			}
		}
	}
	return out
}
