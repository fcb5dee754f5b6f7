package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/names"
	"github.com/snapfs/snapfs/space"
)

// diffKey is a key of a Bolt file that differs.
type diffKey struct {
	Type       string   `json:"type"` // bucket, value
	File       string   `json:"file"`
	Change     string   `json:"change"`
	Buckets    []string `json:"buckets"`
	BucketsHex []string `json:"buckets_hex"`
	jsonKey
	Size       *int64 `json:"size,omitempty"`
	SizeBefore *int64 `json:"size_before,omitempty"`
}

// boltKeys prints the buckets and keys of a Bolt file that differ.
func (d *differences) boltKeys(s *diffStat, c chain.Change) error {
	before, err := d.boltOf(d.old, s.Path, c.Old)
	if err != nil {
		return d.complain(fmt.Errorf("%s at %s: %w", s.Path, d.cmd.A, err))
	}
	after, err := d.boltOf(d.new, s.Path, c.New)
	if err != nil {
		return d.complain(fmt.Errorf("%s at %s: %w", s.Path, d.cmd.B, err))
	}
	if before == nil && after == nil {
		return nil
	}
	s.Keys = new(diffCount)
	do := func(c boltview.Change) error {
		s.Keys.add(c.Old != nil, c.New != nil)
		if d.cmd.Stat {
			return nil
		}
		return d.printKey(s.Path, c)
	}
	if before != nil && after != nil {
		for c, err := range boltview.Diff(d.app.ctx, before.Root(), after.Root()) {
			switch {
			case d.app.ctx.Err() != nil:
				return d.app.ctx.Err()
			case err != nil:
				err = d.complain(fmt.Errorf("%s: %w", s.Path, err))
			default:
				err = do(c)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	db := before
	if db == nil {
		db = after
	}
	for n, err := range db.Root().Walk(nil) {
		switch {
		case d.app.ctx.Err() != nil:
			return d.app.ctx.Err()
		case err != nil:
			err = d.complain(fmt.Errorf("%s: %w", s.Path, err))
		case before != nil:
			err = do(boltview.Change{Old: &n})
		default:
			err = do(boltview.Change{New: &n})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *differences) printKey(file string, c boltview.Change) error {
	n := c.New
	if n == nil {
		n = c.Old
	}
	size := func(n *boltview.Node) *int64 {
		if n == nil || n.IsBucket() {
			return nil
		}
		size := n.Size()
		return &size
	}
	line := diffKey{Type: "value", File: file, Buckets: []string{}, BucketsHex: []string{}, Size: size(c.New), SizeBefore: size(c.Old)}
	if n.IsBucket() {
		line.Type = "bucket"
	}
	var sign string
	line.Change, sign = changeName(c.Old != nil, c.New != nil)
	for _, b := range n.In.Path() {
		line.Buckets = append(line.Buckets, names.Key(b))
		line.BucketsHex = append(line.BucketsHex, hex.EncodeToString(b))
	}
	if d.cmd.JSON {
		line.jsonKey = newJSONKey(n.Key)
		return d.line(line)
	}
	text := fmt.Sprintf("  %s %s", sign, strings.Join(append(line.Buckets, names.Key(n.Key)), "/"))
	switch {
	case n.IsBucket():
		text += "/"
	case c.Old != nil && c.New != nil && *line.Size != *line.SizeBefore:
		text += fmt.Sprintf("  %d bytes, then %d", *line.SizeBefore, *line.Size)
	default:
		text += "  " + plural(n.Size(), "byte")
	}
	_, err := fmt.Fprintln(d.out, text)
	return err
}

// diffPoint is a point of a shard that differs.
type diffPoint struct {
	Type     string         `json:"type"` // point
	File     string         `json:"file"`
	Database string         `json:"database"`
	Policy   string         `json:"policy"`
	Series   string         `json:"series"`
	Time     int64          `json:"time"` // nanoseconds since 1970
	Change   string         `json:"change"`
	Fields   map[string]any `json:"fields,omitempty"`
	Before   map[string]any `json:"fields_before,omitempty"`
}

// points prints the points of a shard that differ.
func (d *differences) points(s *diffStat) error {
	for i, t := range []*space.Tree{d.old, d.new} {
		if d.shards[i] == nil {
			d.shards[i] = map[string]*dataset.Shard{}
			for _, sh := range t.Data().Shards() {
				d.shards[i][sh.Path] = sh
			}
		}
	}
	// A shard that is not in the view any more is in the data of neither.
	before, after := d.shards[0][s.Path], d.shards[1][s.Path]
	if before == nil && after == nil {
		return nil
	}
	s.Points = new(diffCount)
	for c, err := range dataset.DiffPoints(d.app.ctx, before, after) {
		if err != nil {
			if err := d.lost.add(err); err != nil {
				return err
			}
			continue
		}
		s.Points.add(c.Old != nil, c.New != nil)
		if d.cmd.Stat {
			continue
		}
		sh := after
		if sh == nil {
			sh = before
		}
		if err := d.printPoint(sh, c); err != nil {
			return err
		}
	}
	return nil
}

func (d *differences) printPoint(sh *dataset.Shard, c dataset.PointChange) error {
	if !d.cmd.JSON {
		for _, x := range []struct {
			sign string
			p    *influx.Point
		}{{"-", c.Old}, {"+", c.New}} {
			if x.p == nil {
				continue
			}
			text := printable(pointText(c.Series, x.p))
			if d.width > 0 {
				text = clip(text, max(d.width-len("  + "), 1), 0)
			}
			if _, err := fmt.Fprintf(d.out, "  %s %s\n", x.sign, text); err != nil {
				return err
			}
		}
		return nil
	}
	line := diffPoint{Type: "point", File: sh.Path, Database: sh.Database, Policy: sh.Policy, Series: c.Series.Key}
	line.Change, _ = changeName(c.Old != nil, c.New != nil)
	if c.Old != nil {
		line.Time, line.Before = c.Old.Time, fieldMap(c.Old)
	}
	if c.New != nil {
		line.Time, line.Fields = c.New.Time, fieldMap(c.New)
	}
	return d.line(line)
}

// pointText returns a point as line protocol, or what is next to it where that
// has no way to write it.
func pointText(s influx.Series, p *influx.Point) string {
	head, err := influx.AppendSeries(nil, s.Measurement, s.Tags)
	if err == nil {
		var line []byte
		if line, err = influx.AppendPoint(nil, head, *p, influx.Nanosecond); err == nil {
			return strings.ReplaceAll(strings.TrimSuffix(string(line), "\n"), "\n", `\n`)
		}
	}
	var fields []string
	for i := range p.Fields {
		fields = append(fields, fmt.Sprintf("%q=%q", p.Fields[i].Field.Name, p.Fields[i].Value.String()))
	}
	return fmt.Sprintf("%q %s %d", s.Key, strings.Join(fields, ","), p.Time)
}

// fieldMap returns the fields of a point for JSON: floats with a point or an
// exponent, or as strings if they are not finite.
func fieldMap(p *influx.Point) map[string]any {
	out := map[string]any{}
	for i := range p.Fields {
		f := &p.Fields[i]
		v := f.Value.Any()
		if x, ok := v.(float64); ok {
			text := strconv.FormatFloat(x, 'g', -1, 64)
			switch {
			case math.IsNaN(x) || math.IsInf(x, 0):
				v = text
			case !strings.ContainsAny(text, ".e"):
				v = json.Number(text + ".0")
			default:
				v = json.Number(text)
			}
		}
		out[f.Field.Name] = v
	}
	return out
}
