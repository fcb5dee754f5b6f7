package influx

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/boltview"
)

// b1 is a shard of engine b1: the buckets fields, series, wal, in releases from
// 0.9.3 on meta, and one per series, which is named by its key.
//
// A series without tags whose measurement has the name of one of the first has
// its points in that bucket: 8 bytes of time among other keys.
type b1 struct {
	root *boltview.Bucket
	meta bool // the bucket meta is the engine's
	log  func() *walIndex
}

func newB1(root *boltview.Bucket, meta bool) *b1 {
	return &b1{root: root, meta: meta, log: sync.OnceValue(func() *walIndex { return readWAL(root) })}
}

// system reports whether a bucket is the engine's.
func (s *b1) system(name string) bool {
	switch name {
	case "fields", "series", "wal":
		return true
	}
	return s.meta && name == "meta"
}

// foreign reports whether an item of a system bucket is not a point of the
// series that has the bucket's name.
func foreign(bucket string, it boltview.Item) bool {
	if bucket == "wal" {
		return it.IsBucket()
	}
	if len(it.Key) != 8 {
		return true
	}
	if it.IsBucket() || it.Size() > maxData {
		return false
	}
	switch bucket {
	case "fields":
		v, err := it.Value()
		if err != nil {
			return false
		}
		_, err = parseFields(v)
		return err == nil
	case "series":
		v, err := it.Value()
		if err != nil {
			return false
		}
		_, err = parseSeries(it.Key, v)
		return err == nil
	}
	return false
}

func (s *b1) defined() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		b, err := s.root.Bucket([]byte("fields"))
		if err != nil {
			yield("", fmt.Errorf("read fields: %w", err))
			return
		}
		for it, err := range b.All() {
			if err != nil {
				err = fmt.Errorf("read fields: %w", err)
			} else if !foreign("fields", it) {
				continue
			}
			if !yield(string(it.Key), err) {
				return
			}
		}
	}
}

func (s *b1) fields(measurement string) ([]Field, error) {
	b, err := s.root.Bucket([]byte("fields"))
	if err != nil {
		return nil, fmt.Errorf("read fields: %w", err)
	}
	it, err := b.Item([]byte(measurement))
	if errors.Is(err, boltview.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read fields of %q: %w", measurement, err)
	}
	bad := &ValueError{Bucket: "fields", Key: []byte(measurement)}
	if it.IsBucket() || it.Size() > maxData {
		bad.Reason = "not the fields of a measurement"
		return nil, bad
	}
	v, err := it.Value()
	if err != nil {
		return nil, fmt.Errorf("read fields of %q: %w", measurement, err)
	}
	list, err := parseFields(v)
	if err != nil {
		bad.Reason = reasonOf(err)
		return list, bad
	}
	return list, nil
}

// reasonOf returns what a decoder of messages found.
func reasonOf(err error) string {
	var m *MetaError
	if errors.As(err, &m) {
		return fmt.Sprintf("%s at byte %d: %s", m.Object, m.Offset, m.Reason)
	}
	return err.Error()
}

func (s *b1) measurement(key string) (string, error) {
	if strings.IndexByte(key, '\\') >= 0 {
		// Only the record may know what a backslash means.
		if b, err := s.root.Bucket([]byte("series")); err == nil {
			if it, err := b.Item([]byte(key)); err == nil && !it.IsBucket() && it.Size() <= maxData {
				if v, err := it.Value(); err == nil {
					if rec, err := parseSeries([]byte(key), v); err == nil {
						return rec.Measurement, nil
					}
				}
			}
		}
	}
	return measurementIn(key)
}

func (s *b1) series() iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		log := s.log()
		for _, err := range log.errs {
			if !yield(Series{}, err) {
				return
			}
		}
		for series, err := range merge(s.buckets(), s.listed(), s.hidden(), log.series()) {
			if err == nil {
				series, err = complete(series)
			}
			if !yield(series, err) {
				return
			}
		}
	}
}

// buckets returns the series that have a bucket of their own.
func (s *b1) buckets() iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		for it, err := range s.root.All() {
			if err != nil {
				err = fmt.Errorf("read series: %w", err)
			} else if s.system(string(it.Key)) {
				continue
			} else if !it.IsBucket() {
				err = &ValueError{Key: slices.Clone(it.Key), Reason: "not a bucket"}
			}
			if !yield(Series{Key: string(it.Key), Stored: true}, err) {
				return
			}
		}
	}
}

