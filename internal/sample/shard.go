package sample

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"
)

// Point is one point of a series. Values are float64, int64, bool or string.
type Point struct {
	Series string // escaped measurement, then ",tag=value" in the order of the tags, escaped as well
	Time   time.Time
	Fields map[string]any
}

// Shard is a Bolt file in the b1 layout. Points are first in the buckets of
// their series; those of later writes are in the bucket "wal", as between two
// flushes of a server.
type Shard struct {
	Flushed, WAL []Point

	// Compressed is the layout of bz1, whose log is in files of its own, which no
	// backup has: WAL is not written. Late are fields whose definitions the
	// server did not write yet.
	Compressed bool
	Late       []string
}

// walPartitions is the number of buckets within "wal".
const walPartitions = 8

// Bytes returns the file, as long as its high-water mark says. dir is a
// directory for a temporary file.
func (s Shard) Bytes(dir string) ([]byte, error) {
	path := filepath.Join(dir, "shard.tmp")
	defer os.Remove(path)
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	write := codec.write
	if s.Compressed {
		write = codec.writeCompressed
	}
	if err := write(newCodec(slices.Concat(s.Flushed, s.WAL)), db, s); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = db.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(&b)
		return err
	})
	return b.Bytes(), err
}

// codec numbers the fields of each measurement, in the order of their names.
type codec map[string]map[string]uint8

func newCodec(points []Point) codec {
	c := codec{}
	for m, fields := range fieldsOf(points) {
		c[m] = map[string]uint8{}
		for name := range fields {
			c[m][name] = 0
		}
	}
	for _, fields := range c {
		for i, name := range slices.Sorted(maps.Keys(fields)) {
			fields[name] = uint8(i + 1)
		}
	}
	return c
}

// write puts the points into the database. Each bucket has a transaction of its
// own: bbolt writes the buckets of one in no fixed order, and the file would
// not be the same each time.
func (c codec) write(db *bolt.DB, s Shard) error {
	all := slices.Concat(s.Flushed, s.WAL)
	err := db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{"fields", "series", "wal"} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		for p := range byte(walPartitions) {
			if _, err := tx.Bucket([]byte("wal")).CreateBucket([]byte{p}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, p := range all {
			if err := tx.Bucket([]byte("series")).Put([]byte(p.Series), seriesRecord(p.Series)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for m, fields := range fieldsOf(all) {
			if err := tx.Bucket([]byte("fields")).Put([]byte(m), c.fieldsRecord(m, fields)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, series := range seriesOf(s.Flushed) {
		if err := db.Update(func(tx *bolt.Tx) error { return c.writeSeries(tx, series, s.Flushed) }); err != nil {
			return err
		}
	}
	for p := range byte(walPartitions) {
		if err := db.Update(func(tx *bolt.Tx) error { return c.writeWAL(tx, p, s.WAL) }); err != nil {
			return err
		}
	}
	return nil
}

// writeSeries writes the points of one series into its bucket.
func (c codec) writeSeries(tx *bolt.Tx, series string, points []Point) error {
	b, err := tx.CreateBucketIfNotExists([]byte(series))
	if err != nil {
		return err
	}
	for _, p := range points {
		if p.Series != series {
			continue
		}
		data, err := c.fieldData(p)
		if err != nil {
			return err
		}
		if err := b.Put(key(p.Time), data); err != nil {
			return err
		}
	}
	return nil
}

// writeWAL writes the points of one partition, which the series decides.
func (c codec) writeWAL(tx *bolt.Tx, partition byte, points []Point) error {
	b := tx.Bucket([]byte("wal")).Bucket([]byte{partition})
	for _, p := range points {
		h := fnv.New64a()
		h.Write([]byte(p.Series))
		if byte(h.Sum64()%walPartitions) != partition {
			continue
		}
		seq, err := b.NextSequence()
		if err != nil {
			return err
		}
		data, err := c.fieldData(p)
		if err != nil {
			return err
		}
		v := binary.BigEndian.AppendUint64(nil, uint64(p.Time.UnixNano()))
		v = binary.BigEndian.AppendUint32(v, uint32(len(p.Series)))
		v = append(append(v, p.Series...), data...)
		if err := b.Put(binary.BigEndian.AppendUint64(nil, seq), v); err != nil {
			return err
		}
	}
	return nil
}

// seriesOf returns the series of the points, sorted.
func seriesOf(points []Point) []string {
	seen := map[string]bool{}
	for _, p := range points {
		seen[p.Series] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// fieldsOf returns the fields of each measurement, each with one of its values.
func fieldsOf(points []Point) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, p := range points {
		m := measurement(p.Series)
		if out[m] == nil {
			out[m] = map[string]any{}
		}
		maps.Copy(out[m], p.Fields)
	}
	return out
}

func key(t time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())) }

func (c codec) fieldData(p Point) ([]byte, error) {
	var b []byte
	ids := c[measurement(p.Series)]
	for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
		b = append(b, ids[name])
		switch v := p.Fields[name].(type) {
		case float64:
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
		case int64:
			b = binary.BigEndian.AppendUint64(b, uint64(v))
		case bool:
			n := byte(0)
			if v {
				n = 1
			}
			b = append(b, n)
		case string:
			if len(v) > math.MaxUint16 {
				return nil, fmt.Errorf("field %q: string of %d bytes", name, len(v))
			}
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...)
		default:
			return nil, fmt.Errorf("field %q: type %T", name, v)
		}
	}
	return b, nil
}

func (c codec) fieldsRecord(m string, fields map[string]any) []byte {
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := appendUint(nil, 1, uint64(c[m][name]))
		f = appendBytes(f, 2, name)
		f = appendUint(f, 3, fieldType(fields[name]))
		out = appendBytes(out, 1, string(f))
	}
	return out
}

func fieldType(v any) uint64 {
	switch v.(type) {
	case float64:
		return 1
	case int64:
		return 2
	case bool:
		return 3
	}
	return 4
}

// seriesRecord encodes the record of a series.
func seriesRecord(series string) []byte {
	b := appendBytes(nil, 1, series)
	for _, t := range tags(series) {
		b = appendBytes(b, 2, string(appendBytes(appendBytes(nil, 1, t.key), 2, t.value)))
	}
	return b
}

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendBytes(b []byte, field protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}
