package boltview

import (
	"encoding/binary"
	"fmt"
)

const (
	flagBranch   = 1
	flagLeaf     = 2
	flagMeta     = 4
	flagFreelist = 16
)

const flagBucket = 1 // of a leaf element

// page is a branch or leaf page whose header was checked: it lies in the file
// with all its overflow, has its own number and room for its elements.
type page struct {
	id    uint64 // 0 for an inline page
	off   int64  // where in the file it starts
	size  int64  // bytes, with its overflow
	count int    // elements
	leaf  bool
	buf   []byte // its first bytes: at least the header and the elements
}

// elem is where an element's bytes are, relative to the page, checked to lie
// inside of it.
type elem struct {
	flags uint32 // of a leaf
	key   int64
	ksize int64
	vsize int64
	child uint64 // of a branch
}

// parseHeader checks the header that b starts with. size is how many bytes
// belong to the page if it has no overflow, room how many if it may have.
func (p *page) parseHeader(b []byte, size, room int64) string {
	le := binary.LittleEndian
	id, flags, count, overflow := le.Uint64(b), le.Uint16(b[8:]), le.Uint16(b[10:]), le.Uint32(b[12:])
	if id != p.id {
		return fmt.Sprintf("says that it is page %d", id)
	}
	if flags != flagBranch && flags != flagLeaf {
		return fmt.Sprintf("flags %#x are neither branch nor leaf", flags)
	}
	p.leaf = flags == flagLeaf
	p.count = int(count)
	p.size = size * (int64(overflow) + 1)
	if p.size > room {
		return fmt.Sprintf("%d overflow pages run past the end of the file", overflow)
	}
	if headerSize+elemSize*int64(count) > p.size {
		return fmt.Sprintf("%d elements do not fit", count)
	}
	if count == 0 && !p.leaf {
		return "branch without elements"
	}
	return ""
}

// load reads page id. The bytes go into buf if they fit; p.buf is the buffer
// that was used, and shared with nobody else.
func (db *DB) load(p *page, id uint64, buf []byte) (reason string, err error) {
	*p = page{id: id, buf: buf[:0]}
	if id < 2 || id >= db.pages {
		return db.outside(), nil
	}
	p.off = int64(id) * db.pageSize
	if err := db.fill(p, db.pageSize); err != nil {
		return "", err
	}
	room := int64(db.pages)*db.pageSize - p.off
	if reason := p.parseHeader(p.buf, db.pageSize, room); reason != "" {
		return reason, nil
	}
	if p.size > db.pageSize {
		return "", db.fill(p, min(p.size, max(wholeMax, headerSize+elemSize*int64(p.count))))
	}
	return "", nil
}

// view makes p page id of the file that mem holds, without copying.
func (db *DB) view(p *page, id uint64, mem []byte) (reason string) {
	*p = page{id: id}
	if id < 2 || id >= db.pages {
		return db.outside()
	}
	p.off = int64(id) * db.pageSize
	if reason := p.parseHeader(mem[p.off:], db.pageSize, int64(db.pages)*db.pageSize-p.off); reason != "" {
		return reason
	}
	p.buf = mem[p.off : p.off+p.size]
	return ""
}

func (db *DB) outside() string {
	return fmt.Sprintf("not in the file, which has pages 2 to %d", int64(db.pages)-1)
}

// fill makes p.buf the first n bytes of the page.
func (db *DB) fill(p *page, n int64) error {
	have := int64(len(p.buf))
	if int64(cap(p.buf)) < n {
		buf := make([]byte, n)
		copy(buf, p.buf)
		p.buf = buf
	}
	p.buf = p.buf[:n]
	if have == n {
		return nil
	}
	if _, err := readFull(db.r, p.buf[have:], p.off+have); err != nil {
		return fmt.Errorf("read bolt page %d: %w", p.id, err)
	}
	return nil
}

// leafElem returns element i of a leaf, and false if it does not lie inside.
func (p *page) leafElem(i int) (e elem, ok bool) {
	at := headerSize + elemSize*i
	b := p.buf[at : at+elemSize : at+elemSize]
	le := binary.LittleEndian
	e.flags = le.Uint32(b)
	e.key = int64(at) + int64(le.Uint32(b[4:]))
	e.ksize = int64(le.Uint32(b[8:]))
	e.vsize = int64(le.Uint32(b[12:]))
	return e, e.key >= headerSize+elemSize*int64(p.count) && e.ksize <= maxKeySize && e.key+e.ksize+e.vsize <= p.size
}

// branchElem returns element i of a branch, and false if it does not lie inside.
func (p *page) branchElem(i int) (e elem, ok bool) {
	at := headerSize + elemSize*i
	b := p.buf[at : at+elemSize : at+elemSize]
	le := binary.LittleEndian
	e.key = int64(at) + int64(le.Uint32(b))
	e.ksize = int64(le.Uint32(b[4:]))
	e.child = le.Uint64(b[8:])
	return e, e.key >= headerSize+elemSize*int64(p.count) && e.ksize <= maxKeySize && e.key+e.ksize <= p.size
}

func (p *page) elem(i int) (elem, bool) {
	if p.leaf {
		return p.leafElem(i)
	}
	return p.branchElem(i)
}

// bytes returns n bytes of the page at pos, which lie inside of it: from memory
// if they are there, else read.
func (db *DB) bytes(p *page, pos, n int64) ([]byte, error) {
	if pos+n <= int64(len(p.buf)) {
		return p.buf[pos : pos+n : pos+n], nil
	}
	b := make([]byte, n)
	if _, err := readFull(db.r, b, p.off+pos); err != nil {
		return nil, fmt.Errorf("read bolt page %d: %w", p.id, err)
	}
	return b, nil
}
