package dataset

import (
	"cmp"
	"container/heap"
	"iter"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/influx"
)

// Series is a series of a policy.
type Series struct {
	influx.Series
	Database string
	Policy   string
	shards   []*Shard // that have it, in the order of time
}

// Shards returns the shards that have a record or points of the series, in the
// order of time.
func (s Series) Shards() []*Shard { return slices.Clone(s.shards) }

// Series returns the selected series, each once for a policy, in the order of
// databases, policies and the bytes of keys. Errors are [*ShardError]; a loop
// can go on after them.
func (s *Set) Series(f Filter) iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		for group := range s.policies(f) {
			if !mergeSeries(group, f, yield) {
				return
			}
		}
	}
}

// policies yields the selected shards of one policy after the other.
func (s *Set) policies(f Filter) iter.Seq[[]*Shard] {
	return func(yield func([]*Shard) bool) {
		var group []*Shard
		for _, sh := range s.shards {
			if !f.shard(sh) {
				continue
			}
			if n := len(group); n > 0 && (group[n-1].Database != sh.Database || group[n-1].Policy != sh.Policy) {
				if !yield(group) {
					return
				}
				group = nil
			}
			group = append(group, sh)
		}
		if len(group) > 0 {
			yield(group)
		}
	}
}

// gatherSize bounds the bytes of shards, and gatherKeys the series of shards, of
// which all series are gathered in memory: that takes less time than streams.
// Each stream takes some memory itself, so that maxStreams bounds them.
const (
	gatherSize = 8 << 20
	gatherKeys = 100_000
	maxStreams = 512
)

// mergeSeries yields the series of the shards of one policy.
func mergeSeries(group []*Shard, f Filter, yield func(Series, error) bool) bool {
	if inStreams(group) {
		return streamSeries(group, f, yield)
	}
	return gatherSeries(group, f, yield)
}

// inStreams reports whether the series of shards should be merged, which needs
// them in order, rather than gathered.
func inStreams(group []*Shard) bool {
	var size int64
	for _, sh := range group {
		size += sh.Size
	}
	if size <= gatherSize || len(group) > maxStreams {
		return false
	}
	keys := 0
	for _, sh := range group {
		n, sorted := sh.keys()
		if !sorted {
			return false
		}
		keys += n
	}
	return keys > gatherKeys
}

// countKeys counts the series of the shard, and tells whether their keys come in
// order, as they do unless the shard is damaged.
func (sh *Shard) countKeys() (n int, sorted bool) {
	shard, err := sh.Open()
	if err != nil {
		return 0, true
	}
	last := ""
	for one, err := range shard.Series() {
		if err != nil {
			continue // told by who reads the series
		}
		if n > 0 && one.Key <= last {
			return n, false
		}
		n, last = n+1, one.Key
	}
	return n, true
}

// gatherSeries yields series after it has gathered them all.
func gatherSeries(group []*Shard, f Filter, yield func(Series, error) bool) bool {
	found := map[string]*Series{}
	var keys []string
	for _, sh := range group {
		for one, err := range sh.Series(f) {
			if err != nil {
				if !yield(Series{}, err) {
					return false
				}
				continue
			}
			have := found[one.Key]
			if have == nil {
				have = &Series{Series: one, Database: sh.Database, Policy: sh.Policy}
				found[one.Key] = have
				keys = append(keys, one.Key)
			}
			have.join(one, sh)
		}
	}
	slices.SortFunc(keys, strings.Compare)
	for _, key := range keys {
		if !yield(*found[key], nil) {
			return false
		}
	}
	return true
}

// join adds what one shard has of the series.
func (s *Series) join(one influx.Series, sh *Shard) {
	if one.Listed && !s.Listed {
		s.Tags, s.Listed = one.Tags, true
	}
	s.Stored = s.Stored || one.Stored
	s.Dropped = s.Dropped && one.Dropped
	s.shards = append(s.shards, sh)
}

// Series returns the series of the shard that the filter selects, whatever it
// says of shards, in the order of keys. Errors are [*ShardError]; a loop can go
// on after them.
func (sh *Shard) Series(f Filter) iter.Seq2[influx.Series, error] {
	return func(yield func(influx.Series, error) bool) {
		shard, err := sh.Open()
		if err != nil {
			yield(influx.Series{}, err)
			return
		}
		for one, err := range shard.Series() {
			if err != nil {
				err = shardError(sh, err)
			} else if !f.series(one) {
				continue
			}
			if !yield(one, err) {
				return
			}
		}
	}
}

// stream is the series of one shard, of which head is the next.
type stream struct {
	order int // of the shard in its group
	shard *Shard
	next  func() (influx.Series, error, bool)
	head  influx.Series
}

// streams is a heap by the keys of heads.
type streams []*stream

func (h streams) Len() int { return len(h) }
func (h streams) Less(i, j int) bool {
	return cmp.Or(strings.Compare(h[i].head.Key, h[j].head.Key), cmp.Compare(h[i].order, h[j].order)) < 0
}
func (h streams) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *streams) Push(x any)   { *h = append(*h, x.(*stream)) }
func (h *streams) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// streamSeries yields series while it reads those of all shards, which come in
// order.
func streamSeries(group []*Shard, f Filter, yield func(Series, error) bool) bool {
	var h streams
	// advance goes on in a stream, past errors.
	advance := func(s *stream) (more, ok bool) {
		for {
			var err error
			if s.head, err, more = s.next(); !more || err == nil {
				return more, true
			}
			if !yield(Series{}, err) {
				return false, false
			}
		}
	}
	for i, sh := range group {
		next, stop := iter.Pull2(sh.Series(f))
		defer stop()
		s := &stream{order: i, shard: sh, next: next}
		more, ok := advance(s)
		if !ok {
			return false
		}
		if more {
			h = append(h, s)
		}
	}
	heap.Init(&h)
	for len(h) > 0 {
		out := Series{Series: h[0].head, Database: h[0].shard.Database, Policy: h[0].shard.Policy}
		for len(h) > 0 && h[0].head.Key == out.Key {
			s := h[0]
			out.join(s.head, s.shard)
			more, ok := advance(s)
			if !ok {
				return false
			}
			if more {
				heap.Fix(&h, 0)
			} else {
				heap.Pop(&h)
			}
		}
		if !yield(out, nil) {
			return false
		}
	}
	return true
}
