package boltview

import (
	"errors"
	"iter"
)

// Node is one key of a bucket, or of a bucket inside it.
type Node struct {
	// In is the bucket that holds the key.
	In *Bucket
	// Depth is the number of buckets between the one that is walked and In, In
	// included: 0 for its own keys.
	Depth int
	Item
	// Bucket is what the key holds, if that is a bucket; its keys come next.
	Bucket *Bucket
}

// Walk returns the bucket's items from the first whose key is not below from,
// and behind each bucket what is in it, in the order of the keys. Bytes of an
// item are valid until the next step.
//
// An error comes with the bucket in which it was met, and its depth; what lies
// behind the damage follows. A bucket that cannot be entered is such an error,
// and has been no item before. A file that makes its tree go round in circles,
// or grow beyond what the file can hold, ends the walk in [ErrCorrupt].
func (b *Bucket) Walk(from []byte) iter.Seq2[Node, error] {
	return func(yield func(Node, error) bool) {
		w := treeWalk{seen: newBitmap(b.db.pages), left: 4 * b.db.size, yield: yield}
		w.enter(b)
		w.bucket(b, 0, from)
	}
}

// treeWalk is one [Bucket.Walk].
type treeWalk struct {
	seen  bitmap // root pages of buckets
	left  int64  // bytes that keys and values may still have
	yield func(Node, error) bool
}

// enter reports whether b has not been entered before.
func (w *treeWalk) enter(b *Bucket) bool {
	if b.inline.buf != nil {
		return true
	}
	if w.seen.has(b.root) {
		return false
	}
	w.seen.set(b.root)
	return true
}

// bucket returns false if the walk has ended.
func (w *treeWalk) bucket(b *Bucket, depth int, from []byte) bool {
	for it, err := range b.From(from) {
		if err != nil {
			// What is no damage of a page is met again at the next one.
			if !w.yield(Node{In: b, Depth: depth}, err) || !errors.Is(err, ErrCorrupt) {
				return false
			}
			continue
		}
		// In a sound file a byte is reached twice: in an inline bucket, and in
		// the value that this bucket is.
		if w.left -= elemSize + int64(len(it.Key)) + it.Size(); w.left < 0 {
			w.yield(Node{In: b, Depth: depth}, b.fault(b.root, "buckets hold more than the file has"))
			return false
		}
		if !it.IsBucket() {
			if !w.yield(Node{In: b, Depth: depth, Item: it}, nil) {
				return false
			}
			continue
		}
		sub, err := it.Bucket()
		if err == nil && !w.enter(sub) {
			err = sub.fault(sub.root, "reached a second time")
		}
		if err != nil {
			if !w.yield(Node{In: b, Depth: depth}, err) || !errors.Is(err, ErrCorrupt) {
				return false
			}
			continue
		}
		if !w.yield(Node{In: b, Depth: depth, Item: it, Bucket: sub}, nil) || !w.bucket(sub, depth+1, nil) {
			return false
		}
	}
	return true
}

// Path returns the keys of the buckets from the root down to this one, which is
// the last; the root has none.
func (b *Bucket) Path() [][]byte {
	if b.parent == nil {
		return nil
	}
	return append(b.parent.Path(), b.Name())
}
