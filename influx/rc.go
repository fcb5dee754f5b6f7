package influx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/boltview"
)

// rc is a shard of a release candidate: the buckets meta and values, and one
// per series, which is named by the number that the metadata give to it.
type rc struct {
	root     *boltview.Bucket
	meta     *Meta
	database string
	why      string // there is no database
}

func newRC(root *boltview.Bucket, opts ShardOptions) *rc {
	s := &rc{root: root, meta: opts.Meta, database: opts.Database}
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
	return s
}

// rcIndex is the series of a database.
type rcIndex struct {
	byID  map[uint64]Series
	byKey map[string]uint64
	errs  []error
}

// index returns the series of the shard's database.
func (s *rc) index() *rcIndex {
	if s.why != "" {
		return new(rcIndex)
	}
	return s.meta.seriesIndex(s.database)
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
	b, err := s.meta.database(s.database)
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
				why := s.why
				if why == "" {
					why = fmt.Sprintf("database %q has no such series", s.database)
				}
				err = &ValueError{Key: slices.Clone(it.Key), Reason: fmt.Sprintf("series %d: %s", id, why)}
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
