package influx

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/s2"

	"github.com/snapfs/snapfs/boltview"
)

const (
	// maxMetaBlock bounds the definitions and series that are decoded at once.
	maxMetaBlock = 256 << 20

	// maxActive bounds the blocks of one series that are open at a time. Servers
	// write blocks that do not overlap.
	maxActive = 8
)

// bz1 is a shard of engine bz1: the bucket meta with format, fields and series,
// the latter two snappy-compressed JSON that may lag behind; the bucket points
// with one per series, of blocks by the time of their first point.
type bz1 struct {
	root   *boltview.Bucket
	points func() (*boltview.Bucket, error) // the bucket, opened once
	defs   func() (map[string]bz1Measurement, error)
	free   sync.Pool // of *block
}

type bz1Measurement struct {
	Fields map[string]struct{ ID, Type int64 } `json:"fields"`
}

func newBZ1(root *boltview.Bucket) *bz1 {
	s := &bz1{root: root}
	s.points = sync.OnceValues(func() (*boltview.Bucket, error) { return root.Bucket([]byte("points")) })
	s.defs = sync.OnceValues(s.readDefs)
	return s
}

// metaBlock returns the uncompressed value of a key of the bucket meta; nil if
// it is not there yet.
func (s *bz1) metaBlock(key string) ([]byte, error) {
	b, err := s.root.Bucket([]byte("meta"))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	it, err := b.Item([]byte(key))
	if errors.Is(err, boltview.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if it.IsBucket() || it.Size() > maxMetaBlock {
		return nil, &ValueError{Bucket: "meta", Key: []byte(key), Reason: "a bucket or too long"}
	}
	v, err := it.Value()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	text, reason := unsnap(nil, v, maxMetaBlock)
	if reason != "" {
		return nil, &ValueError{Bucket: "meta", Key: []byte(key), Reason: reason}
	}
	return text, nil
}

// unsnap decodes a snappy block into dst if that has room. It believes no length
// that snappy cannot reach: 64 bytes for 3 at most.
func unsnap(dst, src []byte, most int) ([]byte, string) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return dst, fmt.Sprintf("snappy block: %v", err)
	}
	if n > most || n > 22*len(src) {
		return dst, fmt.Sprintf("snappy block of %d bytes claims %d", len(src), n)
	}
	out, err := s2.Decode(dst[:cap(dst)], src)
	if err != nil {
		return dst, fmt.Sprintf("snappy block: %v", err)
	}
	return out, ""
}

func (s *bz1) readDefs() (map[string]bz1Measurement, error) {
	text, err := s.metaBlock("fields")
	if err != nil || text == nil {
		return nil, err
	}
	var defs map[string]bz1Measurement
	if err := json.Unmarshal(text, &defs); err != nil {
		return nil, &ValueError{Bucket: "meta", Key: []byte("fields"), Reason: err.Error()}
	}
	return defs, nil
}

func (s *bz1) defined() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		defs, err := s.defs()
		if err != nil {
			yield("", err)
			return
		}
		for name := range defs {
			if !yield(name, nil) {
				return
			}
		}
	}
}

func (s *bz1) fields(measurement string) ([]Field, error) {
	defs, err := s.defs()
	if err != nil {
		return nil, err
	}
	def, ok := defs[measurement]
	if !ok {
		def = defs[mangle(measurement)]
	}
	var list []Field
	for _, name := range slices.Sorted(maps.Keys(def.Fields)) {
		f := def.Fields[name]
		if f.ID < 1 || f.ID > 255 || f.Type < 0 || f.Type > 255 {
			err = &ValueError{Bucket: "meta", Key: []byte("fields"), Reason: fmt.Sprintf("field %q of %q has number %d, type %d", name, measurement, f.ID, f.Type)}
			continue
		}
		list = append(list, Field{ID: uint8(f.ID), Name: name, Type: FieldType(f.Type)})
	}
	return list, err
}

// mangle returns what JSON made of a name: bytes that are not UTF-8 have become
// the replacement character.
func mangle(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return string([]rune(name))
}

func (s *bz1) measurement(key string) (string, error) {
	return measurementIn(key)
}

