package boltview

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// cursor walks the leaves of one bucket in order. Its buffers are used again
// for each page, and for the next walk.
type cursor struct {
	b       *Bucket
	stack   []frame // from the root to a leaf
	depth   int     // frames of stack in use
	raw     []byte  // the file in mapped memory, to be read in place if set
	visited uint64  // pages, against a budget
}

type frame struct {
	page page
	i    int    // element
	end  int64  // where the bytes of the element before end
	buf  []byte // owned, for pages that are not shared
}

// cursor returns a cursor to be released when nothing that it lent is used any
// more.
func (db *DB) cursor() *cursor {
	if c, ok := db.cursors.Get().(*cursor); ok {
		return c
	}
	return new(cursor)
}

// release gives a cursor back for the next that needs one. The pool may be that
// of many files, so that the cursor must not keep this one.
func (db *DB) release(c *cursor) {
	c.b, c.raw = nil, nil
	db.cursors.Put(c)
}

// frame returns the frame of a level, of which there are none or all above it.
func (c *cursor) frame(level int) *frame {
	if level == len(c.stack) {
		c.stack = append(c.stack, frame{})
	}
	return &c.stack[level]
}

// fault makes the error for a page of c's bucket.
func (c *cursor) fault(p *page, format string, args ...any) error {
	return c.b.fault(p.id, fmt.Sprintf(format, args...))
}

// push loads page id as the next level.
func (c *cursor) push(id uint64) error {
	db := c.b.db
	if c.depth == maxDepth {
		return c.b.fault(id, "tree is too deep")
	}
	// Each page of a sound tree is visited once. Whoever goes on after an error
	// gets no further than this one.
	if c.visited++; c.visited > db.pages {
		c.depth = 0
		return c.b.fault(id, "tree has more pages than the file")
	}
	f := c.frame(c.depth)
	f.i, f.end = 0, 0
	if c.b.inline.buf != nil {
		f.page = c.b.inline
		c.depth++
		return nil
	}
	if c.raw != nil {
		if reason := db.view(&f.page, id, c.raw); reason != "" {
			return c.b.fault(id, reason)
		}
		c.depth++
		return nil
	}
	slot := &db.branches[id%uint64(len(db.branches))]
	if p := slot.Load(); p != nil && p.id == id {
		f.page = *p
		c.depth++
		return nil
	}
	reason, err := db.load(&f.page, id, f.buf)
	if err != nil {
		return err
	}
	if reason != "" {
		return c.b.fault(id, reason)
	}
	if f.page.leaf || f.page.size > wholeMax {
		f.buf = f.page.buf
	} else {
		p := f.page
		slot.Store(&p)
		f.buf = nil
	}
	c.depth++
	return nil
}

// key returns the key of an element of p.
func (c *cursor) key(p *page, i int) ([]byte, elem, error) {
	e, ok := p.elem(i)
	if !ok {
		return nil, e, c.fault(p, "element %d does not lie inside the page", i)
	}
	k, err := c.b.db.bytes(p, e.key, e.ksize)
	return k, e, err
}

