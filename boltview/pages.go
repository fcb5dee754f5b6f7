package boltview

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
)

// PageType is what a page is for.
type PageType string

// The types of pages.
const (
	PageMeta     PageType = "meta"
	PageBranch   PageType = "branch"
	PageLeaf     PageType = "leaf"
	PageFreelist PageType = "freelist"
	PageFree     PageType = "free"    // in the list of free pages
	PageUnknown  PageType = "unknown" // flags that no type has
)

// PageInfo is what the header of a page says, as far as it is right.
type PageInfo struct {
	ID   uint64   `json:"id"`
	Type PageType `json:"type"`
	// Count is the number of elements of a branch or leaf, and of entries in a
	// list of free pages.
	Count int64 `json:"count"`
	// Overflow is the number of pages that continue this one.
	Overflow int64 `json:"overflow"`
	// Damage says what is wrong with the header; empty if nothing is.
	Damage string `json:"damage,omitempty"`
}

// Page is one page of a file, looked at by itself.
type Page struct {
	PageInfo
	db   *DB
	page page // of a sound branch or leaf
}

// MetaPage is the content of a meta page.
type MetaPage struct {
	MetaInfo
	Version  uint32 `json:"version"`
	PageSize uint32 `json:"page_size"` // bytes
	Flags    uint32 `json:"flags"`
	Sequence uint64 `json:"sequence"` // of the root bucket
	Checksum uint64 `json:"checksum,string"`
}

// PageChild is one element of a branch.
type PageChild struct {
	Key  []byte // lent until the next step
	Page uint64
}

// Page reads the header of page id. A header that is damaged is no error:
// [PageInfo.Damage] tells. A page that does not lie in the file is [ErrCorrupt].
// The type is never free, which only the list of free pages says.
func (db *DB) Page(id uint64) (*Page, error) {
	p := &Page{PageInfo: PageInfo{ID: id, Type: PageUnknown}, db: db}
	if id >= db.pages {
		return nil, &PageError{Page: id, Path: ".", Reason: fmt.Sprintf("not in the file, which has pages 0 to %d", int64(db.pages)-1)}
	}
	var b [headerSize]byte
	off := int64(id) * db.pageSize
	if _, err := readFull(db.r, b[:], off); err != nil {
		return nil, fmt.Errorf("read bolt page %d: %w", id, err)
	}
	le := binary.LittleEndian
	flags, overflow := le.Uint16(b[8:]), int64(le.Uint32(b[12:]))
	switch flags {
	case flagMeta:
		p.Type = PageMeta
	case flagBranch, flagLeaf:
		p.Type = PageLeaf
		if flags == flagBranch {
			p.Type = PageBranch
		}
		p.Count, p.Overflow = int64(le.Uint16(b[10:])), overflow
		reason, err := "", error(nil)
		if id < 2 {
			reason = "is where a meta should be"
		} else if reason, err = db.load(&p.page, id, nil); err != nil {
			return nil, err
		}
		p.Damage = reason
	case flagFreelist:
		p.Type, p.Overflow = PageFreelist, overflow
		count, _, _, reason, err := db.freelistHeader(id)
		if err != nil {
			return nil, err
		}
		p.Count, p.Damage = count, reason
	default:
		p.Damage = fmt.Sprintf("flags %#x are of no type", flags)
	}
	if said := le.Uint64(b[:]); said != id && p.Damage == "" {
		p.Damage = fmt.Sprintf("says that it is page %d", said)
	}
	if id < 2 && p.Damage == "" {
		switch m := &db.metas[id]; {
		case p.Type != PageMeta:
			p.Damage = "is where a meta should be"
		case !m.ok():
			p.Damage = "meta is not valid: " + m.state
		}
	}
	return p, nil
}

// Pages goes through the pages of the file up to the high-water mark, each with
// its overflow as one. What is in the list of free pages is of type free, each
// page by itself; if no such list is stored, what the tree does not reach. If
// the list cannot be read, or the tree was found by search, free pages are
// shown as what they were.
//
// A page whose header is damaged is an entry as any other. Pages that the meta
// knows and that are not in the file are an [ErrCorrupt] at the end.
func (db *DB) Pages() iter.Seq2[PageInfo, error] {
	return func(yield func(PageInfo, error) bool) {
		end := db.pages
		free := bitmap(nil)
		if db.used >= 0 {
			m := &db.metas[db.used]
			end = min(end, m.highWater)
			free = db.freePages(m)
		}
		for id := uint64(0); id < end; {
			if free.has(id) && id >= 2 {
				if !yield(PageInfo{ID: id, Type: PageFree}, nil) {
					return
				}
				id++
				continue
			}
			p, err := db.Page(id)
			if err != nil {
				yield(PageInfo{ID: id}, err)
				return
			}
			if !yield(p.PageInfo, nil) {
				return
			}
			id++
			if p.Damage == "" {
				id += uint64(p.Overflow)
			}
		}
		if db.used >= 0 && db.metas[db.used].highWater > end {
			yield(PageInfo{ID: end}, &PageError{Page: end, Path: ".", Reason: fmt.Sprintf("the meta knows %d pages, the file has %d", db.metas[db.used].highWater, db.pages)})
		}
	}
}

