package repair

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/names"
)

// copier writes what a walk finds, in transactions of bounded size.
//
// bbolt gives pages to the buckets of a transaction in the order of a map. So
// that the same tree makes the same file, a transaction has at most one bucket,
// and those above it, that needs pages: small ones, which are kept in their
// parents, may come along.
type copier struct {
	ctx    context.Context
	out    *bolt.DB
	batch  int64
	omit   func(boltview.Node) bool
	report Report
	sum    digest
	last   [][]byte // for each level of buckets, the highest key so far

	tx      *bolt.Tx
	pending int64            // bytes in tx
	in      *boltview.Bucket // that bucket is a copy of
	bucket  *bolt.Bucket     // in tx; nil for the root
	big     *boltview.Bucket // the bucket with pages that tx is about
}

// errNowhere is returned when the bucket that a key goes into was lost.
var errNowhere = errors.New("the bucket was lost")

// copy writes the tree of db.
func (c *copier) copy(db *boltview.DB) (err error) {
	defer func() {
		if c.tx != nil {
			err = errors.Join(err, c.tx.Rollback())
		}
	}()
	for n, err := range db.Root().Walk(nil) {
		if cerr := context.Cause(c.ctx); cerr != nil {
			return cerr
		}
		switch {
		case errors.Is(err, boltview.ErrCorrupt):
			c.lose(err.Error())
			continue
		case err != nil:
			return err
		}
		if c.omit != nil && c.omit(n) {
			continue
		}
		if err := c.node(n); err != nil {
			return fmt.Errorf("bucket %s, key %s: %w", shown(n.In), names.Key(n.Key), err)
		}
	}
	return c.commit()
}

func (c *copier) lose(text string) {
	c.report.Losses++
	if len(c.report.Lost) < maxLost {
		c.report.Lost = append(c.report.Lost, text)
	}
}

// shown returns the path of a bucket as in the mount.
func shown(b *boltview.Bucket) string {
	var elems []string
	for _, key := range b.Path() {
		elems = append(elems, names.Key(key))
	}
	if elems == nil {
		return "."
	}
	return strings.Join(elems, "/")
}

// node writes one key.
func (c *copier) node(n boltview.Node) error {
	var value []byte
	if n.Bucket == nil {
		var err error
		if value, err = n.Value(); err != nil {
			return err
		}
	}
	// What bbolt has no way to write is no more than damage makes.
	switch {
	case len(n.Key) == 0:
		c.lose(fmt.Sprintf("bucket %s: an empty key", shown(n.In)))
		return nil
	case n.Bucket == nil && n.Depth == 0:
		c.lose(fmt.Sprintf("bucket .: key %s holds a value, where a file has only buckets", names.Key(n.Key)))
		return nil
	}
	into, err := c.enter(n)
	if err == nil {
		err = c.unique(into, n)
	}
	switch {
	case err != nil:
	case n.Bucket != nil:
		err = c.create(into, n)
	default:
		// bbolt keeps the value until the transaction ends, the key it copies.
		err = into.Put(n.Key, bytes.Clone(value))
	}
	if errors.Is(err, errNowhere) || errors.Is(err, bolterrors.ErrIncompatibleValue) || errors.Is(err, bolterrors.ErrBucketExists) {
		c.lose(fmt.Sprintf("bucket %s, key %s: %v", shown(n.In), names.Key(n.Key), err))
		return nil
	}
	if err != nil {
		return err
	}
	size := int64(len(n.Key) + len(value))
	c.pending += size
	c.report.Bytes += size
	if n.Bucket != nil {
		c.report.Buckets++
	} else {
		c.report.Keys++
	}
	c.sum.add(n, value)
	return nil
}

// unique makes sure that the key of n was not written before. In a sound tree
// keys ascend, and nothing is asked.
func (c *copier) unique(into *bolt.Bucket, n boltview.Node) error {
	for len(c.last) <= n.Depth+1 {
		c.last = append(c.last, nil)
	}
	c.last[n.Depth+1] = c.last[n.Depth+1][:0] // of a bucket that n may hold
	if last := c.last[n.Depth]; bytes.Compare(n.Key, last) > 0 {
		c.last[n.Depth] = append(last[:0], n.Key...)
		return nil
	}
	there := false
	if into == nil {
		there = c.tx.Bucket(n.Key) != nil
	} else {
		there = into.Bucket(n.Key) != nil || into.Get(n.Key) != nil
	}
	if there {
		return bolterrors.ErrBucketExists
	}
	return nil
}

// create makes the bucket that n holds.
func (c *copier) create(into *bolt.Bucket, n boltview.Node) error {
	var sub *bolt.Bucket
	var err error
	if into == nil {
		sub, err = c.tx.CreateBucket(n.Key)
	} else {
		sub, err = into.CreateBucket(n.Key)
	}
	if err != nil {
		return err
	}
	if seq := n.Bucket.Sequence(); seq != 0 {
		return sub.SetSequence(seq)
	}
	return nil
}

// enter returns the bucket that n goes into, in a transaction that may hold it;
// nil for the root.
func (c *copier) enter(n boltview.Node) (*bolt.Bucket, error) {
	// A bucket with pages is alone with those above it.
	other := n.In.Page() != 0 && n.In != c.big
	if c.tx != nil && (c.pending >= c.batch || other && c.pending > 0) {
		if err := c.commit(); err != nil {
			return nil, err
		}
	}
	if c.tx == nil {
		var err error
		if c.tx, err = c.out.Begin(true); err != nil {
			return nil, err
		}
		c.in = nil
	}
	if n.In.Page() != 0 {
		c.big = n.In
	}
	if c.in == n.In {
		return c.bucket, nil
	}
	var b *bolt.Bucket
	for i, key := range n.In.Path() {
		if i == 0 {
			b = c.tx.Bucket(key)
		} else {
			b = b.Bucket(key)
		}
		if b == nil {
			return nil, errNowhere
		}
		b.FillPercent = 0.9 // keys come in order
	}
	c.in, c.bucket = n.In, b
	return b, nil
}

func (c *copier) commit() error {
	if c.tx == nil {
		return nil
	}
	tx := c.tx
	c.tx, c.in, c.bucket, c.big, c.pending = nil, nil, nil, nil, 0
	return tx.Commit()
}

// digest is a sum over all that a tree holds, in any order.
type digest [4]uint64

func (d *digest) add(n boltview.Node, value []byte) {
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	for _, key := range n.In.Path() {
		part(key)
	}
	part(nil) // no key is empty
	part(n.Key)
	if n.Bucket != nil {
		h.Write(binary.LittleEndian.AppendUint64([]byte{1}, n.Bucket.Sequence()))
	} else {
		part(value)
	}
	sum := h.Sum(nil)
	for i := range d {
		d[i] += binary.LittleEndian.Uint64(sum[i*8:])
	}
}