func (s *bz1) series() iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		listed, err := s.listed()
		if err != nil && !yield(Series{}, err) {
			return
		}
		for series, err := range merge(s.buckets(), slices2(listed)) {
			if err == nil {
				series, err = complete(series)
			}
			if !yield(series, err) {
				return
			}
		}
	}
}

// slices2 returns the elements of a list as one without errors.
func slices2(list []Series) iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		for _, s := range list {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// buckets returns the series that have points.
func (s *bz1) buckets() iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		points, err := s.points()
		if errors.Is(err, boltview.ErrNotFound) {
			return
		}
		if err != nil {
			yield(Series{}, fmt.Errorf("read series: %w", err))
			return
		}
		for it, err := range points.All() {
			if err != nil {
				err = fmt.Errorf("read series: %w", err)
			} else if !it.IsBucket() {
				err = &ValueError{Bucket: "points", Key: slices.Clone(it.Key), Reason: "not a bucket"}
			}
			if !yield(Series{Key: string(it.Key), Stored: true}, err) {
				return
			}
		}
	}
}

// listed returns the series that meta lists, in the order of keys. With an error
// come those that could be read.
func (s *bz1) listed() ([]Series, error) {
	text, err := s.metaBlock("series")
	if err != nil || text == nil {
		return nil, err
	}
	list, err := decodeListed(text)
	if err != nil {
		err = &ValueError{Bucket: "meta", Key: []byte("series"), Reason: err.Error()}
	}
	if slices.ContainsFunc(list, func(s Series) bool { return strings.ContainsRune(s.Key, utf8.RuneError) }) {
		list = s.unmangle(list)
	}
	slices.SortStableFunc(list, func(a, b Series) int { return strings.Compare(a.Key, b.Key) })
	return list, err
}

// decodeListed decodes {"<series key>":{"Key":"…","Tags":{"k":"v"}},…} piece by
// piece, since there may be millions.
func decodeListed(text []byte) (list []Series, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if tok != json.Delim('{') {
		return nil, fmt.Errorf("%v is no JSON object", tok)
	}
	var rec struct{ Tags map[string]string }
	var keys []string
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return list, err
		}
		clear(rec.Tags)
		if err := dec.Decode(&rec); err != nil {
			return list, err
		}
		row := Series{Listed: true}
		row.Key, _ = tok.(string)
		keys = slices.AppendSeq(keys[:0], maps.Keys(rec.Tags))
		slices.Sort(keys)
		if len(keys) > 0 {
			row.Tags = make([]Tag, 0, len(keys))
		}
		for _, k := range keys {
			row.Tags = append(row.Tags, Tag{k, rec.Tags[k]})
		}
		row.Measurement = measurementOf(row.Key, row.Tags)
		list = append(list, row)
	}
	_, err = dec.Token() // the end of the object
	return list, err
}

// unmangle gives series whose keys lost bytes in JSON the keys of their buckets.
func (s *bz1) unmangle(list []Series) []Series {
	raw := map[string][]string{}
	for b, err := range s.buckets() {
		if err == nil && !utf8.ValidString(b.Key) {
			raw[mangle(b.Key)] = append(raw[mangle(b.Key)], b.Key)
		}
	}
	var out []Series
	for _, row := range list {
		keys := raw[row.Key]
		if keys == nil {
			out = append(out, row)
			continue
		}
		for _, key := range keys {
			// complete takes the tags from the key.
			out = append(out, Series{Key: key, Listed: true})
		}
	}
	return out
}

func (s *bz1) records(key string, from, to int64, yield recordFunc) bool {
	name := "points/" + key
	b, err := s.points()
	if err == nil {
		b, err = b.Bucket([]byte(key))
	}
	if errors.Is(err, boltview.ErrNotFound) {
		return true
	}
	if err != nil {
		return yield(0, nil, name, 0, fmt.Errorf("read points: %w", err))
	}
	m := blocks{bucket: name, from: from, to: to, yield: yield, free: &s.free}
	// A block may reach from before the span into it.
	ok := scan(b, name, minTime, to, nil, func(start int64, v []byte, _ string, _ uint64, err error) bool {
		if err != nil {
			return yield(0, nil, name, 0, err)
		}
		if len(v) >= 8 && int64(binary.BigEndian.Uint64(v)) < from {
			return true
		}
		return m.drain(start, false) && m.open(start, v)
	})
	return ok && m.drain(maxTime, true)
}
