package influx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/snapfs/snapfs/boltview"
)

// rc is a shard of a release candidate: the buckets meta and values, and one
// per series, which is named by the number that the metadata give to it.
type rc struct {
	root     *boltview.Bucket
	meta     *Meta
	database string
	why      string // there is no database
	older    []*Meta
	dropped  bool // what only older metadata know is shown
	index    func() *rcIndex
}

func newRC(root *boltview.Bucket, opts ShardOptions) *rc {
	s := &rc{root: root, meta: opts.Meta, database: opts.Database, dropped: opts.Dropped}
	s.index = sync.OnceValue(s.newIndex)
	switch {
	case s.meta == nil:
		s.why = "no metadata were given"
	case s.database != "":
		if s.meta.Database(s.database) == nil {
			s.why = fmt.Sprintf("the metadata have no database %q", s.database)
		}
	default:
		if p, ok := s.meta.Shard(opts.ID); ok {
			s.database = p.Database.Name
		} else {
			s.why = fmt.Sprintf("the metadata have no shard %d", opts.ID)
		}
	}
	for _, m := range opts.Older {
		// Numbers of series hold as long as there is the database, and numbers of
		// shards for ever: only metadata that know the shard mean the same series.
		if p, ok := m.Shard(opts.ID); ok && s.why == "" && p.Database.Name == s.database {
			s.older = append(s.older, m)
		}
	}
	return s
}

// rcIndex is the series of a database.
type rcIndex struct {
	byID  map[uint64]Series
	byKey map[string]uint64
	errs  []error
	// dropped are numbers that only older metadata know: those that are not in
	// byID have been dealt with.
	dropped map[uint64]bool
}

// newIndex returns the series of the shard's database, and those that were
// dropped from it and are in the shard.
func (s *rc) newIndex() *rcIndex {
	if s.why != "" {
		return new(rcIndex)
	}
	x := s.meta.seriesIndex(s.database)
	if len(s.older) == 0 {
		return x
	}
	x = &rcIndex{byID: maps.Clone(x.byID), byKey: maps.Clone(x.byKey), errs: slices.Clone(x.errs), dropped: map[uint64]bool{}}
	for it, err := range s.root.All() {
		if err != nil || len(it.Key) != 8 || !it.IsBucket() {
			continue // told by who reads the series
		}
		id := binary.BigEndian.Uint64(it.Key)
		if _, ok := x.byID[id]; ok {
			continue
		}
		series, m, ok := s.gone(id)
		if !ok {
			continue
		}
		x.dropped[id] = true
		if !s.dropped {
			continue
		}
		reason := ""
		if other, ok := x.byKey[series.Key]; ok {
			reason = fmt.Sprintf("series %d has its key", other)
		} else if !s.sameFields(series.Measurement, m) {
			reason = "its measurement was defined anew"
		}
		if reason != "" {
			x.errs = append(x.errs, &ValueError{Key: slices.Clone(it.Key), Reason: fmt.Sprintf("series %d, %q: was dropped, and %s", id, series.Key, reason)})
			continue
		}
		series.Dropped = true
		x.byID[id] = series
		x.byKey[series.Key] = id
	}
	return x
}

// gone returns the series that the newest of the older metadata have under a
// number.
func (s *rc) gone(id uint64) (Series, *Meta, bool) {
	for _, m := range s.older {
		if series, ok := m.seriesIndex(s.database).byID[id]; ok {
			return series, m, true
		}
	}
	return Series{}, nil, false
}

// sameFields reports whether the fields that older metadata define for a
// measurement are those that are used now.
func (s *rc) sameFields(measurement string, older *Meta) bool {
	then, err := fieldsIn(older, s.database, measurement)
	now, err2 := s.fields(measurement)
	if err != nil || err2 != nil {
		return false
	}
	for _, f := range then {
		if !slices.ContainsFunc(now, func(g Field) bool { return g.ID == f.ID && g.Name == f.Name && g.Type == f.Type }) {
			return false
		}
	}
	return true
}

