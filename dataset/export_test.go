package dataset

import "iter"

// BothSeries returns the series of each policy as they are gathered, and as
// they are merged.
func BothSeries(s *Set, f Filter) (gathered, merged iter.Seq2[Series, error]) {
	each := func(of func([]*Shard, Filter, func(Series, error) bool) bool) iter.Seq2[Series, error] {
		return func(yield func(Series, error) bool) {
			for group := range s.policies(f) {
				if !of(group, f, yield) {
					return
				}
			}
		}
	}
	return each(gatherSeries), each(streamSeries)
}

// Keys returns what countKeys does.
func (sh *Shard) Keys() (n int, sorted bool) { return sh.keys() }
