package boltview

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// searchWork bounds the pages that a search for roots reads, in files.
const searchWork = 64

// Candidate is a page from which a whole tree hangs that looks like the root of
// a database. Pages carry no transaction id, so that the evidence must tell
// which is the newest.
type Candidate struct {
	Page uint64 `json:"page"`
	Evidence
}

// Candidates searches all pages for roots of whole trees and returns them with
// the newest first. In a shard of InfluxDB 0.9 a root has the system buckets
// (b1: fields, series, wal; bz1: meta, points; release candidates: meta,
// values). For other files a root is a page that no page in the file refers to,
// and whose tree has nothing but buckets at its top, as any Bolt file.
//
// It reads the whole file, and each tree. A file that is made to need endless
// work gets a bounded amount: the result may lack candidates then.
func (db *DB) Candidates() ([]Candidate, error) {
	list, err := db.candidates()
	return slices.Clone(list), err
}

// search holds what a pass over all pages found.
type search struct {
	db       *DB
	work     int64  // pages that may still be read
	leaf     bitmap // leaves that hold only buckets
	branch   bitmap // branch pages
	children bitmap // pages that a branch refers to
	roots    bitmap // pages that a bucket refers to
	known    bitmap // branches that were looked at
	good     bitmap // those over nothing but pages in leaf
}

func (db *DB) search() ([]Candidate, error) {
	n := db.pages
	s := &search{
		db: db, work: searchWork*int64(n) + 4096,
		leaf: newBitmap(n), branch: newBitmap(n), children: newBitmap(n),
		roots: newBitmap(n), known: newBitmap(n), good: newBitmap(n),
	}
	if err := s.scan(); err != nil {
		return nil, err
	}
	// Both a root and a page under one may look the part. What another branch
	// refers to comes last, since an old branch may refer to anything.
	var shards, free, bound []uint64
	for id := uint64(2); id < n; id++ {
		if !s.leaf.has(id) && !s.overBuckets(id, 0) {
			continue
		}
		layout, err := layoutOf(db.bucketAt(id, 0))
		switch {
		case err == nil && layout != LayoutAny:
			shards = append(shards, id)
		case s.children.has(id) || s.roots.has(id):
			bound = append(bound, id)
		default:
			free = append(free, id)
		}
	}
	for _, ids := range [][]uint64{shards, free, bound} {
		if list := s.walk(ids); len(list) > 0 {
			return list, nil
		}
	}
	return nil, nil
}

// scan reads every page once.
func (s *search) scan() error {
	db := s.db
	var buf []byte
	for id := uint64(2); id < db.pages; id++ {
		var p page
		s.work--
		reason, err := db.load(&p, id, buf)
		if err != nil {
			return err
		}
		buf = p.buf
		if reason != "" || p.count == 0 {
			continue
		}
		if p.leaf {
			s.scanLeaf(&p)
		} else {
			s.scanBranch(&p)
		}
	}
	return nil
}

func (s *search) scanLeaf(p *page) {
	only := true
	for i := range p.count {
		e, ok := p.leafElem(i)
		if !ok {
			return
		}
		if e.flags&flagBucket == 0 {
			only = false
			continue
		}
		if v := e.key + e.ksize; e.vsize >= bucketHeader && v+bucketHeader <= int64(len(p.buf)) {
			s.roots.set(binary.LittleEndian.Uint64(p.buf[v:]))
		}
	}
	if only {
		s.leaf.set(p.id)
	}
}

func (s *search) scanBranch(p *page) {
	for i := range p.count {
		e, ok := p.branchElem(i)
		if !ok || e.child < 2 || e.child >= s.db.pages {
			return
		}
	}
	for i := range p.count {
		e, _ := p.branchElem(i)
		s.children.set(e.child)
	}
	s.branch.set(p.id)
}

// overBuckets reports whether the branch page id stands over nothing but leaves
// that hold only buckets.
func (s *search) overBuckets(id uint64, depth int) bool {
	if s.leaf.has(id) {
		return true
	}
	if !s.branch.has(id) || depth == maxDepth || s.work <= 0 {
		return false
	}
	if s.known.has(id) {
		return s.good.has(id)
	}
	// Marked before its children, so that a loop ends.
	s.known.set(id)
	var p page
	s.work--
	if reason, err := s.db.load(&p, id, nil); reason != "" || err != nil {
		return false
	}
	for i := range p.count {
		if e, ok := p.branchElem(i); !ok || !s.overBuckets(e.child, depth+1) {
			return false
		}
	}
	s.good.set(id)
	return true
}

