package influx

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"

	"github.com/snapfs/snapfs/boltview"
)

const (
	// maxLog bounds the entries of a write-ahead log that are read. Servers flush
	// it at 100 MiB, which is less than 3 million of the smallest entries.
	maxLog = 4 << 20

	// maxLogData bounds the bytes of it that are kept in memory; what is more is
	// read again when asked for.
	maxLogData = 32 << 20

	// maxLogErrors bounds the errors that are kept; what is more is counted.
	maxLogErrors = 1000

	chunkBits = 20
	chunkSize = 1 << chunkBits
)

// walIndex is what the write-ahead log of a b1 shard holds: the bucket "wal",
// in it a bucket for each of 8 partitions, in it entries by sequence number.
type walIndex struct {
	bySeries map[string]*[]walEntry // by time, each time once
	errs     []error
	chunks   [][]byte // data of entries
}

// walEntry is a point in the log. With millions of them, each byte counts.
type walEntry struct {
	time int64
	seq  uint64
	at   uint32 // of the data in chunks
	size uint32 // of the data; notKept if it is not in chunks
	part uint8
}

const notKept = ^uint32(0)

// readWAL reads the log. The last entry of a time counts.
func readWAL(root *boltview.Bucket) *walIndex {
	x := &walIndex{bySeries: map[string]*[]walEntry{}}
	w, err := root.Bucket([]byte("wal"))
	if err != nil {
		x.errs = append(x.errs, fmt.Errorf("read write-ahead log: %w", err))
		return x
	}
	var lost, entries int
	fail := func(err error) {
		if len(x.errs) < maxLogErrors {
			x.errs = append(x.errs, err)
		} else {
			lost++
		}
	}
	for it, err := range w.All() {
		if err != nil {
			fail(fmt.Errorf("read write-ahead log: %w", err))
			continue
		}
		if !it.IsBucket() {
			continue // a point of the series that is called wal
		}
		part, err := it.Bucket()
		if err != nil {
			fail(fmt.Errorf("read write-ahead log: %w", err))
			continue
		}
		if len(it.Key) != 1 {
			fail(&ValueError{Bucket: "wal", Key: slices.Clone(it.Key), Reason: "not a partition"})
			continue
		}
		number := it.Key[0]
		for it, err := range part.All() {
			if err != nil {
				fail(fmt.Errorf("read write-ahead log: %w", err))
				continue
			}
			if entries++; entries > maxLog {
				fail(&ValueError{Bucket: "wal", Key: []byte{number}, Reason: fmt.Sprintf("more than %d entries, the rest is not read", maxLog)})
				break
			}
			if err := x.add(number, it); err != nil {
				fail(err)
			}
		}
	}
	if lost > 0 {
		x.errs = append(x.errs, &ValueError{Bucket: "wal", Reason: fmt.Sprintf("and %d more", lost)})
	}
	for _, list := range x.bySeries {
		*list = lastOfEach(*list)
	}
	return x
}

// partitionName returns the path of a partition.
func partitionName(part uint8) string {
	if int(part) < len(partitions) {
		return partitions[part]
	}
	return "wal/" + strconv.Itoa(int(part))
}

// partitions are the names of those that servers have.
var partitions = [...]string{"wal/0", "wal/1", "wal/2", "wal/3", "wal/4", "wal/5", "wal/6", "wal/7"}

// lastOfEach sorts entries by time and leaves of each time the last.
func lastOfEach(list []walEntry) []walEntry {
	sorted := true
	for i := range list[1:] {
		sorted = sorted && list[i].time < list[i+1].time
	}
	if sorted {
		return list
	}
	slices.SortStableFunc(list, func(a, b walEntry) int { return cmp.Compare(a.time, b.time) })
	out := list[:0]
	for _, e := range list {
		if n := len(out); n > 0 && out[n-1].time == e.time {
			out[n-1] = e
		} else {
			out = append(out, e)
		}
	}
	return out
}

