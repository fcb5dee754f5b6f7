package boltview

import (
	"encoding/binary"
	"fmt"
)

// bitmap is a set of page numbers.
type bitmap []uint64

func newBitmap(n uint64) bitmap { return make(bitmap, n/64+1) }

func (b bitmap) has(i uint64) bool { return i/64 < uint64(len(b)) && b[i/64]&(1<<(i%64)) != 0 }

// set adds i, which may lie past the end.
func (b bitmap) set(i uint64) {
	if i/64 < uint64(len(b)) {
		b[i/64] |= 1 << (i % 64)
	}
}

// freelistHeader reads the header of the list of free pages at page id: how
// many entries it has and where in the file they start. reason tells why it
// cannot be read.
func (db *DB) freelistHeader(id uint64) (count, off, size int64, reason string, err error) {
	if id < 2 || id >= db.pages {
		return 0, 0, 0, fmt.Sprintf("list of free pages is not in the file, which has pages 2 to %d", int64(db.pages)-1), nil
	}
	start := int64(id) * db.pageSize
	var b [headerSize + 8]byte
	if _, err := readFull(db.r, b[:], start); err != nil {
		return 0, 0, 0, "", fmt.Errorf("read bolt page %d: %w", id, err)
	}
	le := binary.LittleEndian
	flags, n, overflow := le.Uint16(b[8:]), le.Uint16(b[10:]), le.Uint32(b[12:])
	size = db.pageSize * (int64(overflow) + 1)
	switch {
	case le.Uint64(b[:]) != id:
		return 0, 0, 0, fmt.Sprintf("list of free pages says that it is page %d", le.Uint64(b[:])), nil
	case flags != flagFreelist:
		return 0, 0, 0, fmt.Sprintf("flags %#x are not those of a list of free pages", flags), nil
	case size > int64(db.pages)*db.pageSize-start:
		return 0, 0, 0, "list of free pages runs past the end of the file", nil
	}
	count, off = int64(n), start+headerSize
	room := (size - headerSize) / 8
	// A list too long for the count has its length in the first entry.
	if n == 0xffff {
		long := le.Uint64(b[headerSize:])
		off += 8
		room--
		if long > uint64(room) {
			return 0, 0, 0, fmt.Sprintf("list of %d free pages does not fit", long), nil
		}
		count = int64(long)
	}
	if count > room {
		return 0, 0, 0, fmt.Sprintf("list of %d free pages does not fit", count), nil
	}
	return count, off, size, "", nil
}

// freelist reads the list of free pages into w.free and reports what is wrong
// with it. It returns false if there is none that can be read.
func (w *walker) freelist(m *meta) bool {
	if m.freelist == noFreelist {
		return false
	}
	db := w.db
	count, off, size, reason, err := db.freelistHeader(m.freelist)
	if reason == "" && err == nil && m.freelist+uint64(size/db.pageSize) > w.limit {
		reason = "list of free pages lies above the high-water mark"
	}
	fault := func(id uint64, text string) {
		w.report(Fault{Page: id, Path: ".", Kind: KindFreelist, Text: text})
	}
	if err != nil {
		fault(m.freelist, err.Error())
		return false
	}
	if reason != "" {
		fault(m.freelist, reason)
		return false
	}
	for id := m.freelist; id < m.freelist+uint64(size/db.pageSize); id++ {
		w.seen.set(id)
	}
	buf := make([]byte, min(count*8, 64<<10))
	for done := int64(0); done < count && !w.stop; {
		b := buf[:min(int64(len(buf)), (count-done)*8)]
		if _, err := readFull(db.r, b, off+done*8); err != nil {
			fault(m.freelist, fmt.Sprintf("read the list of free pages: %v", err))
			return false
		}
		for ; len(b) > 0 && !w.stop; b = b[8:] {
			id := binary.LittleEndian.Uint64(b)
			switch {
			case id < 2 || id >= w.limit:
				fault(m.freelist, fmt.Sprintf("free page %d is not in the file, which has pages 2 to %d", id, int64(w.limit)-1))
			case w.free.has(id):
				fault(id, "twice in the list of free pages")
			case w.seen.has(id):
				fault(id, "in the list of free pages, and holds that list")
			}
			w.free.set(id)
			done++
		}
	}
	return true
}