// seriesIndex reads the series of a database, and keeps them.
func (m *Meta) seriesIndex(database string) *rcIndex {
	if m.bolt == nil {
		return new(rcIndex)
	}
	m.lazy.Lock()
	defer m.lazy.Unlock()
	if x := m.lazy.series[database]; x != nil {
		return x
	}
	x := &rcIndex{byID: map[uint64]Series{}, byKey: map[string]uint64{}}
	for series, err := range m.Series(database) {
		if err == nil {
			if id, ok := x.byKey[series.Key]; ok {
				err = &ValueError{Bucket: "Series", Key: bigEndian(series.ID), Reason: fmt.Sprintf("series %q is also number %d", series.Key, id)}
			}
		}
		if err != nil {
			if x.errs = append(x.errs, err); len(x.errs) >= maxLogErrors {
				break
			}
			continue
		}
		x.byID[series.ID] = series
		x.byKey[series.Key] = series.ID
	}
	m.lazy.series[database] = x
	return x
}

func (s *rc) defined() iter.Seq2[string, error] {
	// What the database defines says nothing about the shard: measurements are
	// those of its series.
	return func(func(string, error) bool) {}
}

func (s *rc) fields(measurement string) ([]Field, error) {
	if s.why != "" {
		return nil, nil
	}
	list, err := fieldsIn(s.meta, s.database, measurement)
	for i := 0; s.dropped && len(list) == 0 && err == nil && i < len(s.older); i++ {
		list, err = fieldsIn(s.older[i], s.database, measurement)
	}
	return list, err
}

// fieldsIn returns the fields of a measurement in the metadata of a release
// candidate.
func fieldsIn(m *Meta, database, measurement string) ([]Field, error) {
	b, err := m.database(database)
	if err == nil && b != nil {
		b, err = b.Bucket([]byte("Measurements"))
	}
	var it boltview.Item
	if err == nil && b != nil {
		it, err = b.Item([]byte(measurement))
	}
	if b == nil || errors.Is(err, boltview.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read fields of %q: %w", measurement, err)
	}
	it.Key = []byte(measurement)
	return rcFields(it)
}

func (s *rc) measurement(key string) (string, error) {
	x := s.index()
	if id, ok := x.byKey[key]; ok {
		return x.byID[id].Measurement, nil
	}
	return "", nil // no such series, no points
}

func (s *rc) series() iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		x := s.index()
		for _, err := range x.errs {
			if !yield(Series{}, err) {
				return
			}
		}
		var list []Series
		for it, err := range s.root.All() {
			switch {
			case err != nil:
				err = fmt.Errorf("read series: %w", err)
			case string(it.Key) == "meta" || string(it.Key) == "values":
				continue
			case len(it.Key) != 8 || !it.IsBucket():
				err = &ValueError{Key: slices.Clone(it.Key), Reason: "not the bucket of a series"}
			default:
				id := binary.BigEndian.Uint64(it.Key)
				series, ok := x.byID[id]
				if ok {
					series.Stored = true
					list = append(list, series)
					continue
				}
				if x.dropped[id] {
					continue
				}
				why := s.why
				if why == "" {
					why = fmt.Sprintf("database %q has no such series", s.database)
				}
				err = &ValueError{Key: slices.Clone(it.Key), Reason: fmt.Sprintf("series %d: %s", id, why), Dropped: s.why == ""}
			}
			if !yield(Series{}, err) {
				return
			}
		}
		slices.SortFunc(list, func(a, b Series) int { return strings.Compare(a.Key, b.Key) })
		for _, series := range list {
			if !yield(series, nil) {
				return
			}
		}
	}
}

func (s *rc) records(key string, from, to int64, yield recordFunc) bool {
	id, ok := s.index().byKey[key]
	if !ok {
		return true
	}
	b, err := s.root.Bucket(bigEndian(id))
	if errors.Is(err, boltview.ErrNotFound) {
		return true
	}
	name := fmt.Sprintf("%016x", id)
	if err != nil {
		return yield(0, nil, name, 0, fmt.Errorf("read points: %w", err))
	}
	return scan(b, name, from, to, nil, yield)
}
