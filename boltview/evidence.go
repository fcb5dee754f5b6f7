package boltview

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/fnv"
)

// Layout is what kind of database the buckets of a tree tell of.
type Layout string

// The layouts that are known; see [Candidate].
const (
	LayoutAny Layout = "bolt" // any Bolt file
	LayoutB1  Layout = "b1"   // shard of InfluxDB 0.9, engine b1
	LayoutBZ1 Layout = "bz1"  // shard of InfluxDB 0.9, engine bz1
	LayoutRC  Layout = "rc"   // shard of a release candidate of InfluxDB 0.9
)

// Evidence is what a whole tree holds, to tell which of several is the newest.
type Evidence struct {
	Layout Layout `json:"layout"`
	// Keys is the number of values.
	Keys int64 `json:"keys"`
	// Bytes is the length of all values; in bz1 that of the points in them,
	// before compression.
	Bytes int64 `json:"bytes"`
	// Points is the number of points: of series and times that differ, in the
	// buckets of series and in the write-ahead log; in bz1 of blocks.
	Points int64 `json:"points"`
	// Log is the number of entries in the write-ahead log of b1.
	Log int64 `json:"log"`
	// Newest is the latest time of a point, in nanoseconds since 1970.
	Newest int64 `json:"newest"`
	// Sequence counts what was ever written, so that it is an age: in b1 the
	// sum of the sequences of the write-ahead log, in rc the index, else the
	// sum of the sequences of all buckets.
	Sequence uint64 `json:"sequence"`
	// Partial is set if the tree is probably no more than one leaf of a newer
	// root that is lost: an older tree has keys before its first or behind its
	// last, which it has not.
	Partial bool `json:"partial,omitempty"`

	first, last []byte            // keys of the root
	logged      map[[16]byte]bool // points in the log, see logHash
	series      map[string][]byte // in the log, each with the time of one point
}

// logHash stands for the point of an entry of the log, whose first bytes are
// time, length of the series and series.
func logHash(head []byte) [16]byte {
	h := fnv.New128a()
	h.Write(head)
	return [16]byte(h.Sum(nil))
}

// compareEvidence orders by age, oldest first.
//
// The number of writes ever made decides where the layout has one: points do
// not, since a deletion takes some away. Between trees of one number lies a
// deletion or a flush of the log. The first takes points away, and the tree
// that has them loses nothing; the second leaves the points and empties the log.
func compareEvidence(a, b Evidence) int {
	if a.Partial != b.Partial {
		if a.Partial {
			return -1
		}
		return 1
	}
	if a.Layout == LayoutBZ1 {
		return cmp.Or(
			cmp.Compare(a.Bytes, b.Bytes),
			cmp.Compare(a.Newest, b.Newest),
			cmp.Compare(b.Points, a.Points), // blocks are joined as time goes on
		)
	}
	return cmp.Or(
		cmp.Compare(a.Sequence, b.Sequence),
		cmp.Compare(a.Points, b.Points),
		cmp.Compare(b.Log, a.Log),
		cmp.Compare(a.Newest, b.Newest),
		cmp.Compare(a.Keys, b.Keys),
		cmp.Compare(a.Bytes, b.Bytes),
	)
}

// layoutOf returns the layout that the system buckets in root tell of.
func layoutOf(root *Bucket) (Layout, error) {
	for _, l := range []struct {
		layout  Layout
		buckets []string
	}{
		{LayoutB1, []string{"fields", "series", "wal"}},
		{LayoutBZ1, []string{"meta", "points"}},
		{LayoutRC, []string{"meta", "values"}},
	} {
		all := true
		for _, name := range l.buckets {
			ok, err := root.holds(name)
			if err != nil {
				return "", err
			}
			if all = all && ok; !all {
				break
			}
		}
		if all {
			return l.layout, nil
		}
	}
	return LayoutAny, nil
}

