package influx

import (
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/snapfs/snapfs/boltview"
)

// maxData bounds the values of points that are read into memory: 255 strings of
// 64 KiB, which is the most that a point can have.
const maxData = 17 << 20

// maxSets bounds the field sets that a shard keeps.
const maxSets = 4096

// ShardOptions says what a shard needs to know besides its file. The zero value
// is right for the final releases.
type ShardOptions struct {
	// Meta and ID say to which database the shard of a release candidate
	// belongs: series, and the fields of measurements, are there only. ID is the
	// number in the name of the file.
	Meta *Meta
	ID   uint64
	// Database does so in place of ID, for a shard that the metadata do not have.
	Database string

	// Older are metadata of earlier times, the newest first. Release candidates
	// left the points of a dropped series in its shards: what only Older know was
	// dropped, and is left out, or is there if Dropped is set.
	Older   []*Meta
	Dropped bool

	// Fields returns more fields of a measurement, for numbers that the shard
	// does not define: bz1 wrote definitions up to ten minutes after points, and
	// b1 brought back points after their measurement was dropped. They should
	// come from another copy of the same shard, since other shards number their
	// fields otherwise. It is called for [Shard.Fields], and for a point that the
	// shard's own definitions do not decode; it may be called concurrently.
	Fields func(measurement string) []Field
}

// Shard is an open shard. Its methods may be called concurrently. It needs no
// closing; the file must stay open as long as it is used.
type Shard struct {
	engine Engine
	store  store
	opts   ShardOptions

	mu   sync.Mutex
	sets map[string]setOrError
}

type setOrError struct {
	set *fieldSet
	err error
}

// store is a shard in the layout of one engine.
type store interface {
	// defined returns the measurements that have definitions, in any order.
	defined() iter.Seq2[string, error]
	// fields returns the definitions of a measurement.
	fields(measurement string) ([]Field, error)
	// series returns all series, as Shard.Series does.
	series() iter.Seq2[Series, error]
	// measurement returns the measurement of a series.
	measurement(key string) (string, error)
	// records gives the points of a series, as Shard.Points does. It stops when
	// yield returns false, and returns false then.
	records(key string, from, to int64, yield recordFunc) bool
}

// recordFunc takes a point that is not decoded: its time, its fields, which are
// lent, and the bucket and key at which they are. Arguments, and not a struct,
// since they stay in registers.
type recordFunc func(time int64, data []byte, bucket string, key uint64, err error) bool

// OpenShard opens a shard in a Bolt file; the engine is told from the file. It
// returns [ErrEngine] if the file is none, and errors of package boltview.
func OpenShard(db *boltview.DB, opts ShardOptions) (*Shard, error) {
	root := db.Root()
	e, meta, err := engineOf(root)
	if err != nil {
		return nil, err
	}
	s := &Shard{engine: e, opts: opts, sets: map[string]setOrError{}}
	switch e {
	case B1:
		s.store = newB1(root, meta)
	case BZ1:
		s.store = newBZ1(root)
	case RC:
		s.store = newRC(root, opts)
	}
	return s, nil
}

// Engine returns the engine that wrote the shard.
func (s *Shard) Engine() Engine { return s.engine }

// Measurements returns the names of the measurements that are defined in the
// shard or have a series there, sorted. It reads the names of all series.
// Errors come first, and are those of [Shard.Series] besides those of the
// definitions.
func (s *Shard) Measurements() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names := map[string]bool{}
		for name, err := range s.store.defined() {
			if err == nil {
				names[name] = true
			} else if !yield("", err) {
				return
			}
		}
		for series, err := range s.store.series() {
			if err == nil {
				names[series.Measurement] = true
			} else if !yield("", err) {
				return
			}
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// Series returns the series of the shard, each once, in the order of the bytes
// of their keys: those with a record, and those with points only. Tags are those
// of the record, or else as [ParseSeriesKey] has them.
//
// Errors are those of entries that belong to no series that is known, such as
// broken ones of the write-ahead log; of a key that is not a series key, which
// comes with it in Series.Key; and of pages. A loop can go on after them.
func (s *Shard) Series() iter.Seq2[Series, error] { return s.store.series() }

// Fields returns the fields of a measurement by name, with those of
// [ShardOptions]; none if it is not defined. With an error come those that could
// be read.
func (s *Shard) Fields(measurement string) ([]Field, error) {
	set, err := s.set(measurement, true)
	return slices.Clone(set.list), err
}

// set returns the field set of a measurement, which is never nil. Unless all is
// set, it may be without what [ShardOptions.Fields] defines, since that has to
// read other files: fieldSet.all tells.
func (s *Shard) set(measurement string, all bool) (*fieldSet, error) {
	all = all || s.opts.Fields == nil
	s.mu.Lock()
	known, ok := s.sets[measurement]
	s.mu.Unlock()
	if ok && (known.set.all || !all) {
		return known.set, known.err
	}
	fields, err := s.store.fields(measurement)
	if all && s.opts.Fields != nil {
		fields = slices.Concat(fields, s.opts.Fields(measurement))
	}
	known = setOrError{newFieldSet(fields), err}
	known.set.all = all
	s.mu.Lock()
	if len(s.sets) >= maxSets {
		clear(s.sets)
	}
	s.sets[measurement] = known
	s.mu.Unlock()
	return known.set, known.err
}

// Points returns the points of the series with a key whose times are not below
// from and not above to, in nanoseconds since 1970: [math.MinInt64] and
// [math.MaxInt64] give all. They come in the order of time, each time once; what
// is in the write-ahead log, of several the last, counts before what is in the
// bucket of the series. A series that the shard does not have has no points.
//
// The point is lent: it is valid until the loop takes its next step. Errors are
// [*ValueError] for a point or block, and those of pages. A loop that goes on
// after them gets the other points. What is broken in the write-ahead log, so
// that nobody knows of which series it is, only [Shard.Series] tells.
func (s *Shard) Points(key string, from, to int64) iter.Seq2[Point, error] {
	return s.points(key, from, to, false)
}

// Times returns the times of what [Shard.Points] returns, and the same errors:
// each point is checked to decode, in less time than it takes to decode it.
func (s *Shard) Times(key string, from, to int64) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		s.points(key, from, to, true)(func(p Point, err error) bool { return yield(p.Time, err) })
	}
}

