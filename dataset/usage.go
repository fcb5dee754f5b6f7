package dataset

import (
	"context"
	"iter"
	"maps"
	"slices"
)

// Usage is how much a measurement of a policy takes.
type Usage struct {
	Database string `json:"database"`
	Policy   string `json:"policy"`
	Name     string `json:"measurement"`
	Series   int64  `json:"series"`
	Points   int64  `json:"points"` // of all shards: what two of them have counts twice
	Bytes    int64  `json:"bytes"`  // of the points, as b1 stores them: the keys and values
}

// Usage returns how much the selected series take, in the order of databases,
// policies and names. It reads all points. Errors are [*ShardError], or that of
// ctx; they come before the measurements of their policy, and a loop can go on
// after them.
func (s *Set) Usage(ctx context.Context, f Filter) iter.Seq2[Usage, error] {
	return eachPolicy(s, f, func(p Policy, f Filter) iter.Seq2[Usage, error] { return p.usage(ctx, f) })
}

func (p Policy) usage(ctx context.Context, f Filter) iter.Seq2[Usage, error] {
	return func(yield func(Usage, error) bool) {
		from, to := f.span()
		steps := 0
		found := map[string]*Usage{}
		for one, err := range p.Series(f) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				if !yield(Usage{}, err) {
					return
				}
				continue
			}
			u := found[one.Measurement]
			if u == nil {
				u = &Usage{Database: p.Database, Policy: p.Name, Name: one.Measurement}
				found[one.Measurement] = u
			}
			u.Series++
			for _, sh := range one.shards {
				for point, err := range points(sh, one.Key, from, to) {
					if steps++; err == nil && steps&0xffff == 0 {
						err = ctx.Err()
					}
					if err != nil {
						if !yield(Usage{}, err) {
							return
						}
						continue
					}
					u.Points++
					u.Bytes += int64(point.Size())
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(found)) {
			if !yield(*found[name], nil) {
				return
			}
		}
	}
}