// freePages returns the pages that m says are free.
func (db *DB) freePages(m *meta) bitmap {
	w := newWalker(db, func(Fault) bool { return true })
	w.limit = min(m.highWater, db.pages)
	if w.freelist(m) {
		return w.free
	}
	if m.freelist != noFreelist {
		return nil
	}
	whole := true
	w.yield = func(f Fault) bool {
		whole = whole && !f.Kind.Tree()
		return whole
	}
	w.bucket(db.bucketAt(m.root, m.sequence))
	if !whole {
		return nil
	}
	free := newBitmap(db.pages)
	for id := uint64(2); id < w.limit; id++ {
		if !w.seen.has(id) {
			free.set(id)
		}
	}
	return free
}

// Open returns a reader of the page's bytes, without its overflow, as they are.
func (p *Page) Open() *io.SectionReader {
	return io.NewSectionReader(p.db.r, p.Offset(), p.db.pageSize)
}

// Offset returns where in the file the page starts, in bytes.
func (p *Page) Offset() int64 { return int64(p.ID) * p.db.pageSize }

// Size returns the bytes of the page with its overflow.
func (p *Page) Size() int64 { return p.db.pageSize * (p.Overflow + 1) }

// Meta returns what a meta page says, and false for other pages.
func (p *Page) Meta() (MetaPage, bool) {
	if p.Type != PageMeta || p.ID > 1 {
		return MetaPage{}, false
	}
	var b [metaSize]byte
	if _, err := readFull(p.db.r, b[:], p.Offset()+headerSize); err != nil {
		return MetaPage{}, false
	}
	m, le := p.db.metas[p.ID], binary.LittleEndian
	return MetaPage{
		MetaInfo: MetaInfo{State: m.state, TxID: m.txid, Root: m.root, Freelist: m.freelist, HighWater: m.highWater},
		Version:  le.Uint32(b[4:]), PageSize: le.Uint32(b[8:]), Flags: le.Uint32(b[12:]),
		Sequence: le.Uint64(b[24:]), Checksum: le.Uint64(b[56:]),
	}, true
}

// Items returns the elements of a leaf; other pages have none. Bytes of an item
// are valid until the next step. An element that is damaged comes as
// [ErrCorrupt], and the next ones after it.
func (p *Page) Items() iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if p.Type != PageLeaf || p.Damage != "" {
			return
		}
		b := p.db.bucketAt(p.ID, 0)
		b.label = fmt.Sprintf("page %d", p.ID)
		var end int64
		for i := range p.page.count {
			var it Item
			e, k, err := p.element(b, i, &end)
			if err == nil {
				it = b.item(&p.page, k, e)
			}
			if !yield(it, err) {
				return
			}
		}
	}
}

// Children returns the elements of a branch; other pages have none. Errors are
// as those of [Page.Items].
func (p *Page) Children() iter.Seq2[PageChild, error] {
	return func(yield func(PageChild, error) bool) {
		if p.Type != PageBranch || p.Damage != "" {
			return
		}
		b := p.db.bucketAt(p.ID, 0)
		b.label = fmt.Sprintf("page %d", p.ID)
		var end int64
		for i := range p.page.count {
			e, k, err := p.element(b, i, &end)
			if !yield(PageChild{k, e.child}, err) {
				return
			}
		}
	}
}

// element returns element i, which must lie behind end, where the one before
// ends.
func (p *Page) element(b *Bucket, i int, end *int64) (elem, []byte, error) {
	e, ok := p.page.elem(i)
	if !ok {
		return elem{}, nil, b.fault(p.ID, fmt.Sprintf("element %d does not lie inside the page", i))
	}
	if e.key < *end {
		return elem{}, nil, b.fault(p.ID, fmt.Sprintf("element %d lies over the one before", i))
	}
	*end = e.key + e.ksize + e.vsize
	k, err := p.db.bytes(&p.page, e.key, e.ksize)
	return e, k, err
}

// Free returns the entries of a list of free pages; other pages have none.
func (p *Page) Free() iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		if p.Type != PageFreelist || p.Damage != "" {
			return
		}
		count, off, _, reason, err := p.db.freelistHeader(p.ID)
		if err != nil || reason != "" {
			return // it was read before, and sound
		}
		buf := make([]byte, min(count*8, 64<<10))
		for done := int64(0); done < count; {
			b := buf[:min(int64(len(buf)), (count-done)*8)]
			if _, err := readFull(p.db.r, b, off+done*8); err != nil {
				yield(0, fmt.Errorf("read bolt page %d: %w", p.ID, err))
				return
			}
			for ; len(b) > 0; b = b[8:] {
				if !yield(binary.LittleEndian.Uint64(b), nil) {
					return
				}
				done++
			}
		}
	}
}