// search returns the first element of p whose key is not below key, and whether
// it is equal.
func (c *cursor) search(p *page, key []byte) (i int, equal bool, err error) {
	// Both kinds of elements have position and length of the key side by side.
	field := headerSize
	if p.leaf {
		field += 4
	}
	buf, data := p.buf, int64(headerSize+elemSize*p.count)
	lo, hi := 0, p.count
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		at := field + elemSize*mid
		e := binary.LittleEndian.Uint64(buf[at : at+8 : at+8])
		start := int64(at-field+headerSize) + int64(uint32(e))
		end := start + int64(e>>32)
		var k []byte
		if start >= data && end-start <= maxKeySize && end <= int64(len(buf)) {
			k = buf[start:end:end]
		} else if k, _, err = c.key(p, mid); err != nil {
			return 0, false, err
		}
		switch bytes.Compare(k, key) {
		case 0:
			return mid, true, nil
		case -1:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false, nil
}

// seek goes to the first key that is not below key. The leaf's element may be
// one past its last, which valid settles. After an error the cursor stands
// behind the damage, as with next.
func (c *cursor) seek(b *Bucket, key []byte) (equal bool, err error) {
	c.b, c.depth, c.visited = b, 0, 0
	id := b.root
	for {
		if err := c.push(id); err != nil {
			c.pass()
			return false, err
		}
		f := &c.stack[c.depth-1]
		i, equal := 0, false
		if len(key) > 0 {
			if i, equal, err = c.search(&f.page, key); err != nil {
				c.depth--
				c.pass()
				return false, err
			}
		}
		if f.page.leaf {
			f.i = i
			return equal, nil
		}
		// The subtree that may hold key is that of the last key not above it.
		if !equal && i > 0 {
			i--
		}
		f.i = i
		if id, err = c.child(f); err != nil {
			c.pass()
			return false, err
		}
	}
}

// pass steps over the child that could not be entered.
func (c *cursor) pass() {
	if c.depth > 0 {
		c.stack[c.depth-1].i++
	}
}

func (c *cursor) child(f *frame) (uint64, error) {
	e, ok := f.page.branchElem(f.i)
	if !ok {
		return 0, c.fault(&f.page, "element %d does not lie inside the page", f.i)
	}
	return e.child, nil
}

// valid makes sure that the cursor stands on an element, going to the next leaf
// if need be. It returns false at the end. After an error the cursor stands
// behind the page that is damaged, and can go on.
func (c *cursor) valid() (bool, error) {
	for c.depth > 0 {
		f := &c.stack[c.depth-1]
		switch {
		case f.i >= f.page.count:
			c.depth--
			c.pass()
		case f.page.leaf:
			return true, nil
		default:
			id, err := c.child(f)
			if err == nil {
				err = c.push(id)
			}
			if err != nil {
				c.pass()
				return false, err
			}
		}
	}
	return false, nil
}

// item returns the element that the cursor stands on. Its bytes live in the
// cursor's buffer.
func (c *cursor) item() (Item, error) {
	f := &c.stack[c.depth-1]
	p := &f.page
	e, ok := p.leafElem(f.i)
	if !ok {
		return Item{}, c.fault(p, "element %d does not lie inside the page", f.i)
	}
	// Bolt writes elements one after the other. Those that share bytes would
	// let a small file claim an endless amount.
	if e.key < f.end {
		return Item{}, c.fault(p, "element %d lies over the one before", f.i)
	}
	f.end = e.key + e.ksize + e.vsize
	k, err := c.b.db.bytes(p, e.key, e.ksize)
	return c.b.item(p, k, e), err
}

// item makes the item of element e of p, a leaf of b.
func (b *Bucket) item(p *page, key []byte, e elem) Item {
	v := e.key + e.ksize
	return Item{Key: key, b: b, page: p, pos: v, size: uint64(e.vsize) | uint64(e.flags&flagBucket)<<63}
}

// next returns the element that the cursor stands on and goes one on. It
// returns false at the end. After an error it can be called again, for what
// comes behind the damage.
func (c *cursor) next() (it Item, ok bool, err error) {
	ok, err = c.valid()
	if !ok || err != nil {
		return Item{}, false, err
	}
	it, err = c.item()
	c.stack[c.depth-1].i++
	return it, err == nil, err
}

// rest yields what follows in the leaf, as next would, for as long as elements
// are sound and in memory. It returns false if yield does. This is the loop in
// which a scan spends its time.
func (c *cursor) rest(yield func(Item, error) bool) bool {
	f := &c.stack[c.depth-1]
	p := &f.page
	buf := p.buf
	b, i, count := c.b, f.i, p.count
	end := max(f.end, headerSize+elemSize*int64(count))
	more := true
	le := binary.LittleEndian
	for more && i < count {
		at := headerSize + elemSize*i
		e := buf[at : at+elemSize : at+elemSize]
		k := int64(at) + int64(le.Uint32(e[4:]))
		v := k + int64(le.Uint32(e[8:]))
		size := uint64(le.Uint32(e[12:]))
		next := v + int64(size)
		if k < end || v-k > maxKeySize || next > int64(len(buf)) {
			break
		}
		i, end = i+1, next
		size |= uint64(le.Uint32(e)&flagBucket) << 63
		more = yield(Item{buf[k:v:v], b, p, v, size}, nil)
	}
	f.i, f.end = i, end
	return more
}

// skip goes at most n elements on, all of them in one leaf, and returns how
// many; 0 is the end.
func (c *cursor) skip(n int64) (int64, error) {
	ok, err := c.valid()
	if !ok || err != nil {
		return 0, err
	}
	f := &c.stack[c.depth-1]
	n = min(n, int64(f.page.count-f.i))
	f.i += int(n)
	return n, nil
}

// count returns the number of elements in the rest of the tree.
func (c *cursor) count() (n int64, err error) {
	for {
		k, err := c.skip(1 << 62)
		if k == 0 || err != nil {
			return n, err
		}
		n += k
	}
}
