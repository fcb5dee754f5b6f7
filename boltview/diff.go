package boltview

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"iter"
)

// Change is a key that two buckets do not have alike. What a Node has of its
// Item is valid until the next step.
type Change struct {
	Old, New *Node // nil if the key is not there
}

// Diff returns the keys that differ between two buckets, and between the buckets
// in them, in the order of the keys. A bucket that only one side has comes before
// all that is in it; one that both have is no change by itself, unless the other
// holds a value: then both sides follow.
//
// Leaves that are the same to the byte are passed over. That cannot be said of
// branches: Bolt uses free pages again, so that what hangs on one may be new
// though its number is not.
//
// Errors come without a node, and a loop can go on after them: what could not
// be read then looks as if it were not there. The files are bounded as in
// [Bucket.Walk]. The end of ctx is the last error: it may take long before
// something differs.
func Diff(ctx context.Context, a, b *Bucket) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		d := differ{ctx: ctx, yield: yield}
		for i, root := range [2]*Bucket{a, b} {
			d.sides[i] = treeWalk{seen: newBitmap(root.db.pages), left: 4 * root.db.size}
			d.sides[i].enter(root)
			d.sides[i].yield = func(n Node, err error) bool { return d.emit(i, n, err) }
		}
		d.buckets(a, b, 0)
	}
}

// differ is one Diff. Sides are numbered 0 for the old, 1 for the new.
type differ struct {
	ctx   context.Context
	steps int
	sides [2]treeWalk
	yield func(Change, error) bool
}

// emit tells of a node that one side has.
func (d *differ) emit(side int, n Node, err error) bool {
	switch {
	case err != nil:
		return d.yield(Change{}, err)
	case side == 0:
		return d.yield(Change{Old: &n}, nil)
	}
	return d.yield(Change{New: &n}, nil)
}

// peeked is a cursor with the item that it will give next.
type peeked struct {
	cursor
	it   Item
	have bool
}

// peek makes sure that there is an item, or that the end is reached.
func (p *peeked) peek() (more bool, err error) {
	if p.have {
		return true, nil
	}
	p.it, p.have, err = p.next()
	return p.have, err
}

// atLeaf returns the leaf that the cursor is about to begin, nil if it is
// somewhere else. It may go on to the next page.
func (p *peeked) atLeaf() (*frame, error) {
	if p.have {
		return nil, nil
	}
	ok, err := p.valid()
	if !ok || err != nil {
		return nil, err
	}
	f := &p.stack[p.depth-1]
	if f.i != 0 || p.b.inline.buf != nil || int64(len(f.page.buf)) != f.page.size {
		return nil, nil
	}
	return f, nil
}

// sameLeaf reports whether two leaves hold the same keys and values, and no
// buckets, which may lie on other pages.
func sameLeaf(a, b *page) bool {
	// The number of the page is all that may differ.
	if a.count != b.count || !bytes.Equal(a.buf[8:], b.buf[8:]) {
		return false
	}
	for i := range a.count {
		if binary.LittleEndian.Uint32(a.buf[headerSize+elemSize*i:])&flagBucket != 0 {
			return false
		}
	}
	return true
}

// buckets compares two buckets. It returns false if the loop has ended.
func (d *differ) buckets(a, b *Bucket, depth int) bool {
	var x, y peeked
	for _, s := range []struct {
		p *peeked
		b *Bucket
	}{{&x, a}, {&y, b}} {
		if _, err := s.p.seek(s.b, nil); err != nil && !d.yield(Change{}, err) {
			return false
		}
	}
	for {
		if d.steps++; d.steps&255 == 0 && d.ctx.Err() != nil {
			d.yield(Change{}, d.ctx.Err())
			return false
		}
		same, err := d.pass(&x, &y)
		if same {
			continue
		}
		var moreX, moreY bool
		if err == nil {
			moreX, err = x.peek()
		}
		if err == nil {
			moreY, err = y.peek()
		}
		if err != nil {
			// What is no damage of a page is met again at the next one.
			if !d.yield(Change{}, err) || !errors.Is(err, ErrCorrupt) {
				return false
			}
			continue
		}
		if !moreX && !moreY {
			return true
		}
		order := -1
		if !moreX {
			order = 1
		} else if moreY {
			order = bytes.Compare(x.it.Key, y.it.Key)
		}
		ok := true
		switch {
		case order < 0:
			ok = d.one(0, a, x.it, depth)
		case order > 0:
			ok = d.one(1, b, y.it, depth)
		default:
			ok = d.both(a, b, x.it, y.it, depth)
		}
		if !ok {
			return false
		}
		if order <= 0 {
			x.have = false
		}
		if order >= 0 {
			y.have = false
		}
	}
}

// pass steps over the leaves that both are about to begin, if they are the same.
func (d *differ) pass(x, y *peeked) (bool, error) {
	f, err := x.atLeaf()
	if f == nil || err != nil {
		return false, err
	}
	g, err := y.atLeaf()
	if g == nil || err != nil || !sameLeaf(&f.page, &g.page) {
		return false, err
	}
	f.i, g.i = f.page.count, g.page.count
	return true, nil
}

// spend takes the bytes of an item from what a side may hold.
func (d *differ) spend(side int, b *Bucket, it *Item) bool {
	w := &d.sides[side]
	if w.left -= elemSize + int64(len(it.Key)) + it.Size(); w.left < 0 {
		d.yield(Change{}, b.fault(b.root, "buckets hold more than the file has"))
		return false
	}
	return true
}

// open returns the bucket in an item that was not entered before.
func (d *differ) open(side int, it *Item) (*Bucket, error) {
	sub, err := it.Bucket()
	if err == nil && !d.sides[side].enter(sub) {
		err = sub.fault(sub.root, "reached a second time")
	}
	return sub, err
}

// one tells of an item that one side has, and of all that is in it.
func (d *differ) one(side int, in *Bucket, it Item, depth int) bool {
	if !d.spend(side, in, &it) {
		return false
	}
	n := Node{In: in, Depth: depth, Item: it}
	if !it.IsBucket() {
		return d.emit(side, n, nil)
	}
	sub, err := d.open(side, &it)
	if err != nil {
		return d.yield(Change{}, err)
	}
	n.Bucket = sub
	return d.emit(side, n, nil) && d.sides[side].bucket(sub, depth+1, nil)
}

// both compares what two sides have under one key.
func (d *differ) both(a, b *Bucket, x, y Item, depth int) bool {
	if x.IsBucket() != y.IsBucket() {
		return d.one(0, a, x, depth) && d.one(1, b, y, depth)
	}
	if !d.spend(0, a, &x) || !d.spend(1, b, &y) {
		return false
	}
	if x.IsBucket() {
		sub, err := d.open(0, &x)
		other, err2 := d.open(1, &y)
		if err = errors.Join(err, err2); err != nil {
			return d.yield(Change{}, err)
		}
		return d.buckets(sub, other, depth+1)
	}
	same := x.Size() == y.Size()
	if same {
		v, err := x.Value()
		w, err2 := y.Value()
		if err = errors.Join(err, err2); err != nil {
			return d.yield(Change{}, err)
		}
		same = bytes.Equal(v, w)
	}
	return same || d.yield(Change{Old: &Node{In: a, Depth: depth, Item: x}, New: &Node{In: b, Depth: depth, Item: y}}, nil)
}