// holds reports whether b has a bucket of that name.
func (b *Bucket) holds(name string) (ok bool, err error) {
	err = b.lookup([]byte(name), func(it Item) error {
		ok = it.IsBucket()
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return ok, err
}

// add counts one key. Those of the log are left to addLog.
func (e *Evidence) add(it Item) {
	if it.b.parent == nil {
		if e.first == nil {
			e.first = bytes.Clone(it.Key)
		}
		e.last = append(e.last[:0], it.Key...)
	}
	if it.IsBucket() {
		if e.Layout == LayoutAny || e.Layout == LayoutB1 && it.b.isTop("wal") {
			e.Sequence += it.sequence()
		}
		return
	}
	e.Keys++
	if e.Layout != LayoutBZ1 {
		e.Bytes += it.Size()
	}
	switch e.Layout {
	case LayoutB1:
		e.addB1(it)
	case LayoutBZ1:
		e.addBZ1(it)
	case LayoutRC:
		e.addRC(it)
	}
}

// addB1 counts a key of a bucket of a series, from time to field data.
func (e *Evidence) addB1(it Item) {
	if it.b.parent == nil || it.b.parent.parent != nil {
		return
	}
	switch string(it.b.name) {
	case "fields", "series", "wal", "meta":
		return
	}
	e.point(it.Key)
}

// addLog counts the entries of the write-ahead log of b1, from sequence to
// time, length of the series, series and field data, which hold points beside
// those that are counted already.
//
// It goes on behind damage, and returns the first.
func (e *Evidence) addLog(root *Bucket) error {
	e.logged, e.series = map[[16]byte]bool{}, map[string][]byte{}
	wal, err := root.Bucket([]byte("wal"))
	if err != nil {
		return err
	}
	var damage error
	for part, err := range wal.All() {
		var b *Bucket
		if err == nil && !part.IsBucket() {
			continue
		}
		if err == nil {
			b, err = part.Bucket()
		}
		if err == nil {
			err = e.addPart(root, b)
		}
		if damage == nil {
			damage = err
		}
	}
	return damage
}

// addPart counts the entries of one bucket of the log.
func (e *Evidence) addPart(root, part *Bucket) error {
	var damage error
	for it, err := range part.All() {
		if err == nil {
			err = e.addEntry(root, it)
		}
		if damage == nil {
			damage = err
		}
	}
	return damage
}

func (e *Evidence) addEntry(root *Bucket, it Item) error {
	if it.IsBucket() || it.Size() < 12 {
		return nil
	}
	e.Log++
	v, err := it.Value()
	if err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(v[8:])
	if uint64(n) > uint64(len(v)-12) {
		return nil
	}
	key := logHash(v[:12+n])
	if e.logged[key] {
		return nil
	}
	e.logged[key] = true
	series := v[12 : 12+n]
	if e.series[string(series)] == nil {
		e.series[string(series)] = bytes.Clone(v[:8])
	}
	known, err := root.has(series, v[:8])
	if err == nil && !known {
		e.point(v[:8])
	}
	return err
}

// size is how much a tree holds, to compare trees of one layout by.
func (e *Evidence) size() int64 {
	switch e.Layout {
	case LayoutB1, LayoutRC:
		return e.Points
	}
	return e.Bytes
}

// has reports whether the bucket of that name in b has something at key.
func (b *Bucket) has(bucket, key []byte) (bool, error) {
	sub, err := b.Bucket(bucket)
	if err == nil {
		err = sub.lookup(key, func(Item) error { return nil })
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrNotBucket) {
		return false, nil
	}
	return err == nil, err
}

// addBZ1 counts a block, from its first time to its last time and points in
// snappy's block format, which starts with the length before compression.
func (e *Evidence) addBZ1(it Item) {
	if it.b.parent == nil || !it.b.parent.isTop("points") {
		return
	}
	v := it.head(8 + binary.MaxVarintLen32)
	if len(v) <= 8 {
		return
	}
	if n, ok := binary.Uvarint(v[8:]); ok > 0 {
		e.Bytes += int64(min(n, 1<<32))
	}
	e.point(v[:8])
}

// addRC counts a key of a bucket named by the id of a series, from time to
// field data.
func (e *Evidence) addRC(it Item) {
	if it.b.parent == nil || it.b.parent.parent != nil {
		return
	}
	switch string(it.b.name) {
	case "meta":
		if string(it.Key) == "index" {
			if v := it.head(8); v != nil {
				e.Sequence = binary.BigEndian.Uint64(v)
			}
		}
		return
	case "values":
		return
	}
	e.point(it.Key)
}

// point counts a point at time t, 8 bytes.
func (e *Evidence) point(t []byte) {
	if len(t) != 8 {
		return
	}
	ns := int64(binary.BigEndian.Uint64(t))
	if e.Points == 0 || ns > e.Newest {
		e.Newest = ns
	}
	e.Points++
}

// isTop reports whether b is the bucket of that name in the root.
func (b *Bucket) isTop(name string) bool {
	return b.parent != nil && b.parent.parent == nil && bytes.Equal(b.name, []byte(name))
}

// head returns up to n bytes that the value starts with, nil if it has none or
// fewer than 8.
func (it *Item) head(n int64) []byte {
	if n = min(n, it.Size()); n < 8 {
		return nil
	}
	if v := it.mem(); v != nil {
		return v[:n]
	}
	b := make([]byte, n)
	if _, err := readFull(it.b.db.r, b, it.Offset()); err != nil {
		return nil
	}
	return b
}

// sequence returns that of the bucket that the key holds, 0 if it has none.
func (it *Item) sequence() uint64 {
	if v := it.head(bucketHeader); len(v) == bucketHeader {
		return binary.LittleEndian.Uint64(v[8:])
	}
	return 0
}
