package boltview

import "fmt"

// Stats counts what a bucket is made of, those inside it included, as bbolt's
// BucketStats does.
type Stats struct {
	BranchPages    int64 `json:"branch_pages"`    // without overflow
	BranchOverflow int64 `json:"branch_overflow"` // pages that continue branches
	LeafPages      int64 `json:"leaf_pages"`
	LeafOverflow   int64 `json:"leaf_overflow"`
	Keys           int64 `json:"keys"`  // elements of leaves; a bucket is one in its parent
	Depth          int64 `json:"depth"` // levels of pages, those of the deepest bucket inside added
	BranchAlloc    int64 `json:"branch_alloc"`
	BranchInuse    int64 `json:"branch_inuse"`
	LeafAlloc      int64 `json:"leaf_alloc"`
	LeafInuse      int64 `json:"leaf_inuse"`
	Buckets        int64 `json:"buckets"` // with the bucket itself
	Inline         int64 `json:"inline"`  // buckets that have no page of their own
	InlineInuse    int64 `json:"inline_inuse"`
}

// Add adds what other counted. Depths do not add up: the greater one stays.
func (s *Stats) Add(other Stats) {
	s.BranchPages += other.BranchPages
	s.BranchOverflow += other.BranchOverflow
	s.LeafPages += other.LeafPages
	s.LeafOverflow += other.LeafOverflow
	s.Keys += other.Keys
	s.Depth = max(s.Depth, other.Depth)
	s.BranchAlloc += other.BranchAlloc
	s.BranchInuse += other.BranchInuse
	s.LeafAlloc += other.LeafAlloc
	s.LeafInuse += other.LeafInuse
	s.Buckets += other.Buckets
	s.Inline += other.Inline
	s.InlineInuse += other.InlineInuse
}

// Stats reads all pages of the bucket and of those inside it, but no values
// that have pages of their own. Errors: [ErrCorrupt], or what reading returned;
// the count goes up to there then.
func (b *Bucket) Stats() (Stats, error) {
	c := counter{db: b.db, seen: newBitmap(b.db.pages)}
	return c.bucket(b)
}

// counter goes through the pages of a bucket.
type counter struct {
	db    *DB
	seen  bitmap
	bufs  [][]byte // one for each level that is being read
	level int
}

func (c *counter) bucket(b *Bucket) (Stats, error) {
	s, sub := Stats{Buckets: 1}, Stats{}
	var err error
	if b.inline.buf != nil {
		s.Inline, s.Depth, s.Keys = 1, 1, int64(b.inline.count)
		s.InlineInuse, err = c.used(b, &b.inline)
		return s, err
	}
	err = c.page(b, b.root, 1, &s, &sub)
	s.BranchAlloc = (s.BranchPages + s.BranchOverflow) * c.db.pageSize
	s.LeafAlloc = (s.LeafPages + s.LeafOverflow) * c.db.pageSize
	s.Depth += sub.Depth
	s.Add(sub)
	return s, err
}

// page counts the tree under page id in s, and the buckets that it holds in sub.
func (c *counter) page(b *Bucket, id uint64, depth int, s, sub *Stats) error {
	if c.seen.has(id) {
		return b.fault(id, "reached a second time")
	}
	c.seen.set(id)
	if depth > maxDepth {
		return b.fault(id, "tree is too deep")
	}
	if c.level == len(c.bufs) {
		c.bufs = append(c.bufs, nil)
	}
	var p page
	reason, err := c.db.load(&p, id, c.bufs[c.level])
	if err != nil {
		return err
	}
	if reason != "" {
		return b.fault(id, reason)
	}
	c.bufs[c.level] = p.buf
	c.level++
	defer func() { c.level-- }()
	s.Depth = max(s.Depth, int64(depth))
	used, err := c.used(b, &p)
	if err != nil {
		return err
	}
	overflow := p.size/c.db.pageSize - 1
	if p.leaf {
		s.LeafPages++
		s.LeafOverflow += overflow
		s.LeafInuse += used
		s.Keys += int64(p.count)
		return c.leaf(b, &p, sub)
	}
	s.BranchPages++
	s.BranchOverflow += overflow
	s.BranchInuse += used
	for i := range p.count {
		e, ok := p.branchElem(i)
		if !ok {
			return b.fault(id, fmt.Sprintf("element %d does not lie inside the page", i))
		}
		if err := c.page(b, e.child, depth+1, s, sub); err != nil {
			return err
		}
	}
	return nil
}

// leaf counts the buckets that a leaf holds.
func (c *counter) leaf(b *Bucket, p *page, sub *Stats) error {
	for i := range p.count {
		e, ok := p.leafElem(i)
		if !ok {
			return b.fault(p.id, fmt.Sprintf("element %d does not lie inside the page", i))
		}
		if e.flags&flagBucket == 0 {
			continue
		}
		k, err := c.db.bytes(p, e.key, e.ksize)
		if err != nil {
			return err
		}
		it := b.item(p, k, e)
		inner, err := it.Bucket()
		if err != nil {
			return err
		}
		s, err := c.bucket(inner)
		sub.Add(s)
		if err != nil {
			return err
		}
	}
	return nil
}

// used returns how many bytes of a page its elements take, by where the last
// one ends.
func (c *counter) used(b *Bucket, p *page) (int64, error) {
	if p.count == 0 {
		return headerSize, nil
	}
	e, ok := p.elem(p.count - 1)
	if !ok {
		return 0, b.fault(p.id, fmt.Sprintf("element %d does not lie inside the page", p.count-1))
	}
	return e.key + e.ksize + e.vsize, nil
}
