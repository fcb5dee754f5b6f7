package boltview

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/snapfs/snapfs/internal/names"
)

// Kind sorts faults.
type Kind string

// The kinds of faults. Those of a page, a reference and order, and failed reads,
// mean that the tree is not whole; the others leave all keys readable.
const (
	KindMeta        Kind = "meta"        // a meta page is not valid
	KindSize        Kind = "size"        // the file is shorter than its meta says
	KindPage        Kind = "page"        // a page lies outside or contradicts itself
	KindReference   Kind = "reference"   // a page is reached twice
	KindOrder       Kind = "order"       // keys do not ascend
	KindRead        Kind = "read"        // the source returned an error
	KindFreelist    Kind = "freelist"    // the list of free pages is wrong
	KindUnreachable Kind = "unreachable" // pages are neither in use nor free
)

// Tree reports whether such a fault means that keys are lost or in doubt.
func (k Kind) Tree() bool {
	switch k {
	case KindPage, KindReference, KindOrder, KindRead:
		return true
	}
	return false
}

// Fault is something that [DB.Check] found.
type Fault struct {
	Page  uint64 `json:"page"`            // the first, if there are several
	Pages uint64 `json:"pages,omitempty"` // how many, if there are several
	Path  string `json:"path"`            // bucket, named as in [DB.FS]; "." is the root
	Kind  Kind   `json:"kind"`
	Text  string `json:"text"`
	// Lost is the range of keys of the bucket that cannot be read because of it.
	Lost *Range `json:"lost,omitempty"`
}

// Range is the keys of a bucket from From up to, but without, To. An empty bound
// is none. In JSON bounds are file names, see internal/names.
type Range struct {
	From, To []byte
}

func (r Range) String() string {
	from, to := "the first", "the last"
	if len(r.From) > 0 {
		from = names.Key(r.From)
	}
	if len(r.To) > 0 {
		to = "before " + names.Key(r.To)
	}
	return from + " to " + to
}

// MarshalJSON writes the bounds as file names, "" for none.
func (r Range) MarshalJSON() ([]byte, error) {
	name := func(k []byte) string {
		if len(k) == 0 {
			return ""
		}
		return names.Key(k)
	}
	return json.Marshal(struct {
		From string `json:"from"`
		To   string `json:"to"`
	}{name(r.From), name(r.To)})
}

func (f Fault) String() string {
	s := fmt.Sprintf("page %d, bucket %s: %s", f.Page, f.Path, f.Text)
	if f.Lost != nil {
		s += "; keys lost: " + f.Lost.String()
	}
	return s
}

// Check goes through the whole file as its newest valid meta describes it, or
// the one that [Options.Meta] asked for, and returns every fault: pages that do
// not lie in the file, contradict themselves or are reached twice, keys out of
// order within and across pages, a free list that disagrees, pages that are
// neither in use nor free, and a meta that is not valid. It goes on behind each
// fault. A sound file has none.
//
// It needs memory for two bits per page, and reads each page once, values that
// have pages of their own not at all.
func (db *DB) Check() iter.Seq[Fault] {
	return func(yield func(Fault) bool) {
		w := newWalker(db, yield)
		for i := range db.metas {
			if m := &db.metas[i]; !m.ok() && !w.stop {
				w.report(Fault{Page: uint64(i), Path: ".", Kind: KindMeta, Text: "meta is not valid: " + m.state})
			}
		}
		if m := db.examined(); m != nil {
			w.check(m)
		}
	}
}

// examined returns the meta that Check goes by, nil if none is valid.
func (db *DB) examined() *meta {
	switch {
	case db.opts.Meta == Meta0 && db.metas[0].ok():
		return &db.metas[0]
	case db.opts.Meta == Meta1 && db.metas[1].ok():
		return &db.metas[1]
	}
	if i := newest(&db.metas); i >= 0 {
		return &db.metas[i]
	}
	return nil
}