// points is Points; with times the points have no fields.
func (s *Shard) points(key string, from, to int64, times bool) iter.Seq2[Point, error] {
	return func(yield func(Point, error) bool) {
		measurement, err := s.store.measurement(key)
		if err != nil && !yield(Point{}, err) {
			return
		}
		set, err := s.set(measurement, false)
		if err != nil && !yield(Point{}, err) {
			return
		}
		var fields []FieldValue
		last, started := int64(0), false
		s.store.records(key, from, to, func(time int64, data []byte, bucket string, key uint64, err error) bool {
			if err != nil {
				return yield(Point{}, err)
			}
			n, undefined, reason := 0, uint8(0), "not in the order of time" // keys of a damaged page
			if !started || time > last {
				last, started = time, true
				if times && len(data) > 0 && set.whole(data) {
					return yield(Point{Time: time}, nil)
				}
				n, undefined, reason = set.decode(&fields, data)
				if reason != "" && !set.all {
					set, _ = s.set(measurement, true)
					n, undefined, reason = set.decode(&fields, data)
				}
			}
			if reason != "" {
				return yield(Point{}, &ValueError{Bucket: bucket, Key: bigEndian(key), Time: time, Reason: reason, Undefined: undefined})
			}
			return yield(Point{Time: time, Fields: fields[:n:n]}, nil)
		})
	}
}

func bigEndian(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// scan gives the items of a bucket whose keys are times as records, in the order
// of time: 8 bytes, big-endian, as Bolt sorts them: negative times come last
// there. Other keys are errors, but for those that skip returns true for. It
// returns false if yield did.
func scan(b *boltview.Bucket, name string, from, to int64, skip func(boltview.Item) bool, yield recordFunc) bool {
	if from < 0 && !scanSpan(b, name, from, min(to, -1), skip, yield) {
		return false
	}
	return to < 0 || scanSpan(b, name, max(from, 0), to, skip, yield)
}

// scanSpan is scan where from and to have the same sign.
func scanSpan(b *boltview.Bucket, name string, from, to int64, skip func(boltview.Item) bool, yield recordFunc) bool {
	if from > to {
		return true
	}
	for it, err := range b.From(bigEndian(uint64(from))) {
		if err != nil {
			if !yield(0, nil, name, 0, fmt.Errorf("read points: %w", err)) {
				return false
			}
			continue
		}
		if skip != nil && skip(it) {
			continue
		}
		if len(it.Key) != 8 || it.IsBucket() || it.Size() > maxData {
			if len(it.Key) == 8 && uint64(to) < binary.BigEndian.Uint64(it.Key) {
				return true
			}
			if !yield(0, nil, name, 0, noPoint(name, it)) {
				return false
			}
			continue
		}
		key := binary.BigEndian.Uint64(it.Key)
		if uint64(to) < key {
			return true
		}
		v, err := it.Value()
		if err != nil {
			err = fmt.Errorf("read points: %w", err)
		}
		if !yield(int64(key), v, name, key, err) {
			return false
		}
	}
	return true
}

// noPoint says why an item is not a point.
func noPoint(bucket string, it boltview.Item) error {
	e := &ValueError{Bucket: bucket, Key: slices.Clone(it.Key)}
	switch {
	case len(it.Key) != 8:
		e.Reason = "key is not a time"
	case it.IsBucket():
		e.Reason = "a bucket, not a point"
	default:
		e.Reason = fmt.Sprintf("%d bytes are more than a point can have", it.Size())
	}
	return e
}
