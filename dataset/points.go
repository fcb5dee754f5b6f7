package dataset

import (
	"iter"
	"math"

	"github.com/snapfs/snapfs/influx"
)

// Points returns the points of a series in the span of the filter, in the order
// of time, each time once: where two shards have one, that of the shard whose
// group the time is in counts, else that of the higher number. Points are lent
// until the loop takes its next step. Errors are [*ShardError]; a loop can go
// on after them.
func (s *Set) Points(series Series, f Filter) iter.Seq2[influx.Point, error] {
	from, to := f.span()
	shards := make([]*Shard, 0, len(series.shards))
	for _, sh := range series.shards {
		if f.shard(sh) {
			shards = append(shards, sh)
		}
	}
	return func(yield func(influx.Point, error) bool) {
		if disjoint(shards) && withinGroups(shards, series.Key, from, to) {
			for _, sh := range shards {
				for p, err := range points(sh, series.Key, from, to) {
					if !yield(p, err) {
						return
					}
				}
			}
			return
		}
		mergePoints(shards, series.Key, from, to, yield)
	}
}

// points returns the points of a series in one shard.
func points(sh *Shard, key string, from, to int64) iter.Seq2[influx.Point, error] {
	return func(yield func(influx.Point, error) bool) {
		shard, err := sh.Open()
		if err != nil {
			yield(influx.Point{}, err)
			return
		}
		for p, err := range shard.Points(key, from, to) {
			if err != nil {
				err = shardError(sh, err)
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// disjoint reports whether the groups of the shards, which are in the order of
// their starts, follow each other.
func disjoint(shards []*Shard) bool {
	last := int64(math.MinInt64)
	for i, sh := range shards {
		first, end, ok := sh.span()
		if !ok && len(shards) > 1 || i > 0 && first <= last {
			return false
		}
		last = end
	}
	return true
}

// withinGroups reports whether no shard has a point of the series outside its
// group. Servers never wrote one; it costs two lookups a shard to be sure.
func withinGroups(shards []*Shard, key string, from, to int64) bool {
	if len(shards) < 2 {
		return true
	}
	for _, sh := range shards {
		first, last, _ := sh.span()
		if from < first && !empty(points(sh, key, from, first-1)) || to > last && !empty(points(sh, key, last+1, to)) {
			return false
		}
	}
	return true
}

func empty(seq iter.Seq2[influx.Point, error]) bool {
	for range seq {
		return false
	}
	return true
}

// head is the next point of a shard.
type head struct {
	shard *Shard
	next  func() (influx.Point, error, bool)
	point influx.Point
}

// mergePoints merges shards whose times overlap.
func mergePoints(shards []*Shard, key string, from, to int64, yield func(influx.Point, error) bool) {
	var heads []*head
	// advance takes the next point, after what errors there are before it.
	advance := func(h *head) (more, ok bool) {
		for {
			p, err, more := h.next()
			if !more {
				return false, true
			}
			if err == nil {
				h.point = p
				return true, true
			}
			if !yield(influx.Point{}, err) {
				return false, false
			}
		}
	}
	for _, sh := range shards {
		next, stop := iter.Pull2(points(sh, key, from, to))
		defer stop()
		h := &head{shard: sh, next: next}
		more, ok := advance(h)
		if !ok {
			return
		}
		if more {
			heads = append(heads, h)
		}
	}
	for len(heads) > 0 {
		best := heads[0]
		for _, h := range heads[1:] {
			if h.point.Time < best.point.Time || h.point.Time == best.point.Time && better(h.shard, best.shard, h.point.Time) {
				best = h
			}
		}
		t := best.point.Time
		if !yield(best.point, nil) {
			return
		}
		kept := heads[:0]
		for _, h := range heads {
			more := true
			if h.point.Time == t {
				var ok bool
				if more, ok = advance(h); !ok {
					return
				}
			}
			if more {
				kept = append(kept, h)
			}
		}
		heads = kept
	}
}

// better reports whether a is the shard to believe about time t, rather than b.
func better(a, b *Shard, t int64) bool {
	in := func(sh *Shard) bool {
		first, last, ok := sh.span()
		return ok && first <= t && t <= last
	}
	if in(a) != in(b) {
		return in(a)
	}
	return a.ID > b.ID
}
