package boltview

import (
	"bytes"
	"cmp"
	"encoding/binary"
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
	// Points is the number of keys in the buckets of series and of entries in
	// the write-ahead log; in bz1 the number of blocks.
	Points int64 `json:"points"`
	// Newest is the latest time of a point, in nanoseconds since 1970.
	Newest int64 `json:"newest"`
	// Sequence counts what was ever written, so that it is an age: in b1 the
	// sum of the sequences of the write-ahead log, in rc the index, else the
	// sum of the sequences of all buckets.
	Sequence uint64 `json:"sequence"`
}

// compareEvidence orders by age, oldest first. The number of writes ever made
// decides where the layout has one, since a deletion takes points away; then
// the number of points, so that nothing is lost.
func compareEvidence(a, b Evidence) int {
	return cmp.Or(
		cmp.Compare(a.Sequence, b.Sequence),
		cmp.Compare(a.Points, b.Points),
		cmp.Compare(a.Keys, b.Keys),
		cmp.Compare(a.Bytes, b.Bytes),
		cmp.Compare(a.Newest, b.Newest),
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
func (b *Bucket) holds(name string) (bool, error) {
	it, c, err := b.find([]byte(name))
	if err == ErrNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer b.db.cursors.Put(c)
	return it.bucket, nil
}

// add counts one key.
func (e *Evidence) add(it Item) {
	if it.bucket {
		if e.Layout == LayoutAny || e.Layout == LayoutB1 && it.b.isTop("wal") {
			e.Sequence += it.sequence()
		}
		return
	}
	e.Keys++
	if e.Layout != LayoutBZ1 {
		e.Bytes += it.size
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

// addB1 counts a key of a bucket of a series, from time to field data, or of
// the log, from sequence to time, length and series, field data.
func (e *Evidence) addB1(it Item) {
	top := it.b.parent
	switch {
	case top == nil:
	case top.parent == nil:
		switch string(it.b.name) {
		case "fields", "series", "wal", "meta":
			return
		}
		e.point(it.Key)
	case top.isTop("wal"):
		if v := it.head(8); v != nil {
			e.point(v)
		}
	}
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
func (it Item) head(n int64) []byte {
	if n = min(n, it.size); n < 8 {
		return nil
	}
	if it.val != nil {
		return it.val[:n]
	}
	b := make([]byte, n)
	if _, err := readFull(it.b.db.r, b, it.off); err != nil {
		return nil
	}
	return b
}

// sequence returns that of the bucket that the key holds, 0 if it has none.
func (it Item) sequence() uint64 {
	if v := it.head(bucketHeader); len(v) == bucketHeader {
		return binary.LittleEndian.Uint64(v[8:])
	}
	return 0
}
