package boltview

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/internal/names"
)

// bucketHeader is the length of a bucket's value, without an inline page.
const bucketHeader = 16

// maxNesting is how deep buckets may lie in each other. Bolt has no bound;
// paths in a file system have one that is not much higher.
const maxNesting = 1000

// Bucket is a bucket of a [DB]: keys in byte order, each with a value or
// another bucket.
type Bucket struct {
	db     *DB
	parent *Bucket // nil for the root
	depth  int     // buckets above
	label  string  // path of a root that is not that of the tree
	name   []byte
	root   uint64 // page; 0 if inline
	seq    uint64
	inline page
}

// Sequence returns the bucket's counter, from which programs take numbers for
// their keys.
func (b *Bucket) Sequence() uint64 { return b.seq }

// Page returns the number of the bucket's root page, 0 if the bucket is inline.
func (b *Bucket) Page() uint64 { return b.root }

// Name returns the bucket's key in its parent; it is empty for the root.
func (b *Bucket) Name() []byte { return slices.Clone(b.name) }

// path returns the bucket's place in the tree of [DB.FS].
func (b *Bucket) path() string {
	if b.parent == nil && b.label == "" {
		return "."
	}
	var elems []string
	for ; b.parent != nil; b = b.parent {
		elems = append(elems, names.Key(b.name))
	}
	if b.label != "" {
		elems = append(elems, b.label)
	}
	slices.Reverse(elems)
	return strings.Join(elems, "/")
}

func (b *Bucket) fault(page uint64, reason string) error {
	return &PageError{Page: page, Path: b.path(), Reason: reason}
}

// Bucket returns the bucket at key name. Errors: [ErrNotFound], [ErrNotBucket],
// [ErrCorrupt], or what reading returned.
func (b *Bucket) Bucket(name []byte) (sub *Bucket, err error) {
	err = b.lookup(name, func(it Item) (err error) {
		sub, err = it.Bucket()
		return err
	})
	if err != nil {
		return nil, err
	}
	return sub, nil
}

