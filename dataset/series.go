package dataset

import (
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

// mergeSeries yields the series of the shards of one policy. It holds the keys
// of all of them.
func mergeSeries(group []*Shard, f Filter, yield func(Series, error) bool) bool {
	found := map[string]*Series{}
	var keys []string
	for _, sh := range group {
		shard, err := sh.Open()
		if err != nil {
			if !yield(Series{}, err) {
				return false
			}
			continue
		}
		for one, err := range shard.Series() {
			if err != nil {
				if !yield(Series{}, shardError(sh, err)) {
					return false
				}
				continue
			}
			if !f.series(one) {
				continue
			}
			have := found[one.Key]
			if have == nil {
				have = &Series{Series: one, Database: sh.Database, Policy: sh.Policy}
				found[one.Key] = have
				keys = append(keys, one.Key)
			}
			if one.Listed && !have.Listed {
				have.Tags, have.Listed = one.Tags, true
			}
			have.Stored = have.Stored || one.Stored
			have.shards = append(have.shards, sh)
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