// walk returns those of ids that are roots of whole trees, newest first. A page
// inside of the tree of another is no root.
func (s *search) walk(ids []uint64) []Candidate {
	db := s.db
	var list []Candidate
	in := map[uint64][]uint64{} // from a page to those of ids under it
	for _, id := range ids {
		if s.work <= 0 {
			break
		}
		root := db.bucketAt(id, 0)
		layout, err := layoutOf(root)
		if err != nil {
			continue
		}
		c := Candidate{Page: id, Evidence: Evidence{Layout: layout}}
		w, whole := c.gather(root, true)
		s.work -= w.work
		if !whole {
			continue
		}
		list = append(list, c)
		for _, other := range ids {
			if other != id && w.seen.has(other) {
				in[id] = append(in[id], other)
			}
		}
	}
	inside := newBitmap(db.pages)
	for _, outer := range list {
		for _, c := range list {
			// A root that is newer than what stands over it has only taken the
			// place of an old page.
			if slices.Contains(in[outer.Page], c.Page) && compareEvidence(c.Evidence, outer.Evidence) <= 0 {
				inside.set(c.Page)
			}
		}
	}
	list = slices.DeleteFunc(list, func(c Candidate) bool { return inside.has(c.Page) })
	s.markPartial(list)
	slices.SortStableFunc(list, func(a, b Candidate) int { return compareEvidence(b.Evidence, a.Evidence) })
	return list
}

// gather walks the tree under root for evidence, and reports whether it is
// whole. With stop it ends at the first fault.
func (e *Evidence) gather(root *Bucket, stop bool) (w *walker, whole bool) {
	whole = true
	w = newWalker(root.db, func(Fault) bool { whole = false; return !stop })
	w.visit = e.add
	w.bucket(root)
	if e.Layout == LayoutB1 && (whole || !stop) {
		whole = e.addLog(root) == nil && whole
	}
	return w, whole
}

// markPartial sets Partial. A root has the keys of all older roots, unless some
// were deleted; a leaf of a root has only a range of them. A tree from which
// nothing but its first or last keys were deleted cannot be told from a leaf,
// and is marked as well: the other way round, far more keys would be lost.
func (s *search) markPartial(list []Candidate) {
	partial := make([]bool, len(list))
	for i := range list {
		for j := range list {
			if i != j && olderThan(&list[j].Evidence, &list[i].Evidence) && s.isPart(&list[i], &list[j]) {
				partial[i] = true
				break
			}
		}
	}
	for i := range list {
		list[i].Partial = partial[i]
	}
}

// olderThan reports whether the tree of a may be older than that of b, which
// only a count of writes tells. Without one, it is for the larger to judge.
func olderThan(a, b *Evidence) bool {
	switch a.Layout {
	case LayoutB1, LayoutRC:
		return a.Sequence <= b.Sequence
	}
	return a.Keys >= b.Keys
}

// isPart reports whether the older tree has a key outside of the range of c's
// that c has not, or a point in its log that was to come under such a key.
func (s *search) isPart(c, older *Candidate) bool {
	root := s.db.bucketAt(c.Page, 0)
	outside := func(name []byte) bool {
		return bytes.Compare(name, c.first) < 0 || bytes.Compare(name, c.last) > 0
	}
	for name, t := range older.series {
		if !outside([]byte(name)) {
			continue
		}
		head := binary.BigEndian.AppendUint32(slices.Clone(t), uint32(len(name)))
		if c.logged[logHash(append(head, name...))] {
			continue
		}
		if ok, err := root.has([]byte(name), t); !ok && err == nil {
			return true
		}
	}
	for it, err := range s.db.bucketAt(older.Page, 0).All() {
		if s.work--; s.work <= 0 || err != nil {
			break
		}
		if !outside(it.Key) {
			continue
		}
		if err := root.lookup(it.Key, func(Item) error { return nil }); errors.Is(err, ErrNotFound) {
			return true
		}
	}
	return false
}

// bucketAt returns the bucket that stands for a tree, by the page of its root.
func (db *DB) bucketAt(id, sequence uint64) *Bucket {
	return &Bucket{db: db, root: id, seq: sequence}
}

// At returns the root bucket of the tree under a page, such as that of a
// [Candidate].
func (db *DB) At(page uint64) (*Bucket, error) {
	b := db.bucketAt(page, 0)
	if page < 2 || page >= db.pages {
		return nil, b.fault(page, fmt.Sprintf("not in the file, which has pages 2 to %d", int64(db.pages)-1))
	}
	b.label = SalvageName + fmt.Sprintf("/%d", page)
	return b, nil
}
