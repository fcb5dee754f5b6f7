package sample

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"

	"github.com/klauspost/compress/s2"
	bolt "go.etcd.io/bbolt"
)

// blockPoints is how many points a block of a compressed shard has at most.
const blockPoints = 1000

// writeCompressed writes the flushed points into the database in the layout of
// bz1: the bucket meta with format, fields and series, and the bucket points
// with one per series, of blocks by the time of their first point.
func (c codec) writeCompressed(db *bolt.DB, s Shard) error {
	type field struct {
		ID   uint8  `json:"id"`
		Name string `json:"name"`
		Type uint64 `json:"type"`
	}
	type definitions struct {
		Fields map[string]field `json:"fields"`
	}
	type record struct {
		Key  string
		Tags map[string]string
	}
	defs, series := map[string]definitions{}, map[string]record{}
	for m, fields := range fieldsOf(s.Flushed) {
		defs[m] = definitions{map[string]field{}}
		for name, v := range fields {
			if !slices.Contains(s.Late, name) {
				defs[m].Fields[name] = field{c[m][name], name, fieldType(v)}
			}
		}
	}
	for _, key := range seriesOf(s.Flushed) {
		r := record{key, map[string]string{}}
		for _, t := range tags(key) {
			r.Tags[t.key] = t.value
		}
		series[key] = r
	}
	err := db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("meta"))
		if err != nil {
			return err
		}
		if err := b.Put([]byte("format"), []byte("bz1")); err != nil {
			return err
		}
		for name, v := range map[string]any{"fields": defs, "series": series} {
			text, err := json.Marshal(v)
			if err != nil {
				return err
			}
			if err := b.Put([]byte(name), s2.EncodeSnappy(nil, text)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("points"))
		return err
	})
	if err != nil {
		return err
	}
	for _, key := range seriesOf(s.Flushed) {
		if err := db.Update(func(tx *bolt.Tx) error { return c.writeBlocks(tx, key, s.Flushed) }); err != nil {
			return err
		}
	}
	return nil
}

// writeBlocks writes the points of one series. Of two of the same time the last
// counts.
func (c codec) writeBlocks(tx *bolt.Tx, series string, points []Point) error {
	b, err := tx.Bucket([]byte("points")).CreateBucket([]byte(series))
	if err != nil {
		return err
	}
	byTime := map[int64]Point{}
	for _, p := range points {
		if p.Series == series {
			byTime[p.Time.UnixNano()] = p
		}
	}
	for times := range slices.Chunk(slices.Sorted(maps.Keys(byTime)), blockPoints) {
		var entries []byte
		for _, t := range times {
			data, err := c.fieldData(byTime[t])
			if err != nil {
				return err
			}
			entries = binary.BigEndian.AppendUint64(entries, uint64(t))
			entries = binary.BigEndian.AppendUint32(entries, uint32(len(data)))
			entries = append(entries, data...)
		}
		last := binary.BigEndian.AppendUint64(nil, uint64(times[len(times)-1]))
		if err := b.Put(binary.BigEndian.AppendUint64(nil, uint64(times[0])), append(last, s2.EncodeSnappy(nil, entries)...)); err != nil {
			return err
		}
	}
	return nil
}
