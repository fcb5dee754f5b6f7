package influx

import (
	"iter"
)

// Series is a series of a shard.
type Series struct {
	Key         string `json:"key"` // escaped measurement, then ",tag=value" in the order of the tags
	Measurement string `json:"measurement"`
	Tags        []Tag  `json:"tags"`         // in the order of names
	ID          uint64 `json:"id,omitempty"` // number in the database, of a release candidate
	// Listed is set if the shard has a record of the series, which releases up to
	// 0.9.2 wrote into the first shard of a database only. For a release candidate
	// it is set if the metadata know the series.
	Listed bool `json:"listed"`
	// Stored is set if the shard has a bucket for the points of the series, or
	// points in its write-ahead log.
	Stored bool `json:"stored"`
	// Dropped is set if the newest metadata do not know the series any more, see
	// [ShardOptions].
	Dropped bool `json:"dropped,omitempty"`
}

// merge returns the series of several lists, each of which is in the order of
// keys, in that order and each once. Errors come when they are met.
func merge(lists ...iter.Seq2[Series, error]) iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		type source struct {
			next func() (Series, error, bool)
			head Series
			ok   bool
		}
		sources := make([]source, len(lists))
		// advance goes on in a source, past errors. It returns false if the loop
		// has ended.
		advance := func(s *source) bool {
			for {
				var err error
				if s.head, err, s.ok = s.next(); err == nil {
					return true
				}
				if !yield(s.head, err) {
					return false
				}
			}
		}
		for i, list := range lists {
			next, stop := iter.Pull2(list)
			defer stop()
			sources[i].next = next
			if !advance(&sources[i]) {
				return
			}
		}
		for {
			var first *source
			for i := range sources {
				if s := &sources[i]; s.ok && (first == nil || s.head.Key < first.head.Key) {
					first = s
				}
			}
			if first == nil {
				return
			}
			out := first.head
			for i := range sources {
				// A list of a damaged file may have a key twice in a row.
				for s := &sources[i]; s.ok && s.head.Key == out.Key; {
					if s.head.Listed && !out.Listed {
						out.Listed, out.Measurement, out.Tags = true, s.head.Measurement, s.head.Tags
					}
					out.Stored = out.Stored || s.head.Stored
					if !advance(s) {
						return
					}
				}
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}
