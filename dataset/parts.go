package dataset

import (
	"iter"
	"slices"

	"github.com/snapfs/snapfs/influx"
)

// Part is a run of points of a series. Each is wholly before the next.
type Part struct {
	// Shards are those that it is read from: one, unless shards overlap.
	Shards []*Shard
	// Points gives the points and errors of the part, as [Set.Points] does.
	Points iter.Seq2[influx.Point, error]
}

// Parts returns the points of a series that [Set.Points] gives, in parts that
// can be read at the same time.
func (s *Set) Parts(series Series, f Filter) []Part {
	from, to := f.span()
	shards := slices.DeleteFunc(slices.Clone(series.shards), func(sh *Shard) bool { return !f.shard(sh) })
	if !disjoint(shards) || !withinGroups(shards, series.Key, from, to) {
		return []Part{{shards, s.Points(series, f)}}
	}
	parts := make([]Part, len(shards))
	for i, sh := range shards {
		parts[i] = Part{shards[i : i+1], points(sh, series.Key, from, to)}
	}
	return parts
}
