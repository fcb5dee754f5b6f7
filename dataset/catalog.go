package dataset

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/influx"
)

// Measurement is a measurement of a policy that has series there.
type Measurement struct {
	Database string `json:"database"`
	Policy   string `json:"policy"`
	Name     string `json:"measurement"`
	Series   int    `json:"series"` // how many
}

// Field is a field of a measurement in a policy.
type Field struct {
	Database    string             `json:"database"`
	Policy      string             `json:"policy"`
	Measurement string             `json:"measurement"`
	Name        string             `json:"field"`
	Types       []influx.FieldType `json:"types"` // more than one if shards differ, in the order of their numbers
}

// TagKey is the key of a tag that series of a measurement have in a policy.
type TagKey struct {
	Database    string   `json:"database"`
	Policy      string   `json:"policy"`
	Measurement string   `json:"measurement"`
	Key         string   `json:"tag"`
	Values      []string `json:"values"` // each once, sorted
}

// Measurements returns the measurements of the selected series, in the order of
// databases, policies and names. Errors are [*ShardError], and come before the
// measurements of their policy; a loop can go on after them.
func (s *Set) Measurements(f Filter) iter.Seq2[Measurement, error] {
	return eachPolicy(s, f, Policy.Measurements)
}

// Fields returns the fields that the shards define for the measurements of the
// selected series, in the order of databases, policies, measurements and names.
// Errors are [*ShardError]; a loop can go on after them.
func (s *Set) Fields(f Filter) iter.Seq2[Field, error] { return eachPolicy(s, f, Policy.Fields) }

// TagKeys returns the keys of the tags of the selected series, in the order of
// databases, policies, measurements and keys. Errors are [*ShardError], and come
// before the tags of their policy; a loop can go on after them.
func (s *Set) TagKeys(f Filter) iter.Seq2[TagKey, error] { return eachPolicy(s, f, Policy.TagKeys) }

// eachPolicy returns what of gives for one policy after the other.
func eachPolicy[T any](s *Set, f Filter, of func(Policy, Filter) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for p := range s.Policies(f) {
			for v, err := range of(p, f) {
				if !yield(v, err) {
					return
				}
			}
		}
	}
}

// Measurements returns those of the policy, as [Set.Measurements] does.
func (p Policy) Measurements(f Filter) iter.Seq2[Measurement, error] {
	return func(yield func(Measurement, error) bool) {
		counts := map[string]int{}
		for one, err := range p.Series(f) {
			if err == nil {
				counts[one.Measurement]++
			} else if !yield(Measurement{}, err) {
				return
			}
		}
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			if !yield(Measurement{p.Database, p.Name, name, counts[name]}, nil) {
				return
			}
		}
	}
}

// Fields returns those of the policy, as [Set.Fields] does.
func (p Policy) Fields(f Filter) iter.Seq2[Field, error] {
	return func(yield func(Field, error) bool) {
		// Shards of a candidate's database define what others have, so that
		// series decide, as they do for the servers.
		names := map[string]map[*Shard]bool{}
		for one, err := range p.Series(f) {
			if err != nil {
				if !yield(Field{}, err) {
					return
				}
				continue
			}
			if names[one.Measurement] == nil {
				names[one.Measurement] = map[*Shard]bool{}
			}
			for _, sh := range one.shards {
				names[one.Measurement][sh] = true
			}
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if !yieldFields(p, name, names[name], yield) {
				return
			}
		}
	}
}

// TagKeys returns those of the policy, as [Set.TagKeys] does.
func (p Policy) TagKeys(f Filter) iter.Seq2[TagKey, error] {
	type name struct{ measurement, key string }
	return func(yield func(TagKey, error) bool) {
		values := map[name]map[string]bool{}
		for one, err := range p.Series(f) {
			if err != nil {
				if !yield(TagKey{}, err) {
					return
				}
				continue
			}
			for _, t := range one.Tags {
				at := name{one.Measurement, t.Key}
				if values[at] == nil {
					values[at] = map[string]bool{}
				}
				values[at][t.Value] = true
			}
		}
		order := slices.SortedFunc(maps.Keys(values), func(a, b name) int {
			return cmp.Or(strings.Compare(a.measurement, b.measurement), strings.Compare(a.key, b.key))
		})
		for _, at := range order {
			if !yield(TagKey{p.Database, p.Name, at.measurement, at.key, slices.Sorted(maps.Keys(values[at]))}, nil) {
				return
			}
		}
	}
}

// yieldFields yields the fields of a measurement that some shards of a policy
// define.
func yieldFields(of Policy, measurement string, shards map[*Shard]bool, yield func(Field, error) bool) bool {
	types := map[string][]influx.FieldType{}
	for _, sh := range of.Shards {
		if !shards[sh] {
			continue
		}
		shard, err := sh.Open()
		if err != nil {
			continue // which the series have told
		}
		fields, err := shard.Fields(measurement)
		if err != nil && !yield(Field{}, shardError(sh, err)) {
			return false
		}
		for _, x := range fields {
			if !slices.Contains(types[x.Name], x.Type) {
				types[x.Name] = append(types[x.Name], x.Type)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		slices.Sort(types[name])
		if !yield(Field{of.Database, of.Name, measurement, name, types[name]}, nil) {
			return false
		}
	}
	return true
}
