package boltview_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// samePages compares the table of pages and the counts of each bucket with
// those of bbolt.
func samePages(t *testing.T, db *boltview.DB, oracle *bbolt.DB) {
	t.Helper()
	err := oracle.View(func(tx *bbolt.Tx) error {
		id := 0
		for got, err := range db.Pages() {
			if err != nil {
				return err
			}
			want, err := tx.Page(id)
			if err != nil || want == nil {
				return fmt.Errorf("page %d is no page of bbolt: %v", id, err)
			}
			if want.Type == "free" {
				want.Count, want.OverflowCount = 0, 0
			}
			if got.ID != uint64(id) || string(got.Type) != want.Type || got.Count != int64(want.Count) || got.Overflow != int64(want.OverflowCount) || got.Damage != "" {
				return fmt.Errorf("page %+v, bbolt says %+v", got, want)
			}
			id += 1 + want.OverflowCount
		}
		if p, _ := tx.Page(id); p != nil {
			t.Errorf("the table ends at page %d, bbolt's does not", id)
		}
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			ours, err := db.Root().Bucket(name)
			if err != nil {
				return err
			}
			got, err := ours.Stats()
			s := b.Stats()
			want := boltview.Stats{
				BranchPages: int64(s.BranchPageN), BranchOverflow: int64(s.BranchOverflowN),
				LeafPages: int64(s.LeafPageN), LeafOverflow: int64(s.LeafOverflowN),
				Keys: int64(s.KeyN), Depth: int64(s.Depth),
				BranchAlloc: int64(s.BranchAlloc), BranchInuse: int64(s.BranchInuse),
				LeafAlloc: int64(s.LeafAlloc), LeafInuse: int64(s.LeafInuse),
				Buckets: int64(s.BucketN), Inline: int64(s.InlineBucketN), InlineInuse: int64(s.InlineBucketInuse),
			}
			if err != nil || got != want {
				return fmt.Errorf("bucket %q: %+v, %v, bbolt says %+v", name, got, err, want)
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}

// sameWalk compares the walk through all buckets with bbolt's order.
func sameWalk(t *testing.T, db *boltview.DB, oracle *bbolt.DB) {
	t.Helper()
	var got, want []string
	line := func(depth int, path [][]byte, k, v []byte) string {
		return fmt.Sprintf("%d %q %q %x", depth, path, k, v)
	}
	for n, err := range db.Root().Walk(nil) {
		if err != nil {
			t.Fatal(err)
		}
		v := []byte(nil)
		if !n.IsBucket() {
			if v, err = n.Value(); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, line(n.Depth, n.In.Path(), n.Key, v))
	}
	var walk func(b *bbolt.Bucket, path [][]byte) error
	walk = func(b *bbolt.Bucket, path [][]byte) error {
		return b.ForEach(func(k, v []byte) error {
			want = append(want, line(len(path), path, k, v))
			if sub := b.Bucket(k); v == nil && sub != nil {
				return walk(sub, append(path[:len(path):len(path)], k))
			}
			return nil
		})
	}
	if err := oracle.View(func(tx *bbolt.Tx) error { return walk(tx.Cursor().Bucket(), nil) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d items, bbolt has %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("item %d: %s, bbolt has %s", i, got[i], want[i])
		}
	}
}

func TestPagesAsBbolt(t *testing.T) {
	r := newRand(t, 0)
	for _, s := range []shape{
		{pageSize: 4096, txs: 5, ops: 300, depth: 3, maxKey: 200, maxVal: 60000, deletes: true},
		{pageSize: 1024, txs: 3, ops: 400, depth: 5, maxKey: 700, maxVal: 9000, deletes: true},
		{pageSize: 65536, txs: 2, ops: 200, depth: 1, maxKey: 20, maxVal: 100},
		{pageSize: 4096},
	} {
		db := randomFile(t, r, s)
		data := contents(t, db)
		oracle := openOracle(t, data)
		preload(t, oracle)
		samePages(t, openBytes(t, data), oracle)
		sameWalk(t, openBytes(t, data), oracle)
	}
}

// preload has bbolt read its list of free pages, which its table of pages needs.
func preload(t *testing.T, db *bbolt.DB) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		for range tx.Check() {
			// Some versions lose pages of deleted buckets, which are not the
			// matter here.
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPage looks at each page by itself, and finds every key that a walk finds.
func TestPage(t *testing.T) {
	db := create(t, 1024)
	update(t, db, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("top"))
		for i := 0; err == nil && i < 400; i++ {
			err = b.Put(fmt.Appendf(nil, "%04d", i), bytes.Repeat([]byte{byte(i)}, i*7))
		}
		return err
	})
	update(t, db, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("top")).Put([]byte("0007"), nil) })
	data := contents(t, db)
	view := openBytes(t, data)
	keys, free, children, metas := 0, 0, 0, 0
	for info, err := range view.Pages() {
		if err != nil {
			t.Fatal(err)
		}
		p, err := view.Page(info.ID)
		if err != nil {
			t.Fatal(err)
		}
		for it, err := range p.Items() {
			if err != nil {
				t.Fatal(err)
			}
			if it.IsBucket() {
				if sub, err := it.Bucket(); err != nil || sub.Page() == 0 {
					t.Errorf("bucket %q: %v", it.Key, err)
				}
			} else if info.Type != boltview.PageFree {
				v, err := it.Value()
				want, aerr := strconv.Atoi(string(it.Key))
				if want == 7 {
					want = 0
				}
				if err != nil || aerr != nil || len(v) != want*7 {
					t.Errorf("key %q: %d bytes, %v, %v", it.Key, len(v), err, aerr)
				}
				keys++
			}
		}
		for c, err := range p.Children() {
			if err != nil || c.Page < 2 || len(c.Key) == 0 {
				t.Errorf("child %+v: %v", c, err)
			}
			children++
		}
		for id, err := range p.Free() {
			if err != nil || id < 2 {
				t.Errorf("free page %d: %v", id, err)
			}
			if info.Type == boltview.PageFreelist {
				free++ // others are lists of older transactions
			}
		}
		if m, ok := p.Meta(); ok {
			metas++
			if m.State != "ok" || m.Version != 2 || m.PageSize != 1024 || m.Checksum == 0 {
				t.Errorf("meta %d: %+v", info.ID, m)
			}
		}
		if raw := make([]byte, 1024); info.ID*1024+1024 <= uint64(len(data)) {
			if _, err := p.Open().ReadAt(raw, 0); err != nil || !bytes.Equal(raw, data[p.Offset():][:1024]) {
				t.Errorf("bytes of page %d: %v", info.ID, err)
			}
		}
	}
	if fp := view.Info().FreePages; keys != 400 || metas != 2 || children == 0 || free == 0 || fp == nil || int64(free) != *fp {
		t.Errorf("%d keys, %d metas, %d children, %d free", keys, metas, children, free)
	}
	if _, err := view.Page(uint64(len(data))); !errors.Is(err, boltview.ErrCorrupt) {
		t.Errorf("page past the end: %v", err)
	}
}

