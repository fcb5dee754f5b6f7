package dataset

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/snapfs/snapfs/influx"
)

// PointChange is a point that two copies of a shard do not have alike.
type PointChange struct {
	Series influx.Series
	// Old and New are nil where there is no such point. They are lent until the
	// loop takes its next step.
	Old, New *influx.Point
}

// DiffPoints returns the points that differ between two copies of a shard, one
// of which may be nil, in the order of series and time. It holds the keys of all
// series. Errors are [*ShardError]; a loop can go on after them, and what could
// not be read then looks as if it were not there. The end of ctx is the last
// error.
func DiffPoints(ctx context.Context, before, after *Shard) iter.Seq2[PointChange, error] {
	return func(yield func(PointChange, error) bool) {
		found := map[string]influx.Series{}
		for _, sh := range []*Shard{before, after} {
			if sh == nil {
				continue
			}
			for s, err := range sh.Series(Filter{}) {
				if err == nil {
					found[s.Key] = s
				} else if !yield(PointChange{}, err) {
					return
				}
			}
		}
		for _, key := range slices.Sorted(maps.Keys(found)) {
			if !diffSeries(ctx, before, after, found[key], yield) {
				return
			}
		}
	}
}

// diffSeries compares the points of one series.
func diffSeries(ctx context.Context, before, after *Shard, s influx.Series, yield func(PointChange, error) bool) bool {
	var sides [2]struct {
		next  func() (influx.Point, error, bool)
		point influx.Point
		more  bool
	}
	advance := func(i int) bool {
		for {
			var err error
			if sides[i].point, err, sides[i].more = sides[i].next(); !sides[i].more || err == nil {
				return true
			}
			if !yield(PointChange{Series: s}, err) {
				return false
			}
		}
	}
	for i, sh := range []*Shard{before, after} {
		if sh == nil {
			continue
		}
		next, stop := iter.Pull2(points(sh, s.Key, math.MinInt64, math.MaxInt64))
		defer stop()
		sides[i].next = next
		if !advance(i) {
			return false
		}
	}
	x, y := &sides[0], &sides[1]
	for n := 0; x.more || y.more; n++ {
		if n&4095 == 0 && ctx.Err() != nil {
			yield(PointChange{}, ctx.Err())
			return false
		}
		c := PointChange{Series: s}
		if x.more && (!y.more || x.point.Time <= y.point.Time) {
			c.Old = &x.point
		}
		if y.more && (!x.more || y.point.Time <= x.point.Time) {
			c.New = &y.point
		}
		if (c.Old == nil || c.New == nil || !samePoint(c.Old, c.New)) && !yield(c, nil) {
			return false
		}
		if c.Old != nil && !advance(0) || c.New != nil && !advance(1) {
			return false
		}
	}
	return true
}

// samePoint reports whether two points of one time have the same fields, with
// the same types and values to the bit.
func samePoint(a, b *influx.Point) bool {
	return slices.EqualFunc(a.Fields, b.Fields, func(f, g influx.FieldValue) bool {
		v, w := &f.Value, &g.Value
		if f.Field.Name != g.Field.Name || v.Type() != w.Type() {
			return false
		}
		switch v.Type() {
		case influx.Float:
			return math.Float64bits(v.Float()) == math.Float64bits(w.Float())
		case influx.String:
			return bytes.Equal(v.Bytes(), w.Bytes())
		}
		return v.Integer() == w.Integer()
	})
}