// listed returns the series that have a record.
func (s *b1) listed() iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		b, err := s.root.Bucket([]byte("series"))
		if err != nil {
			yield(Series{}, fmt.Errorf("read series: %w", err))
			return
		}
		for it, err := range b.All() {
			var rec Series
			switch {
			case err != nil:
				err = fmt.Errorf("read series: %w", err)
			case it.IsBucket() || it.Size() > maxData:
				err = &ValueError{Bucket: "series", Key: slices.Clone(it.Key), Reason: "not the record of a series"}
			default:
				var v []byte
				if v, err = it.Value(); err != nil {
					err = fmt.Errorf("read series: %w", err)
				} else if rec, err = parseSeries(it.Key, v); err != nil && len(it.Key) == 8 {
					continue // a point of the series that is called series
				}
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// hidden returns the series whose points are in the engine's own buckets.
func (s *b1) hidden() iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		for _, name := range []string{"fields", "meta", "series", "wal"} {
			if !s.system(name) {
				continue
			}
			b, err := s.root.Bucket([]byte(name))
			if err != nil {
				continue // who reads the bucket for what it is reports it
			}
			for it, err := range b.All() {
				if err != nil || foreign(name, it) {
					continue
				}
				if !yield(Series{Key: name, Stored: true}, nil) {
					return
				}
				break
			}
		}
	}
}

// parseSeries decodes the protobuf message Series, which the bucket "series"
// holds per key: 1 Key, 2 repeated Tag {1 Key, 2 Value}. Its key must be that
// of the bucket.
func parseSeries(key, b []byte) (Series, error) {
	s := Series{Listed: true}
	bad := func(err error) error {
		return &ValueError{Bucket: "series", Key: slices.Clone(key), Reason: reasonOf(err)}
	}
	m := message{b: b, name: "Series"}
	err := m.fields(func(x field) error {
		switch {
		case x.num == 1 && x.typ == protowire.BytesType:
			s.Key = string(x.b)
			return nil
		case x.num == 2 && x.typ == protowire.BytesType:
			var t Tag
			tm := message{b: x.b, off: x.bat, name: "Tag"}
			err := tm.fields(func(x field) error {
				switch x.num {
				case 1:
					return tm.string(x, &t.Key)
				case 2:
					return tm.string(x, &t.Value)
				}
				return tm.errorf(x.off, "field %d is not known", x.num)
			})
			s.Tags = append(s.Tags, t)
			return err
		}
		return m.errorf(x.off, "field %d is not known", x.num)
	})
	if err != nil {
		return Series{}, bad(err)
	}
	if s.Key != string(key) {
		return Series{}, bad(m.errorf(0, "record is of %q", s.Key))
	}
	// Records have tags in any order.
	slices.SortFunc(s.Tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	s.Measurement = measurementOf(s.Key, s.Tags)
	return s, nil
}

// measurementOf returns the measurement of a series whose tags are known: what
// is before them in the key, "" if they are not there.
func measurementOf(key string, tags []Tag) string {
	name, ok := strings.CutSuffix(key, seriesKey("", tags))
	if !ok {
		name, _ := measurementIn(key)
		return name
	}
	return unescape(name, measurementSpecial)
}

// complete fills in what the key of a series without a record tells.
func complete(s Series) (Series, error) {
	if s.Listed && s.Measurement != "" {
		return s, nil
	}
	var err error
	s.Measurement, s.Tags, err = ParseSeriesKey(s.Key)
	return s, err
}

func (s *b1) records(key string, from, to int64, yield recordFunc) bool {
	log := s.log().entries(key, from, to)
	logged := func() bool {
		e := log[0]
		log = log[1:]
		data, err := s.log().data(s.root, e)
		return yield(e.time, data, partitionName(e.part), e.seq, err)
	}
	b, err := s.root.Bucket([]byte(key))
	switch {
	case errors.Is(err, boltview.ErrNotFound):
	case err != nil:
		if !yield(0, nil, key, 0, fmt.Errorf("read points: %w", err)) {
			return false
		}
	default:
		var skip func(boltview.Item) bool
		if s.system(key) {
			skip = func(it boltview.Item) bool { return foreign(key, it) }
		}
		overridden := yield
		if len(log) > 0 {
			overridden = func(t int64, data []byte, bucket string, at uint64, err error) bool {
				for err == nil && len(log) > 0 && log[0].time < t {
					if !logged() {
						return false
					}
				}
				if err == nil && len(log) > 0 && log[0].time == t {
					return logged()
				}
				return yield(t, data, bucket, at, err)
			}
		}
		if !scan(b, key, from, to, skip, overridden) {
			return false
		}
	}
	for len(log) > 0 {
		if !logged() {
			return false
		}
	}
	return true
}
