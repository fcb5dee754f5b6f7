package boltview

import (
	"encoding/binary"
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
		whole := true
		w := newWalker(db, func(Fault) bool { whole = false; return false })
		w.visit = c.add
		w.bucket(root)
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
	slices.SortStableFunc(list, func(a, b Candidate) int { return compareEvidence(b.Evidence, a.Evidence) })
	return list
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
