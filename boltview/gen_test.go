package boltview_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// shape says what randomFile writes.
type shape struct {
	pageSize int
	txs      int // transactions
	ops      int // per transaction
	depth    int // of nested buckets
	maxKey   int // bytes
	maxVal   int // bytes
	deletes  bool
}

// newRand returns a source of random numbers and logs how to get it again.
func newRand(t testing.TB, seed uint64) *rand.Rand {
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

func createIn(dir string, pageSize int) (*bbolt.DB, error) {
	return bbolt.Open(filepath.Join(dir, "bolt.db"), 0o600, &bbolt.Options{
		PageSize: pageSize, NoSync: true, NoGrowSync: true, Timeout: time.Second,
		// A file that outgrows its map waits for open transactions to end.
		InitialMmapSize: 32 << 20,
	})
}

func create(t testing.TB, pageSize int) *bbolt.DB {
	t.Helper()
	db, err := createIn(t.TempDir(), pageSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func update(t testing.TB, db *bbolt.DB, f func(tx *bbolt.Tx) error) {
	t.Helper()
	if err := db.Update(f); err != nil {
		t.Fatal(err)
	}
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		// fstest.TestFS allows no backslash in a name.
		if b[i] = byte(r.Uint32()); b[i] == '\\' {
			b[i]++
		}
	}
	return b
}

// randomKey makes short keys often, so that puts and deletes meet again, and
// long ones now and then.
func randomKey(r *rand.Rand, most int) []byte {
	switch r.IntN(12) {
	case 0:
		return randomBytes(r, 1+r.IntN(most))
	case 1:
		return append([]byte("."), randomBytes(r, 3)...)
	case 2:
		return append(bytes.Repeat([]byte("long"), 80), byte('a'+r.IntN(9)))
	}
	return fmt.Appendf(nil, "key-%05d", r.IntN(3000))
}

// randomFile writes random buckets through bbolt and returns it, still open.
func randomFile(t testing.TB, r *rand.Rand, s shape) *bbolt.DB {
	t.Helper()
	db := create(t, s.pageSize)
	if err := fill(db, r, s); err != nil {
		t.Fatal(err)
	}
	return db
}

func fill(db *bbolt.DB, r *rand.Rand, s shape) error {
	for range s.txs {
		err := db.Update(func(tx *bbolt.Tx) error {
			for range s.ops {
				b, err := tx.CreateBucketIfNotExists(fmt.Appendf(nil, "top %d", r.IntN(5)))
				if err != nil {
					return err
				}
				for d := r.IntN(s.depth + 1); d > 0; d-- {
					if b, err = b.CreateBucketIfNotExists(fmt.Appendf(nil, "sub%d", r.IntN(3))); err != nil {
						return err
					}
				}
				if err := randomOp(r, b, s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func randomOp(r *rand.Rand, b *bbolt.Bucket, s shape) error {
	if s.deletes && r.IntN(4) == 0 {
		c := b.Cursor()
		k, v := c.Seek(randomKey(r, s.maxKey))
		switch {
		case k == nil:
			return nil
		case v == nil && r.IntN(10) == 0:
			return b.DeleteBucket(k)
		case v == nil:
			return nil
		}
		return c.Delete()
	}
	if r.IntN(9) == 0 {
		return b.SetSequence(r.Uint64())
	}
	n := r.IntN(100)
	if r.IntN(30) == 0 {
		n = r.IntN(s.maxVal + 1)
	}
	return b.Put(randomKey(r, s.maxKey), randomBytes(r, n))
}

// contents returns the bytes of the file under db.
func contents(t testing.TB, db *bbolt.DB) []byte {
	t.Helper()
	b, err := os.ReadFile(db.Path())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openBytes(t testing.TB, b []byte) *boltview.DB {
	t.Helper()
	db, err := boltview.Open(bytes.NewReader(b), int64(len(b)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// fixedFile is [randomFile] for a fixed seed, outside of a test.
func fixedFile(seed uint64, s shape) ([]byte, error) {
	dir, err := os.MkdirTemp("", "boltview")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	db, err := createIn(dir, s.pageSize)
	if err != nil {
		return nil, err
	}
	err = fill(db, rand.New(rand.NewPCG(seed, seed)), s)
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "bolt.db"))
}

func newReader(b []byte) io.ReaderAt { return bytes.NewReader(b) }
