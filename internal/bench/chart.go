package bench

import (
	"io"
	"strings"

	"github.com/snapfs/snapfs/plot"
)

// WriteChart draws the ratios of all programs that mount as an SVG. Beside the
// baseline is 1; to the right is better.
func (res *Result) WriteChart(w io.Writer) error {
	chart := plot.Ratios{Title: "Beside the baseline, which is 1; further to the right is better"}
	for _, s := range Mounts(nil) {
		chart.Bars = append(chart.Bars, plot.RatioBars{Name: s.Name})
	}
	for _, wl := range res.Workloads {
		for _, m := range Measures() {
			if _, ok := wl.find(m.Name, m.Baseline); !ok {
				continue
			}
			chart.Labels = append(chart.Labels, wl.Name+": "+strings.ReplaceAll(m.Name, ", ", "\n"))
			for i := range chart.Bars {
				f, _ := wl.find(m.Name, chart.Bars[i].Name)
				chart.Bars[i].Ratios = append(chart.Bars[i].Ratios, f.Ratio)
			}
		}
	}
	used := chart.Bars[:0]
	for _, b := range chart.Bars {
		for _, r := range b.Ratios {
			if r > 0 {
				used = append(used, b)
				break
			}
		}
	}
	chart.Bars = used
	return chart.Draw(w, "svg")
}
