package boltview

import "iter"

// TreePage is a page that a tree reaches.
type TreePage struct {
	ID    uint64
	Pages uint64   // that it has, with its overflow
	Leaf  bool     // a leaf, else a branch
	Count int      // elements; -1 if the page is damaged
	Path  [][]byte // keys of the buckets that it belongs to, from the outermost inwards
	Keys  Range    // of that bucket, which the branches above give to the page
}

// TreePages returns the pages of the tree that is shown, those of its buckets
// included, each once: first a page, then what hangs from it. It tells what a
// damaged page held, as far as the pages above it know. Inline buckets are part
// of the page of the bucket they are in.
func (db *DB) TreePages() iter.Seq[TreePage] {
	return func(yield func(TreePage) bool) {
		w := newWalker(db, func(Fault) bool { return true })
		w.reached = func(b *Bucket, p *page, r Range, sound bool) {
			if w.stop {
				return
			}
			t := TreePage{ID: p.id, Pages: 1, Count: -1, Path: b.Path(), Keys: r}
			if sound {
				t.Pages, t.Leaf, t.Count = uint64(p.size/db.pageSize), p.leaf, p.count
			}
			w.stop = !yield(t)
		}
		w.bucket(db.root)
	}
}