// TestPagesNotStored is about files without a list of free pages.
func TestPagesNotStored(t *testing.T) {
	db, err := bbolt.Open(t.TempDir()+"/db", 0o600, &bbolt.Options{NoFreelistSync: true, NoSync: true, PageSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		update(t, db, func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("b"))
			if err != nil {
				return err
			}
			return b.Put([]byte{byte(i)}, make([]byte, 5000))
		})
	}
	data := contents(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	oracle := openOracle(t, data)
	preload(t, oracle)
	samePages(t, openBytes(t, data), oracle)
}

// TestPagesDamaged changes bytes: nothing panics, nothing goes round for ever,
// and the pages are those of the file.
func TestPagesDamaged(t *testing.T) {
	seed := uint64(3)
	data, err := fixedFile(seed, shape{pageSize: 1024, txs: 4, ops: 200, depth: 3, maxKey: 100, maxVal: 3000, deletes: true})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	damaged := 0
	for range 300 {
		bad := bytes.Clone(data)
		for range 1 + r.IntN(5) {
			at := r.IntN(len(bad))
			if r.IntN(2) == 0 {
				at = at/1024*1024 + r.IntN(40)
			}
			bad[at] = byte(r.Uint32())
		}
		if r.IntN(4) == 0 {
			bad = bad[:r.IntN(len(bad))]
		}
		db, err := boltview.Open(bytes.NewReader(bad), int64(len(bad)), boltview.Options{})
		if err != nil {
			continue
		}
		pages := 0
		for info, err := range db.Pages() {
			if err != nil || info.Damage != "" {
				damaged++
			}
			if pages++; pages > len(bad)/1024+1 {
				t.Fatal("more pages than the file has")
			}
			if p, err := db.Page(info.ID); err == nil {
				for range p.Items() {
				}
				for range p.Children() {
				}
				for range p.Free() {
				}
				p.Meta()
			}
		}
		if _, err := db.Root().Stats(); err != nil && !errors.Is(err, boltview.ErrCorrupt) {
			t.Error(err)
		}
		n := 0
		for _, err := range db.Root().Walk(nil) {
			if err != nil && !errors.Is(err, boltview.ErrCorrupt) {
				t.Error(err)
			}
			n++
		}
		if n > len(bad) {
			t.Errorf("a walk of %d items in %d bytes", n, len(bad))
		}
	}
	if damaged == 0 {
		t.Error("no damage was seen")
	}
}

// TestWalkCircle is about a file whose buckets hold each other.
func TestWalkCircle(t *testing.T) {
	db := create(t, 4096)
	update(t, db, func(tx *bbolt.Tx) error {
		for _, name := range []string{"a", "b"} {
			b, err := tx.CreateBucket([]byte(name))
			if err == nil {
				_, err = b.CreateBucket([]byte("sub"))
			}
			if err == nil {
				err = b.Put([]byte("big"), make([]byte, 2000))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	data := contents(t, db)
	view := openBytes(t, data)
	var roots []uint64
	var offs []int64
	for it, err := range view.Root().All() {
		if err != nil {
			t.Fatal(err)
		}
		b, err := it.Bucket()
		if err != nil {
			t.Fatal(err)
		}
		roots, offs = append(roots, b.Page()), append(offs, it.Offset())
	}
	// b is made to be a as well.
	copy(data[offs[1]:offs[1]+8], data[offs[0]:offs[0]+8])
	twice := 0
	for _, err := range openBytes(t, data).Root().Walk(nil) {
		if err != nil && strings.Contains(err.Error(), "second time") {
			twice++
		}
	}
	if twice != 1 {
		t.Errorf("bucket on page %d was met twice %d times", roots[0], twice)
	}
	if _, err := openBytes(t, data).Root().Stats(); !errors.Is(err, boltview.ErrCorrupt) {
		t.Errorf("counting it: %v", err)
	}
}