// add takes an entry of a partition.
func (x *walIndex) add(part uint8, it boltview.Item) error {
	time, key, data, err := walValue(part, it)
	if err != nil {
		return err
	}
	e := walEntry{time: time, seq: binary.BigEndian.Uint64(it.Key), part: part}
	e.at, e.size = x.keep(data)
	list := x.bySeries[string(key)]
	if list == nil {
		list = new([]walEntry)
		x.bySeries[string(key)] = list
	}
	*list = append(*list, e)
	return nil
}

// walValue decodes an entry: time, 4 bytes of length, the series key, and the
// fields as in a bucket of points.
func walValue(part uint8, it boltview.Item) (time int64, key, data []byte, err error) {
	bad := func(format string, args ...any) error {
		return &ValueError{Bucket: partitionName(part), Key: slices.Clone(it.Key), Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(it.Key) != 8:
		return 0, nil, nil, bad("key is not a sequence number")
	case it.IsBucket():
		return 0, nil, nil, bad("a bucket, not an entry")
	case it.Size() > maxData:
		return 0, nil, nil, bad("%d bytes are more than a point can have", it.Size())
	}
	v, err := it.Value()
	if err != nil {
		return 0, nil, nil, fmt.Errorf("read write-ahead log: %w", err)
	}
	if len(v) < 12 {
		return 0, nil, nil, bad("entry of %d bytes", len(v))
	}
	n := binary.BigEndian.Uint32(v[8:])
	if uint64(n) > uint64(len(v)-12) {
		return 0, nil, nil, bad("series key of %d bytes in an entry of %d", n, len(v))
	}
	return int64(binary.BigEndian.Uint64(v)), v[12 : 12+n], v[12+n:], nil
}

// keep copies data into the chunks if there is room.
func (x *walIndex) keep(data []byte) (at, size uint32) {
	last := len(x.chunks) - 1
	if last < 0 || len(x.chunks[last])+len(data) > chunkSize {
		if len(data) > chunkSize || (last+2)*chunkSize > maxLogData {
			return 0, notKept
		}
		// The first is small, as most logs are.
		n := chunkSize
		if last < 0 {
			n = 0
		}
		x.chunks = append(x.chunks, make([]byte, 0, n))
		last++
	}
	pos := len(x.chunks[last])
	x.chunks[last] = append(x.chunks[last], data...)
	return uint32(last<<chunkBits | pos), uint32(len(data))
}

// data returns the fields of an entry.
func (x *walIndex) data(root *boltview.Bucket, e walEntry) ([]byte, error) {
	if e.size != notKept {
		c := x.chunks[e.at>>chunkBits]
		pos := e.at & (chunkSize - 1)
		return c[pos : pos+e.size : pos+e.size], nil
	}
	b, err := root.Bucket([]byte("wal"))
	if err == nil {
		b, err = b.Bucket([]byte{e.part})
	}
	var it boltview.Item
	if err == nil {
		it, err = b.Item(bigEndian(e.seq))
	}
	if err != nil {
		return nil, fmt.Errorf("read write-ahead log: %w", err)
	}
	it.Key = bigEndian(e.seq)
	_, _, data, err := walValue(e.part, it)
	return data, err
}

// entries returns the entries of a series from a time up to another.
func (x *walIndex) entries(key string, from, to int64) []walEntry {
	found := x.bySeries[key]
	if found == nil {
		return nil
	}
	list := *found
	byTime := func(e walEntry, t int64) int { return cmp.Compare(e.time, t) }
	i, _ := slices.BinarySearchFunc(list, from, byTime)
	j, ok := slices.BinarySearchFunc(list, to, byTime)
	if ok {
		j++
	}
	if i > j {
		return nil
	}
	return list[i:j]
}

// series returns the series in the log.
func (x *walIndex) series() iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		for _, key := range slices.Sorted(maps.Keys(x.bySeries)) {
			if !yield(Series{Key: key, Stored: true}, nil) {
				return
			}
		}
	}
}
