package dataset

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/snapfs/snapfs/influx"
)

// ErrNoSeries is returned when no shard of a policy has a series.
var ErrNoSeries = errors.New("no such series")

// Lookup returns the series with a key. Only if no shard has points of it, or
// its key can be read in two ways, are all series of the policy read. The error
// is [ErrNoSeries], or a [*ShardError] if a shard that may have it cannot be
// read.
func (s *Set) Lookup(database, policy, key string) (Series, error) {
	out := Series{Database: database, Policy: policy}
	out.Key = key
	var group []*Shard
	var failed error
	for _, sh := range s.shards {
		if sh.Database != database || sh.Policy != policy {
			continue
		}
		group = append(group, sh)
		shard, err := sh.Open()
		if err != nil {
			failed = err
			continue
		}
		for range shard.Points(key, math.MinInt64, math.MaxInt64) {
			// Even an error means that there is something to be read.
			out.shards = append(out.shards, sh)
			break
		}
	}
	if len(out.shards) > 0 && !ambiguous(key) {
		var err error
		if out.Measurement, out.Tags, err = influx.ParseSeriesKey(key); err == nil {
			out.Stored = true
			return out, nil
		}
	}
	found := false
	mergeSeries(group, Filter{}, func(one Series, err error) bool {
		if err != nil {
			failed = err
			return true
		}
		if one.Key == key {
			out, found = one, true
		}
		return !found
	})
	switch {
	case found:
		return out, nil
	case failed != nil:
		return Series{}, failed
	}
	return Series{}, fmt.Errorf("%q: %w", key, ErrNoSeries)
}

// ambiguous reports whether only the record of a series can tell what its key
// says: a backslash before a separator is an escape, or the end of a name.
func ambiguous(key string) bool {
	return strings.Contains(key, `\,`) || strings.Contains(key, `\=`) || strings.HasSuffix(key, `\`)
}
