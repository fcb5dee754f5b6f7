package dataset

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/influx"
)

// Policy is a retention policy with shards.
type Policy struct {
	Database, Name string
	// Shards are those that are selected, in the order of time.
	Shards []*Shard
}

// Compare compares the places of two policies in the order of [Set.Policies].
func (p Policy) Compare(database, name string) int {
	return cmp.Or(strings.Compare(p.Database, database), strings.Compare(p.Name, name))
}

// Policies returns the policies of which shards are selected, sorted by the
// names of databases and policies.
func (s *Set) Policies(f Filter) iter.Seq[Policy] {
	return func(yield func(Policy) bool) {
		for group := range s.policies(f) {
			if !yield(Policy{group[0].Database, group[0].Policy, group}) {
				return
			}
		}
	}
}

// Series returns the selected series of the policy, as [Set.Series] does.
func (p Policy) Series(f Filter) iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) { mergeSeries(p.Shards, f, yield) }
}

// Database returns what the newest metadata that know a database say of it, nil
// if none do.
func (s *Set) Database(name string) *influx.Database {
	for _, m := range s.src.Metas {
		if db := m.Database(name); db != nil {
			return db
		}
	}
	return nil
}

// RetentionPolicy returns what the newest metadata that know a policy say of it,
// nil if none do: those of a ghost are older than what [Set.Database] returns.
func (s *Set) RetentionPolicy(database, name string) *influx.Policy {
	for _, m := range s.src.Metas {
		db := m.Database(database)
		if db == nil {
			continue
		}
		for i := range db.Policies {
			if db.Policies[i].Name == name {
				return &db.Policies[i]
			}
		}
	}
	return nil
}

// MatchPolicy reports whether the filter selects data of a policy.
func (f Filter) MatchPolicy(database, policy string) bool {
	return match(f.Database, database) && match(f.Policy, policy)
}

// MatchShard reports whether a shard may hold something that the filter selects.
func (f Filter) MatchShard(sh *Shard) bool { return f.shard(sh) }

// InShards returns what [Series.Shards] does, without a copy.
func (s Series) InShards() iter.Seq[*Shard] { return slices.Values(s.shards) }
