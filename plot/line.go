package plot

import "math"

// Range is the extent of what is to be drawn. Its zero value holds nothing.
type Range struct {
	From, To int64 // first and last time, in nanoseconds since 1970
	Min, Max float64
	Points   int64 // finite ones
}

// Add takes a point into account. Values that are not finite cannot be drawn
// and do not count.
func (r *Range) Add(t int64, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if r.Points == 0 {
		*r = Range{t, t, v, v, 1}
		return
	}
	r.From, r.To = min(r.From, t), max(r.To, t)
	r.Min, r.Max = min(r.Min, v), max(r.Max, v)
	r.Points++
}

// column returns where in n columns a time is.
func (r Range) column(t int64, n int) int {
	if r.To <= r.From {
		return 0
	}
	// Times may be further apart than an int64 can say.
	f := (float64(t) - float64(r.From)) / (float64(r.To) - float64(r.From))
	return max(0, min(n-1, int(f*float64(n))))
}

// height returns where between 0 and 1 a value is.
func (r Range) height(v float64) float64 {
	if r.Max <= r.Min {
		return 0.5
	}
	// Halves, since the difference of two finite numbers may be none.
	return (v/2 - r.Min/2) / (r.Max/2 - r.Min/2)
}

// Line is one series on a chart.
type Line struct {
	Name    string
	area    Range
	columns []column
}

// column is what there is in one column of the chart.
type column struct {
	low, high, last float64
	points          int64
}

// NewLine returns a line with n columns, at least 1, in a chart of some range.
func NewLine(name string, area Range, n int) *Line {
	return &Line{Name: name, area: area, columns: make([]column, max(n, 1))}
}

// Add draws a point.
func (l *Line) Add(t int64, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	c := &l.columns[l.area.column(t, len(l.columns))]
	if c.points == 0 {
		c.low, c.high = v, v
	}
	c.low, c.high, c.last = min(c.low, v), max(c.high, v), v
	c.points++
}
