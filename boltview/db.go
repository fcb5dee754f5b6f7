package boltview

import (
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

// Options says how [Open] reads a file. The zero value is right for most.
type Options struct{}

// DB is an open Bolt file. Its methods, and those of the buckets and trees that
// come from it, may be called concurrently. It needs no closing; what it reads
// from must stay open as long as it is used.
type DB struct {
	r        io.ReaderAt
	size     int64
	pageSize int64
	pages    uint64 // whole pages in the file

	metas [2]meta
	used  int // index in metas
	why   string
	root  *Bucket

	// branches keeps branch pages by the low bits of their number. Pages in it
	// are never changed, so that readers share them without a lock.
	branches []atomic.Pointer[page]
	cursors  sync.Pool // of *cursor
	info     func() Info
}

// Open reads the metas of the Bolt file of size bytes in r. r must allow
// concurrent use. It returns [ErrNotBolt] if there is no valid meta.
//
// A file that is shorter than its transaction, or ends within a page, is opened
// all the same; [DB.Info] tells, and what is missing ends in [ErrCorrupt].
func Open(r io.ReaderAt, size int64, opts Options) (*DB, error) {
	metas, pageSize, err := findMetas(r, size)
	if err != nil {
		return nil, err
	}
	db := &DB{
		r:        r,
		size:     size,
		pageSize: pageSize,
		pages:    uint64(size / pageSize),
		metas:    metas,
		branches: make([]atomic.Pointer[page], cacheBytes/pageSize),
	}
	db.cursors.New = func() any { return new(cursor) }
	db.info = sync.OnceValue(db.makeInfo)
	db.choose()
	m := &db.metas[db.used]
	db.root = &Bucket{db: db, root: m.root, seq: m.sequence}
	return db, nil
}

// choose sets the meta to read by: the valid one with the higher txid.
func (db *DB) choose() {
	m0, m1 := &db.metas[0], &db.metas[1]
	switch {
	case m0.ok() && m1.ok():
		if m1.txid > m0.txid {
			db.used = 1
		}
		db.why = fmt.Sprintf("newest: txid %d over %d", db.metas[db.used].txid, db.metas[1-db.used].txid)
	case m1.ok():
		db.used = 1
		db.why = "the other is not valid"
	default:
		db.why = "the other is not valid"
	}
}

// Root returns the bucket that holds all buckets of the file.
func (db *DB) Root() *Bucket { return db.root }
