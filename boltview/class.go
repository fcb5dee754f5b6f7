package boltview

import (
	"fmt"
	"slices"
)

// Class says how much of a file is whole. A tree is whole if each page that is
// reached from its root lies in the file, has its own number, is a branch or a
// leaf, is reached once, and keys ascend, those of nested buckets included.
//
// Classes B to E are what hot copies leave behind that were made by Bolt before
// February 2016: its Tx.WriteTo wrote the metas as they were at that time, but
// only as many pages as its own, older transaction knew. Pages which that
// transaction needs are never used again while it is open, so that its tree is
// in the file even where no meta names it any more, as in class E.
type Class string

// The classes of files.
const (
	ClassA Class = "A" // sound: the newest meta is right in all it says
	ClassB Class = "B" // the newest meta's tree is whole, its free list or size is not right
	ClassC Class = "C" // the newest meta's tree is not whole, the older meta is right in all
	ClassD Class = "D" // so, and the older meta's tree is whole, its free list or size is not right
	ClassE Class = "E" // neither meta's tree is whole
)

// String returns the class with a word on what it means.
func (c Class) String() string {
	switch c {
	case ClassA:
		return "A: sound"
	case ClassB:
		return "B: newest tree whole, free list or size damaged"
	case ClassC:
		return "C: newest tree damaged, older one sound"
	case ClassD:
		return "D: newest tree damaged, older one whole"
	case ClassE:
		return "E: both trees damaged"
	}
	return string(c)
}

// classed is a verdict on a file.
type classed struct {
	class  Class
	use    int   // index of the meta whose tree is whole; -1 in class E
	newest int   // index of the newest valid meta; -1 if there is none
	fault  Fault // first one of the newest meta; unless class A
}

// classify walks the trees of the metas.
func (db *DB) classify() classed {
	c := classed{class: ClassE, use: -1, newest: newest(&db.metas)}
	if c.newest < 0 {
		return c
	}
	whole, clean, first := db.verdict(&db.metas[c.newest])
	c.fault = first
	switch {
	case clean:
		c.class, c.use = ClassA, c.newest
	case whole:
		c.class, c.use = ClassB, c.newest
	case db.metas[1-c.newest].ok():
		older := 1 - c.newest
		switch whole, clean, _ := db.verdict(&db.metas[older]); {
		case clean:
			c.class, c.use = ClassC, older
		case whole:
			c.class, c.use = ClassD, older
		}
	}
	return c
}

// verdict tells whether the tree that m names is whole, whether all else that m
// says is right as well, and the fault that weighs most.
func (db *DB) verdict(m *meta) (whole, clean bool, first Fault) {
	whole, clean = true, true
	w := newWalker(db, func(f Fault) bool {
		if clean || f.Kind.Tree() {
			first = f
		}
		clean = false
		whole = whole && !f.Kind.Tree()
		return whole
	})
	w.check(m)
	return whole, clean, first
}

// newest returns the index of the valid meta with the higher txid, -1 if none
// is valid.
func newest(metas *[2]meta) int {
	switch m0, m1 := &metas[0], &metas[1]; {
	case m0.ok() && m1.ok() && m1.txid > m0.txid:
		return 1
	case m0.ok():
		return 0
	case m1.ok():
		return 1
	}
	return -1
}

// suspicious looks for signs that the file may be torn, which cost few reads. A
// valid meta that knows more pages than the file has: every torn file seen has
// one. A last page that is empty: an old server that opens a torn file makes it
// longer with zeros. A root or a list of free pages that is none.
func (db *DB) suspicious() string {
	i := newest(&db.metas)
	if i < 0 {
		return "no meta is valid"
	}
	for j := range db.metas {
		if m := &db.metas[j]; m.ok() && m.highWater > db.pages {
			return fmt.Sprintf("meta %d knows %d pages, the file has %d", j, m.highWater, db.pages)
		}
	}
	c := db.cursor()
	defer db.release(c)
	f := c.frame(0)
	for j := range db.metas {
		if m := &db.metas[j]; m.ok() && m.highWater > 2 {
			if empty, err := db.empty(m.highWater-1, f); err != nil {
				return err.Error()
			} else if empty {
				return fmt.Sprintf("page %d, the last that meta %d knows, is empty", m.highWater-1, j)
			}
		}
	}
	m := &db.metas[i]
	var p page
	reason, err := db.load(&p, m.root, f.buf)
	f.buf = p.buf
	if err == nil && reason == "" && m.freelist != noFreelist {
		_, _, _, reason, err = db.freelistHeader(m.freelist)
	}
	if err != nil {
		return err.Error()
	}
	return reason
}

// empty reports whether a page starts with nothing but zeros. It reads into the
// buffer of f.
func (db *DB) empty(id uint64, f *frame) (bool, error) {
	f.buf = slices.Grow(f.buf[:0], int(db.pageSize))
	b := f.buf[:512]
	if _, err := readFull(db.r, b, int64(id)*db.pageSize); err != nil {
		return false, fmt.Errorf("read bolt page %d: %w", id, err)
	}
	return [512]byte(b) == [512]byte{}, nil
}