// check reports the faults of the file as m describes it.
func (w *walker) check(m *meta) {
	db := w.db
	if m.highWater > db.pages {
		w.report(Fault{Path: ".", Kind: KindSize, Text: fmt.Sprintf("meta knows %d pages, the file has %d", m.highWater, db.pages)})
	}
	w.limit = min(m.highWater, db.pages)
	stored := w.freelist(m)
	if w.stop {
		return
	}
	w.bucket(db.bucketAt(m.root, m.sequence))
	if w.stop || !stored {
		return
	}
	for id := uint64(2); id < w.limit && !w.stop; id++ {
		if w.seen.has(id) || w.free.has(id) {
			continue
		}
		end := id + 1
		for end < w.limit && !w.seen.has(end) && !w.free.has(end) {
			end++
		}
		f := Fault{Page: id, Path: ".", Kind: KindUnreachable, Text: "neither reachable nor free"}
		if end-id > 1 {
			f.Pages = end - id
			f.Text = fmt.Sprintf("this and the next %d pages are neither reachable nor free", end-id-1)
		}
		w.report(f)
		id = end
	}
}

// walker goes through trees page by page.
type walker struct {
	db    *DB
	limit uint64 // pages from here on do not belong to the file
	seen  bitmap
	free  bitmap
	yield func(Fault) bool
	stop  bool
	visit func(Item) // called with each key, if not nil
	// reached is called with each page that is reached first, if not nil, and
	// whether its header is sound.
	reached func(b *Bucket, p *page, r Range, sound bool)
	c       *cursor // whose buffers hold the pages that are being walked; nil at rest
	level   int
	work    int64 // pages read
}

func newWalker(db *DB, yield func(Fault) bool) *walker {
	return &walker{db: db, limit: db.pages, seen: newBitmap(db.pages), free: newBitmap(db.pages), yield: yield}
}

func (w *walker) report(f Fault) {
	if w.stop {
		return
	}
	if f.Lost != nil {
		// The bounds lie in buffers of the walk.
		f.Lost = &Range{bytes.Clone(f.Lost.From), bytes.Clone(f.Lost.To)}
	}
	w.stop = !w.yield(f)
}

// reportErr reports what a function of the reader returned.
func (w *walker) reportErr(page uint64, b *Bucket, err error, lost *Range) {
	var pe *PageError
	if errors.As(err, &pe) {
		w.report(Fault{Page: pe.Page, Path: pe.Path, Kind: KindPage, Text: pe.Reason, Lost: lost})
		return
	}
	w.report(Fault{Page: page, Path: b.path(), Kind: KindRead, Text: err.Error(), Lost: lost})
}

// bucket walks b and the buckets inside.
func (w *walker) bucket(b *Bucket) {
	if b.inline.buf != nil {
		p := b.inline
		w.leaf(b, &p, Range{})
		return
	}
	w.page(b, b.root, 0, Range{})
}

// page walks the tree under page id, whose keys must lie in r.
func (w *walker) page(b *Bucket, id uint64, depth int, r Range) {
	fault := func(kind Kind, format string, args ...any) {
		w.report(Fault{Page: id, Path: b.path(), Kind: kind, Text: fmt.Sprintf(format, args...), Lost: &r})
	}
	if id < 2 || id >= w.limit {
		fault(KindPage, "not in the file, which has pages 2 to %d", int64(w.limit)-1)
		return
	}
	// A page that was reached is not walked again, so that loops end.
	if w.seen.has(id) {
		fault(KindReference, "reached a second time")
		return
	}
	if depth == maxDepth {
		fault(KindPage, "tree is too deep")
		return
	}
	if w.level == 0 {
		w.c = w.db.cursor()
		defer func() {
			w.db.release(w.c)
			w.c = nil
		}()
	}
	var p page
	w.work++
	reason, err := w.db.load(&p, id, w.c.frame(w.level).buf)
	if err != nil || reason != "" {
		w.seen.set(id) // it is reached, and no page that was forgotten
	}
	if w.reached != nil {
		w.reached(b, &p, r, err == nil && reason == "")
	}
	if err != nil {
		w.reportErr(id, b, err, &r)
		return
	}
	if reason != "" {
		fault(KindPage, "%s", reason)
		return
	}
	w.c.frame(w.level).buf = p.buf
	w.level++
	w.claim(b, &p, r)
	if p.leaf {
		w.leaf(b, &p, r)
	} else {
		w.branch(b, &p, depth, r)
	}
	w.level--
}

