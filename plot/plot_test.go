package plot

import (
	"bytes"
	"image/png"
	"math"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2015, 11, 2, 0, 0, 0, 0, time.UTC).UnixNano()

// ramp is a line that goes up from 0 to n-1, a point a second.
func ramp(n, columns int) (Range, *Line) {
	var r Range
	for i := range n {
		r.Add(start+int64(i)*1e9, float64(i))
	}
	l := NewLine("ramp", r, columns)
	for i := range n {
		l.Add(start+int64(i)*1e9, float64(i))
	}
	return r, l
}

func TestTerminal(t *testing.T) {
	term := Terminal{Width: 21, Height: 6}
	r, l := ramp(1000, term.Columns())
	var b bytes.Buffer
	if err := term.Draw(&b, r, []*Line{l}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[0], "      999 ┤") || !strings.HasPrefix(lines[3], "        0 ┤") || lines[5] != "           ━━ ramp" {
		t.Errorf("chart\n%s", &b)
	}
	// Up and to the right: the ends are dots in the corners, the others empty.
	top, bottom := []rune(lines[0]), []rune(lines[3])
	if top[axisWidth] != 0x2800 || top[len(top)-1] == 0x2800 || bottom[axisWidth] == 0x2800 || bottom[len(bottom)-1] != 0x2800 {
		t.Errorf("chart\n%s", &b)
	}
	if !strings.Contains(lines[4], "2015-11-02 2015-11-02") {
		t.Errorf("time axis %q", lines[4])
	}
	for room, want := range map[int]string{60: "2015-11-02T00:00:00Z 2015-11-02T00:16:39Z", 41: "2015-11-02T00:00:00Z 2015-11-02T00:16:39Z", 40: "2015-11-02T00:00 2015-11-02T00:16", 32: "2015-11-02 2015-11-02"} {
		if from, to := axisTimes(r, room); from+" "+to != want {
			t.Errorf("in %d characters: %s %s, want %s", room, from, to, want)
		}
	}
	painted := 0
	term.Paint = func(s string, i int) string { painted++; return s }
	if err := term.Draw(&b, r, []*Line{l}); err != nil || painted < 10 {
		t.Errorf("painted %d, %v", painted, err)
	}
}

// TestPeak: one high point among many is not lost, whatever the width.
func TestPeak(t *testing.T) {
	var r Range
	at := func(i int) (int64, float64) {
		v := 1.0
		if i == 77777 {
			v = 100
		}
		return start + int64(i), v
	}
	for i := range 100000 {
		r.Add(at(i))
	}
	l := NewLine("", r, 40)
	for i := range 100000 {
		l.Add(at(i))
	}
	high := 0.0
	for _, c := range l.columns {
		high = max(high, c.high)
	}
	if high != 100 {
		t.Errorf("highest %v", high)
	}
}

// TestExtremes: nothing that a shard can hold breaks the arithmetic.
func TestExtremes(t *testing.T) {
	var r Range
	values := []struct {
		t int64
		v float64
	}{{math.MinInt64, -math.MaxFloat64}, {0, math.NaN()}, {5, math.Inf(1)}, {math.MaxInt64, math.MaxFloat64}, {1, 0}}
	for _, v := range values {
		r.Add(v.t, v.v)
	}
	if r.Points != 3 || math.IsInf(r.Max, 0) {
		t.Fatalf("range %+v", r)
	}
	term := Terminal{}
	l := NewLine("x", r, term.Columns())
	for _, v := range values {
		l.Add(v.t, v.v)
	}
	var b bytes.Buffer
	if err := term.Draw(&b, r, []*Line{l}); err != nil || !strings.Contains(b.String(), "┤") {
		t.Errorf("%v\n%s", err, &b)
	}
	// A single point, and none.
	var one Range
	one.Add(7, 7)
	for _, r := range []Range{one, {}} {
		l := NewLine("x", r, 10)
		l.Add(7, 7)
		if err := term.Draw(&b, r, []*Line{l}); err != nil {
			t.Error(err)
		}
	}
}

func TestPicture(t *testing.T) {
	p := Picture{Format: "png", Title: "a ramp"}
	r, l := ramp(1000, p.Columns())
	var a, b bytes.Buffer
	if err := p.Draw(&a, r, []*Line{l}); err != nil {
		t.Fatal(err)
	}
	if err := p.Draw(&b, r, []*Line{l}); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("drawn twice it differs, %v", err)
	}
	img, err := png.Decode(&a)
	if err != nil || img.Bounds().Dx() < 700 {
		t.Errorf("%v, %v", img.Bounds(), err)
	}
	p.Format = "svg"
	var svg bytes.Buffer
	if err := p.Draw(&svg, r, []*Line{l}); err != nil || !strings.Contains(svg.String(), "<svg") {
		t.Errorf("%v: %.100s", err, &svg)
	}
	p.Format = "xyz"
	if err := p.Draw(&svg, r, []*Line{l}); err == nil {
		t.Error("no error for a format that is none")
	}
}
