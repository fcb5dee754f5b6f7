package boltview_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// same fails unless b holds what bbolt says: each key and value by iteration
// and by lookup, buckets with their sequences, all the way down.
func same(t *testing.T, path string, b *boltview.Bucket, want *bbolt.Bucket) {
	t.Helper()
	c := want.Cursor()
	k, v := c.First()
	n := 0
	for it, err := range b.All() {
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if k == nil {
			t.Fatalf("%s: key %q is too much", path, it.Key)
		}
		if !bytes.Equal(it.Key, k) {
			t.Fatalf("%s: key %q, want %q", path, it.Key, k)
		}
		if it.IsBucket() != (v == nil) {
			t.Fatalf("%s: %q: IsBucket %v", path, k, it.IsBucket())
		}
		if v == nil {
			sub, err := it.Bucket()
			if err != nil {
				t.Fatalf("%s: %q: %v", path, k, err)
			}
			wantSub := want.Bucket(k)
			if got, want := sub.Sequence(), wantSub.Sequence(); got != want {
				t.Fatalf("%s: %q: sequence %d, want %d", path, k, got, want)
			}
			same(t, fmt.Sprintf("%s/%.20q", path, k), sub, wantSub)
			if _, err := b.Get(k); !errors.Is(err, boltview.ErrIsBucket) {
				t.Fatalf("%s: Get of bucket %q: %v", path, k, err)
			}
			if _, err := it.Value(); !errors.Is(err, boltview.ErrIsBucket) {
				t.Fatalf("%s: Value of bucket %q: %v", path, k, err)
			}
		} else {
			sameValue(t, path, b, it, v)
		}
		k, v = c.Next()
		n++
	}
	if k != nil {
		t.Fatalf("%s: ends after %d keys before %q", path, n, k)
	}
}

func sameValue(t *testing.T, path string, b *boltview.Bucket, it boltview.Item, want []byte) {
	t.Helper()
	if it.Size() != int64(len(want)) {
		t.Fatalf("%s: %q: size %d, want %d", path, it.Key, it.Size(), len(want))
	}
	if got, err := it.Value(); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s: %q: wrong value, %v", path, it.Key, err)
	}
	if got, err := io.ReadAll(it.Open()); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s: %q: wrong value through Open, %v", path, it.Key, err)
	}
	if got, err := b.Get(it.Key); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s: %q: wrong value from Get, %v", path, it.Key, err)
	}
	if _, err := b.Bucket(it.Key); !errors.Is(err, boltview.ErrNotBucket) {
		t.Fatalf("%s: Bucket of value %q: %v", path, it.Key, err)
	}
}