// Get returns the value of key, in memory of its own. Errors: [ErrNotFound],
// [ErrIsBucket], [ErrCorrupt], or what reading returned.
func (b *Bucket) Get(key []byte) (v []byte, err error) {
	err = b.lookup(key, func(it Item) (err error) {
		lent, err := it.Value()
		if v = lent; it.mem() != nil {
			v = append(make([]byte, 0, len(lent)), lent...)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Item returns what key holds, without reading the value. It stays valid.
// Errors: [ErrNotFound], [ErrCorrupt], or what reading returned.
func (b *Bucket) Item(key []byte) (item Item, err error) {
	err = b.lookup(key, func(it Item) error {
		item = it.Clone()
		return nil
	})
	return item, err
}

// lookup calls do with the item at key. Its bytes are valid only until do
// returns: they may lie in mapped memory.
func (b *Bucket) lookup(key []byte, do func(Item) error) error {
	c := b.db.cursor()
	defer b.db.release(c)
	if b.db.mem == nil || b.inline.buf != nil {
		return c.lookup(b, key, do)
	}
	c.raw = b.db.mem
	return b.db.mapping.guard(func() error { return c.lookup(b, key, do) })
}

func (c *cursor) lookup(b *Bucket, key []byte, do func(Item) error) error {
	equal, err := c.seek(b, key)
	if err == nil && len(key) == 0 {
		equal, err = c.empty()
	}
	if err != nil {
		return err
	}
	if !equal {
		return ErrNotFound
	}
	it, err := c.item()
	if err != nil {
		return err
	}
	return do(it)
}

// empty reports whether the cursor stands on the empty key, which Bolt never
// writes but a damaged file may have.
func (c *cursor) empty() (bool, error) {
	ok, err := c.valid()
	if !ok || err != nil {
		return false, err
	}
	it, err := c.item()
	return err == nil && len(it.Key) == 0, err
}

// All returns the bucket's items in the order of their keys; see [Bucket.From].
func (b *Bucket) All() iter.Seq2[Item, error] { return b.From(nil) }

// From returns the bucket's items from the first whose key is not below key,
// in order. The bytes of an item are valid until the next step. An error comes
// with an empty item: [ErrCorrupt], or what reading returned. A loop that goes on
// after it gets the items behind the damage; one that wants all must not.
func (b *Bucket) From(key []byte) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		c := b.db.cursor()
		if _, err := c.seek(b, key); err != nil && !yield(Item{}, err) {
			return
		}
		for {
			it, ok, err := c.next()
			if err == nil && !ok {
				b.db.release(c)
				return
			}
			// A loop that is left early may go on using its last item: the
			// cursor is not put back then.
			if !yield(it, err) || err == nil && !c.rest(yield) {
				return
			}
		}
	}
}

// Count returns the number of keys in the bucket, those of buckets inside not
// counted. It reads the bucket's pages, but no keys.
func (b *Bucket) Count() (int64, error) {
	c := b.db.cursor()
	defer b.db.release(c)
	if _, err := c.seek(b, nil); err != nil {
		return 0, err
	}
	return c.count()
}

// Item is a key of a bucket and what it holds.
type Item struct {
	Key []byte // only lent, see the method that returned the item

	// The fields below fit, with the key and an error, into registers: a scan
	// passes an item on for each key.
	b    *Bucket // that holds the key
	page *page   // whose memory may have the value; nil if it is to be read
	pos  int64   // of the value in page; without one, in the file
	size uint64  // of the value, and itemBucket
}

// itemBucket in an item's size says that the key holds a bucket.
const itemBucket = 1 << 63

// IsBucket reports whether the key holds a bucket.
func (it *Item) IsBucket() bool { return it.size&itemBucket != 0 }

// Size returns the length of the value in bytes.
func (it *Item) Size() int64 { return int64(it.size &^ itemBucket) }

// Offset returns where in the file the value starts.
func (it *Item) Offset() int64 {
	if it.page != nil {
		return it.page.off + it.pos
	}
	return it.pos
}

// Value returns the value, reading it if need be; it is lent as Key is.
// A bucket has no value: [ErrIsBucket].
func (it *Item) Value() ([]byte, error) {
	if !it.IsBucket() {
		if v := it.mem(); v != nil {
			return v, nil
		}
	}
	return it.value()
}

func (it *Item) value() ([]byte, error) {
	if it.IsBucket() {
		return nil, ErrIsBucket
	}
	return it.bytes()
}

// mem returns the value, or the header of the bucket, if it is in memory; else
// nil.
func (it *Item) mem() []byte {
	if it.page == nil {
		return nil
	}
	end := it.pos + it.Size()
	if end > int64(len(it.page.buf)) {
		return nil
	}
	return it.page.buf[it.pos:end:end]
}

// bytes is mem, or reads.
func (it *Item) bytes() ([]byte, error) {
	if v := it.mem(); v != nil {
		return v, nil
	}
	v := make([]byte, it.Size())
	if _, err := readFull(it.b.db.r, v, it.Offset()); err != nil {
		return nil, fmt.Errorf("read bolt value at %d: %w", it.Offset(), err)
	}
	return v, nil
}

// Open returns a reader of the value, which reads from the file as it goes and
// stays valid.
func (it *Item) Open() *io.SectionReader {
	return io.NewSectionReader(it.b.db.r, it.Offset(), it.Size())
}

// Clone returns the item with memory of its own; a value that is in memory is
// left behind, and read again when asked for.
func (it *Item) Clone() Item {
	return Item{Key: bytes.Clone(it.Key), b: it.b, pos: it.Offset(), size: it.size}
}

// Bucket returns the bucket that the key holds, which stays valid. Errors:
// [ErrNotBucket], [ErrCorrupt], or what reading returned.
func (it *Item) Bucket() (*Bucket, error) {
	if !it.IsBucket() {
		return nil, ErrNotBucket
	}
	parent := it.b
	b := &Bucket{db: parent.db, parent: parent, depth: parent.depth + 1}
	if b.depth > maxNesting {
		b.name = bytes.Clone(it.Key)
		return nil, b.fault(parent.root, "buckets are nested too deep")
	}
	size := it.Size()
	if size < bucketHeader {
		b.name = bytes.Clone(it.Key)
		return nil, b.fault(parent.root, fmt.Sprintf("bucket header has %d bytes", size))
	}
	if size > bucketHeader+maxPageSize && it.mem() == nil {
		// Only an inline bucket is longer than its header, and those are small.
		it = &Item{b: it.b, Key: it.Key, pos: it.Offset(), size: itemBucket | bucketHeader}
	}
	v, err := it.bytes()
	if err != nil {
		return nil, err
	}
	b.root = binary.LittleEndian.Uint64(v)
	b.seq = binary.LittleEndian.Uint64(v[8:])
	if b.root != 0 {
		b.name = bytes.Clone(it.Key)
		for a := parent; a != nil; a = a.parent {
			if a.root == b.root {
				return nil, b.fault(b.root, "bucket holds itself")
			}
		}
		return b, nil
	}
	// Name and page share one piece of memory.
	buf := append(append(make([]byte, 0, len(v)-bucketHeader+len(it.Key)), v[bucketHeader:]...), it.Key...)
	n := len(v) - bucketHeader
	b.name = buf[n:]
	p := page{off: it.Offset() + bucketHeader, size: int64(n), buf: buf[:n:n]}
	if n < headerSize {
		return nil, b.fault(0, fmt.Sprintf("inline bucket of %d bytes", n))
	}
	if reason := p.parseHeader(p.buf, p.size, p.size); reason != "" {
		return nil, b.fault(0, "inline bucket: "+reason)
	}
	if !p.leaf {
		return nil, b.fault(0, "inline bucket is not a leaf")
	}
	b.inline = p
	return b, nil
}
