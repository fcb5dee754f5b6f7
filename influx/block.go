package influx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
)

const (
	minTime = math.MinInt64
	maxTime = math.MaxInt64
)

// block is an open block of points: its first 8 bytes are the time of its last
// point, the rest, uncompressed, entries of 8 bytes of time, 4 of length, and
// the fields as in a b1 shard.
type block struct {
	start, end int64 // of its points, as the file says
	buf        []byte
	at         int    // of the entry behind the current one
	time       int64  // of the current entry
	data       []byte // of the current entry
}

// next goes to the next entry. At the end it returns false, with a reason if it
// is not where the end should be.
func (b *block) next() (ok bool, reason string) {
	rest := b.buf[b.at:]
	if len(rest) == 0 {
		return false, ""
	}
	if len(rest) < 12 {
		return false, fmt.Sprintf("entry at byte %d is cut off", b.at)
	}
	t := int64(binary.BigEndian.Uint64(rest))
	n := binary.BigEndian.Uint32(rest[8:])
	if uint64(n) > uint64(len(rest)-12) {
		return false, fmt.Sprintf("entry at byte %d has %d bytes, of %d left", b.at, n, len(rest)-12)
	}
	if t < b.start || t > b.end || b.at > 0 && t <= b.time {
		return false, fmt.Sprintf("entry at byte %d is out of order", b.at)
	}
	b.time, b.data = t, rest[12:12+n:12+n]
	b.at += 12 + int(n)
	return true, ""
}

// blocks merges the blocks of a series, which it gets in the order of their
// first times. Where they overlap, of points of one time the one in the later
// block counts.
type blocks struct {
	bucket   string
	from, to int64
	yield    recordFunc
	active   []*block // in the order they came
	// free is of *block. A block gets there at its end only: who leaves the loop
	// early may go on using its last point.
	free *sync.Pool
}

func (m *blocks) bad(start int64, reason string) bool {
	return m.yield(0, nil, m.bucket, uint64(start), &ValueError{Bucket: m.bucket, Key: bigEndian(uint64(start)), Reason: reason})
}

// open takes a block. All that is before its start must be drained.
func (m *blocks) open(start int64, v []byte) bool {
	if len(v) < 8 {
		return m.bad(start, fmt.Sprintf("block of %d bytes", len(v)))
	}
	if len(m.active) == maxActive {
		return m.bad(start, fmt.Sprintf("block overlaps %d others", maxActive))
	}
	b, ok := m.free.Get().(*block)
	if !ok {
		b = new(block)
	}
	b.start, b.end, b.at = start, int64(binary.BigEndian.Uint64(v)), 0
	var reason string
	if b.buf, reason = unsnap(b.buf, v[8:], maxData); reason != "" {
		m.free.Put(b)
		return m.bad(start, reason)
	}
	m.active = append(m.active, b)
	return m.step(len(m.active) - 1)
}

// step goes to the next entry of an active block that is not before the span,
// and closes the block at its end.
func (m *blocks) step(i int) bool {
	b := m.active[i]
	for {
		ok, reason := b.next()
		if ok && b.time < m.from {
			continue
		}
		if ok && b.time <= m.to {
			return true
		}
		m.active = slices.Delete(m.active, i, i+1)
		m.free.Put(b)
		return reason == "" || m.bad(b.start, reason)
	}
}

// drain gives the points before a time, or all.
func (m *blocks) drain(before int64, all bool) bool {
	for len(m.active) > 0 {
		// Of those with the earliest time the last.
		i := 0
		for j, b := range m.active {
			if b.time <= m.active[i].time {
				i = j
			}
		}
		b := m.active[i]
		if b.time >= before && !all {
			return true
		}
		t := b.time
		if !m.yield(t, b.data, m.bucket, uint64(b.start), nil) {
			return false
		}
		for j := len(m.active) - 1; j >= 0; j-- {
			if m.active[j].time == t && !m.step(j) {
				return false
			}
		}
	}
	return true
}