// sameRoot is [same] for the whole file. bbolt has no bucket that stands for
// the root, but its cursor does.
func sameRoot(t *testing.T, db *boltview.DB, oracle *bbolt.DB) {
	t.Helper()
	err := oracle.View(func(tx *bbolt.Tx) error {
		c := tx.Cursor()
		same(t, ".", db.Root(), c.Bucket())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWalk(t *testing.T) {
	for _, s := range []shape{
		{pageSize: 1024, txs: 8, ops: 400, depth: 10, maxKey: 600, maxVal: 5000, deletes: true},
		{pageSize: 4096, txs: 1, ops: 1, depth: 0, maxKey: 10, maxVal: 10},
		{pageSize: 4096, txs: 12, ops: 500, depth: 3, maxKey: 32768, maxVal: 300 << 10, deletes: true},
		{pageSize: 4096, txs: 3, ops: 2000, depth: 0, maxKey: 40, maxVal: 200},
		{pageSize: 16384, txs: 6, ops: 400, depth: 4, maxKey: 32768, maxVal: 1 << 20, deletes: true},
		{pageSize: 65536, txs: 6, ops: 200, depth: 2, maxKey: 2000, maxVal: 1 << 20, deletes: true},
	} {
		t.Run(fmt.Sprintf("page%d-depth%d", s.pageSize, s.depth), func(t *testing.T) {
			oracle := randomFile(t, newRand(t, 0), s)
			db := openBytes(t, contents(t, oracle))
			if got := db.Info().PageSize; got != s.pageSize {
				t.Errorf("page size %d, want %d", got, s.pageSize)
			}
			if d := db.Info().Damage; len(d) > 0 {
				t.Errorf("damage in a sound file: %q", d)
			}
			sameRoot(t, db, oracle)
		})
	}
}

// TestFrom seeks to keys that are there, and to those just before and after.
func TestFrom(t *testing.T) {
	oracle := create(t, 1024)
	update(t, oracle, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err != nil {
			return err
		}
		for i := range 3000 {
			if err := b.Put(fmt.Appendf(nil, "%05d", i*2), []byte{1}); err != nil {
				return err
			}
		}
		return nil
	})
	b, err := openBytes(t, contents(t, oracle)).Root().Bucket([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6002 {
		key := fmt.Appendf(nil, "%05d", i)
		want := (i + 1) / 2 * 2
		found := false
		for it, err := range b.From(key) {
			if err != nil {
				t.Fatal(err)
			}
			if got := string(it.Key); got != fmt.Sprintf("%05d", want) {
				t.Fatalf("From(%s) starts at %s, want %05d", key, got, want)
			}
			found = true
			break
		}
		if found != (want < 6000) {
			t.Fatalf("From(%s): found %v", key, found)
		}
		if _, err := b.Get(key); (err == nil) != (i%2 == 0 && i < 6000) {
			t.Fatalf("Get(%s): %v", key, err)
		}
	}
	var keys []string
	for it, err := range b.From([]byte("05990")) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(it.Key))
	}
	if want := []string{"05990", "05992", "05994", "05996", "05998"}; !slices.Equal(keys, want) {
		t.Errorf("tail %q, want %q", keys, want)
	}
	for _, key := range []string{"", "zz", "00000x"} {
		if _, err := b.Get([]byte(key)); !errors.Is(err, boltview.ErrNotFound) {
			t.Errorf("Get(%q): %v", key, err)
		}
	}
}

// counter counts what is read through it.
type counter struct {
	r io.ReaderAt
	n int64
}

func (c *counter) ReadAt(b []byte, off int64) (int, error) {
	c.n += int64(len(b))
	return c.r.ReadAt(b, off)
}

// TestLazy holds that opening and single lookups read a few pages, and that a
// big value is read only where it is asked for.
func TestLazy(t *testing.T) {
	oracle := create(t, 4096)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	update(t, oracle, func(tx *bbolt.Tx) error {
		for i := range 20 {
			b, err := tx.CreateBucket(fmt.Appendf(nil, "b%d", i))
			if err != nil {
				return err
			}
			for j := range 1500 {
				if err := b.Put(fmt.Appendf(nil, "key %06d", j), make([]byte, 30)); err != nil {
					return err
				}
			}
		}
		b, err := tx.CreateBucket([]byte("big"))
		if err != nil {
			return err
		}
		return errors.Join(b.Put([]byte("a"), []byte("small")), b.Put([]byte("v"), big), b.Put([]byte("w"), []byte("after")))
	})
	b := contents(t, oracle)
	r := &counter{r: bytes.NewReader(b)}
	db, err := boltview.Open(r, int64(len(b)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range db.Root().All() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 21 || r.n > 4*4096 {
		t.Errorf("listing %d buckets read %d bytes of %d", n, r.n, len(b))
	}
	r.n = 0
	bucket, err := db.Root().Bucket([]byte("big"))
	if err != nil {
		t.Fatal(err)
	}
	it, err := bucket.Item([]byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	var part [16]byte
	if _, err := it.Open().ReadAt(part[:], 9<<20); err != nil {
		t.Fatal(err)
	}
	if string(part[:]) != "0123456789abcdef" || it.Size() != 16<<20 {
		t.Errorf("value of %d bytes has %q inside", it.Size(), part)
	}
	keys := 0
	for _, err := range bucket.All() {
		if err != nil {
			t.Fatal(err)
		}
		keys++
	}
	if keys != 3 || r.n > 300<<10 {
		t.Errorf("%d keys, %d bytes read beside a value of 16 MiB", keys, r.n)
	}
	if v, err := bucket.Get([]byte("w")); err != nil || string(v) != "after" {
		t.Errorf("Get(w) = %q, %v", v, err)
	}
	if v, err := bucket.Get([]byte("v")); err != nil || !bytes.Equal(v, big) {
		t.Errorf("Get(v): %d bytes, %v", len(v), err)
	}
}
