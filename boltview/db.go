package boltview

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

const (
	// maxDepth is the most levels that a tree may have. The smallest branch
	// has two elements, so that no honest file comes near it.
	maxDepth = 64

	// maxKeySize is the longest key that Bolt writes.
	maxKeySize = 32768

	// wholeMax is how many bytes of a page with its overflow are read at once.
	// What lies behind is read when it is asked for: a value may have gigabytes.
	wholeMax = 64 << 10

	// cacheBytes bounds the branch pages that a DB keeps.
	cacheBytes = 1 << 20
)

// DB is an open Bolt file. Its methods, and those of the buckets and trees that
// come from it, may be called concurrently. It needs no closing; what it reads
// from must stay open as long as it is used.
type DB struct {
	r        io.ReaderAt
	size     int64
	pageSize int64
	pages    uint64 // whole pages in the file

	// mem is the file in mapped memory, if r comes from a [Mapping]. Only
	// functions that the mapping guards may touch it.
	mapping *Mapping
	mem     []byte

	opts   Options
	metas  [2]meta
	used   int // index in metas; -1 if the tree was found by search
	why    string
	root   *Bucket
	walked bool        // opening had to walk the trees
	cands  []Candidate // opening had to search

	// branches keeps branch pages by the low bits of their number. Pages in it
	// are never changed, so that readers share them without a lock.
	branches   []atomic.Pointer[page]
	cursors    *sync.Pool // of *cursor
	info       func() Info
	classed    func() classed
	candidates func() ([]Candidate, error)
}

// Open reads the metas of the Bolt file of size bytes in r. r must allow
// concurrent use. It returns [ErrNotBolt] if no meta page is there, and
// [ErrCorrupt] if the tree that opts asks for cannot be had.
//
// A file that is shorter than its transaction, or ends within a page, is opened
// all the same; [DB.Info] tells. Opening reads the metas and the first bytes of
// two pages. Only if those say that the file is torn does it read more, see
// [MetaAuto].
func Open(r io.ReaderAt, size int64, opts Options) (*DB, error) {
	metas, pageSize, err := findMetas(r, size)
	if err != nil {
		if !errors.Is(err, ErrNotBolt) || !metas[0].seen && !metas[1].seen && opts.Meta != MetaSalvage {
			return nil, err
		}
		// Both metas are damaged, which leaves a search for roots.
		guess, gerr := guessPageSize(r, size, &metas)
		if gerr != nil {
			return nil, gerr
		}
		if guess == 0 {
			return nil, err
		}
		pageSize = guess
	}
	db := &DB{
		r:        r,
		size:     size,
		pageSize: pageSize,
		pages:    uint64(size / pageSize),
		opts:     opts,
		metas:    metas,
		branches: make([]atomic.Pointer[page], max(1, min(cacheBytes, size)/pageSize)),
	}
	db.mapping, db.mem = mapped(r, size)
	db.cursors = new(sync.Pool)
	if db.mapping != nil {
		db.cursors = &db.mapping.cursors
	}
	db.info = sync.OnceValue(db.makeInfo)
	db.classed = sync.OnceValue(db.classify)
	db.candidates = sync.OnceValues(db.search)
	if err := db.choose(); err != nil {
		return nil, err
	}
	return db, nil
}

// choose sets the tree to show.
func (db *DB) choose() error {
	switch db.opts.Meta {
	case Meta0, Meta1:
		i := int(db.opts.Meta - Meta0)
		if m := &db.metas[i]; !m.ok() {
			return &PageError{Page: uint64(i), Path: ".", Reason: "meta is not valid: " + m.state}
		}
		db.use(i, "asked for")
		return nil
	case MetaSalvage:
		return db.salvage("asked for")
	}
	sign := db.suspicious()
	if sign == "" {
		i := newest(&db.metas)
		if db.metas[1-i].ok() {
			db.use(i, fmt.Sprintf("newest: txid %d over %d", db.metas[i].txid, db.metas[1-i].txid))
		} else {
			db.use(i, fmt.Sprintf("meta %d is not valid: %s", 1-i, db.metas[1-i].state))
		}
		return nil
	}
	c := db.classed()
	db.walked = true
	switch c.class {
	case ClassA, ClassB:
		db.use(c.use, "newest, and its tree is whole")
		return nil
	case ClassC, ClassD:
		db.use(c.use, "the tree of the newer meta is not whole: "+c.fault.String())
		return nil
	}
	err := db.salvage("no meta names a whole tree")
	if c.newest < 0 || err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if err != nil {
		db.use(c.newest, "newest; no whole tree was found")
		return nil
	}
	// In a torn file the tree that was copied is there, and few commits old. In
	// one that was cut, only remains of old trees may be whole, and more is left
	// of the newest than they ever held.
	left := Evidence{Layout: db.cands[0].Layout}
	left.gather(db.bucketAt(db.metas[c.newest].root, 0), false)
	if best := &db.cands[0].Evidence; left.size()/2 > best.size() {
		db.use(c.newest, "newest; though its tree is not whole, it has far more than the best whole tree that was found")
	}
	return nil
}

// use shows the tree of meta i.
func (db *DB) use(i int, why string) {
	db.used, db.why = i, why
	db.root = db.bucketAt(db.metas[i].root, db.metas[i].sequence)
}

// salvage shows the best candidate. [ErrCorrupt] means that there is none.
func (db *DB) salvage(why string) error {
	cands, err := db.candidates()
	if err != nil {
		return err
	}
	if len(cands) == 0 {
		return &PageError{Path: ".", Reason: "no whole tree was found"}
	}
	db.used, db.cands = -1, cands
	db.why = fmt.Sprintf("%s: newest of %d whole trees found by search", why, len(cands))
	db.root = db.bucketAt(cands[0].Page, 0)
	return nil
}

// Root returns the bucket that holds all buckets of the file.
func (db *DB) Root() *Bucket { return db.root }

// Class walks the trees, once, and says how much of the file is whole.
func (db *DB) Class() Class { return db.classed().class }