// claim marks the page and its overflow as reached.
func (w *walker) claim(b *Bucket, p *page, r Range) {
	end := p.id + uint64(p.size/w.db.pageSize)
	if end > w.limit {
		w.report(Fault{Page: p.id, Path: b.path(), Kind: KindPage, Lost: &r, Text: fmt.Sprintf("overflow runs to page %d, the file has pages 2 to %d", end-1, int64(w.limit)-1)})
	}
	for id := p.id; id < end; id++ {
		if w.seen.has(id) {
			w.report(Fault{Page: id, Path: b.path(), Kind: KindReference, Lost: &r, Text: fmt.Sprintf("reached a second time, as overflow of page %d", p.id)})
		}
		if w.free.has(id) {
			w.report(Fault{Page: id, Path: b.path(), Kind: KindFreelist, Text: "in use, and in the list of free pages"})
		}
		w.seen.set(id)
	}
}

// key returns key i of p, checked to lie behind the element before, in r, and
// above last. The returned end is for the next call.
func (w *walker) key(b *Bucket, p *page, i int, end int64, last []byte, r Range) (k []byte, e elem, ok bool) {
	fault := func(kind Kind, format string, args ...any) {
		w.report(Fault{Page: p.id, Path: b.path(), Kind: kind, Text: fmt.Sprintf(format, args...)})
	}
	e, ok = p.elem(i)
	if !ok {
		fault(KindPage, "element %d does not lie inside the page", i)
		return nil, e, false
	}
	if e.key < end {
		fault(KindPage, "element %d lies over the one before", i)
		return nil, e, false
	}
	k, err := w.db.bytes(p, e.key, e.ksize)
	if err != nil {
		w.reportErr(p.id, b, err, nil)
		return nil, e, false
	}
	switch {
	case len(k) == 0 && p.leaf:
		fault(KindPage, "key %d is empty", i)
	case i > 0 && bytes.Compare(k, last) <= 0:
		fault(KindOrder, "key %d, %s, is not above the one before, %s", i, names.Key(k), names.Key(last))
	case i == 0 && bytes.Compare(k, r.From) < 0:
		fault(KindOrder, "first key, %s, is below that of the branch, %s", names.Key(k), names.Key(r.From))
	case len(r.To) > 0 && bytes.Compare(k, r.To) >= 0:
		fault(KindOrder, "key %d, %s, is not below the next of the branch, %s", i, names.Key(k), names.Key(r.To))
	}
	return k, e, true
}

func (w *walker) branch(b *Bucket, p *page, depth int, r Range) {
	var end int64
	var last []byte
	for i := 0; i < p.count && !w.stop; i++ {
		k, e, ok := w.key(b, p, i, end, last, r)
		if !ok {
			continue
		}
		end, last = e.key+e.ksize, k
		sub := Range{From: k, To: r.To}
		if i+1 < p.count {
			if next, ok := p.branchElem(i + 1); ok {
				if k, err := w.db.bytes(p, next.key, next.ksize); err == nil {
					sub.To = k
				}
			}
		}
		w.page(b, e.child, depth+1, sub)
	}
}

func (w *walker) leaf(b *Bucket, p *page, r Range) {
	var end int64
	var last []byte
	for i := 0; i < p.count && !w.stop; i++ {
		k, e, ok := w.key(b, p, i, end, last, r)
		if !ok {
			continue
		}
		end, last = e.key+e.ksize+e.vsize, k
		it := b.item(p, k, e)
		if w.visit != nil {
			w.visit(it)
		}
		if !it.IsBucket() {
			continue
		}
		sub, err := it.Bucket()
		if err != nil {
			w.reportErr(p.id, b, err, nil)
			continue
		}
		w.bucket(sub)
	}
}
