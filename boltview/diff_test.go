package boltview_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/realchains"
)

// flat is all keys of a bucket as text, with values and, for buckets, "{}".
func flat(t testing.TB, b *boltview.Bucket) map[string]string {
	t.Helper()
	out := map[string]string{}
	for n, err := range b.Walk(nil) {
		if err != nil {
			t.Fatal(err)
		}
		out[nodeText(t, &n)] = nodeValue(t, &n)
	}
	return out
}

func nodeText(t testing.TB, n *boltview.Node) string {
	t.Helper()
	return fmt.Sprintf("%q %q", n.In.Path(), n.Key)
}

func nodeValue(t testing.TB, n *boltview.Node) string {
	t.Helper()
	if n.IsBucket() {
		return "{}"
	}
	v, err := n.Value()
	if err != nil {
		t.Fatal(err)
	}
	return string(v)
}

// checkDiff compares Diff with maps of all keys, both ways.
func checkDiff(t testing.TB, a, b *boltview.DB) (changes int) {
	t.Helper()
	x, y := flat(t, a.Root()), flat(t, b.Root())
	for _, s := range []struct {
		a, b     *boltview.DB
		old, new map[string]string
	}{{a, b, x, y}, {b, a, y, x}} {
		changes = 0
		old := maps.Clone(s.old)
		for c, err := range boltview.Diff(t.Context(), s.a.Root(), s.b.Root()) {
			if err != nil {
				t.Fatal(err)
			}
			changes++
			if c.Old != nil {
				k := nodeText(t, c.Old)
				if v, ok := old[k]; !ok || v != nodeValue(t, c.Old) {
					t.Fatalf("old %s is not there, or another", k)
				}
				delete(old, k)
			}
			if c.New != nil {
				k := nodeText(t, c.New)
				if _, ok := old[k]; ok {
					t.Fatalf("new %s is there already", k)
				}
				old[k] = nodeValue(t, c.New)
			}
			if c.Old != nil && c.New != nil && (nodeText(t, c.Old) != nodeText(t, c.New) || nodeValue(t, c.Old) == nodeValue(t, c.New)) {
				t.Fatalf("no change at %s", nodeText(t, c.Old))
			}
		}
		if !maps.Equal(old, s.new) {
			t.Fatalf("%d changes do not make one file of the other", changes)
		}
		for range boltview.Diff(t.Context(), s.a.Root(), s.b.Root()) {
			break // a loop may be left
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range boltview.Diff(ctx, a.Root(), b.Root()) {
		if errors.Is(err, context.Canceled) {
			break // small files may end before it is looked at
		}
	}
	for c, err := range boltview.Diff(t.Context(), a.Root(), a.Root()) {
		t.Fatal("a file differs from itself", c, err)
	}
	return changes
}

// dbOf opens a file as it is now.
func dbOf(t testing.TB, db *bbolt.DB) *boltview.DB {
	t.Helper()
	data, err := os.ReadFile(db.Path())
	if err != nil {
		t.Fatal(err)
	}
	out, err := boltview.Open(bytes.NewReader(data), int64(len(data)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDiff goes on with random files, whose free pages are used again.
func TestDiff(t *testing.T) {
	r := newRand(t, 0)
	shapes := []shape{
		{pageSize: 4096, txs: 6, ops: 80, depth: 2, maxKey: 40, maxVal: 300, deletes: true},
		{pageSize: 1024, txs: 4, ops: 200, depth: 1, maxKey: 20, maxVal: 3000, deletes: true},
	}
	total := 0
	for _, s := range shapes {
		db := randomFile(t, r, s)
		before := dbOf(t, db)
		first := before
		for range 6 {
			s.txs, s.ops = 1+r.IntN(3), 1+r.IntN(60)
			if err := fill(db, r, s); err != nil {
				t.Fatal(err)
			}
			after := dbOf(t, db)
			total += checkDiff(t, before, after)
			before = after
		}
		total += checkDiff(t, first, before)
	}
	if total == 0 {
		t.Error("nothing ever differed")
	}
	checkDiff(t, dbOf(t, create(t, 4096)), dbOf(t, randomFile(t, r, shapes[0])))
}

// TestDiffKinds: a key that becomes a bucket, and the reverse.
func TestDiffKinds(t *testing.T) {
	db := create(t, 4096)
	update(t, db, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err != nil {
			return err
		}
		if _, err := b.CreateBucket([]byte("x")); err != nil {
			return err
		}
		return b.Put([]byte("y"), []byte("1"))
	})
	before := dbOf(t, db)
	update(t, db, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("b"))
		if err := b.DeleteBucket([]byte("x")); err != nil {
			return err
		}
		if err := b.Put([]byte("x"), []byte("2")); err != nil {
			return err
		}
		if err := b.Delete([]byte("y")); err != nil {
			return err
		}
		sub, err := b.CreateBucket([]byte("y"))
		if err != nil {
			return err
		}
		return sub.Put([]byte("z"), nil)
	})
	var got []string
	for c, err := range boltview.Diff(t.Context(), before.Root(), dbOf(t, db).Root()) {
		if err != nil {
			t.Fatal(err)
		}
		n, sign := c.New, "+"
		if n == nil {
			n, sign = c.Old, "-"
		}
		got = append(got, fmt.Sprintf("%s%q/%s bucket %v depth %d", sign, n.In.Path(), n.Key, n.Bucket != nil, n.Depth))
	}
	want := []string{`-["b"]/x bucket true depth 1`, `+["b"]/x bucket false depth 1`, `-["b"]/y bucket false depth 1`, `+["b"]/y bucket true depth 1`, `+["b" "y"]/z bucket false depth 2`}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDiffDamage: files whose bytes were changed end, without a panic.
func TestDiffDamage(t *testing.T) {
	r := newRand(t, 0)
	db := randomFile(t, r, shape{pageSize: 1024, txs: 3, ops: 60, depth: 2, maxKey: 20, maxVal: 100, deletes: true})
	data, err := os.ReadFile(db.Path())
	if err != nil {
		t.Fatal(err)
	}
	sound := dbOf(t, db)
	for range 300 {
		bad := slices.Clone(data)
		for range 1 + r.IntN(20) {
			bad[r.IntN(len(bad))] = byte(r.Uint32())
		}
		other, err := boltview.Open(bytes.NewReader(bad), int64(len(bad)), boltview.Options{})
		if err != nil {
			continue
		}
		steps := 0
		for range boltview.Diff(t.Context(), sound.Root(), other.Root()) {
			if steps++; steps > 1e6 {
				t.Fatal("no end")
			}
		}
	}
}

// TestDiffReal compares the copies of shards in real chains.
func TestDiffReal(t *testing.T) {
	pairs, changes := 0, 0
	for _, snap := range realchains.All(t) {
		before := map[string]*boltview.DB{}
		for _, layer := range layers(t, filepath.Dir(snap)) {
			for name, data := range members(t, layer) {
				db, err := boltview.Open(bytes.NewReader(data), int64(len(data)), boltview.Options{})
				if err != nil || db.Class() != boltview.ClassA {
					continue
				}
				if old := before[name]; old != nil && pairs < 60 {
					pairs++
					changes += checkDiff(t, old, db)
				}
				before[name] = db
			}
		}
	}
	t.Logf("%d pairs of shards, %d changes", pairs, changes)
}

// BenchmarkDiff compares two files of 200,000 keys of which a hundred differ,
// beside a walk through both.
func BenchmarkDiff(b *testing.B) {
	db := create(b, 4096)
	key := func(i int) []byte { return fmt.Appendf(nil, "key %07d", i) }
	for from := 0; from < 200_000; from += 20_000 {
		update(b, db, func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("b"))
			for i := from; i < from+20_000 && err == nil; i++ {
				err = bucket.Put(key(i), []byte("a value of some bytes"))
			}
			return err
		})
	}
	before := dbOf(b, db)
	update(b, db, func(tx *bbolt.Tx) error {
		for i := range 100 {
			if err := tx.Bucket([]byte("b")).Put(key(i*2000+7), []byte("another")); err != nil {
				return err
			}
		}
		return nil
	})
	after := dbOf(b, db)
	b.Run("diff", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for range boltview.Diff(b.Context(), before.Root(), after.Root()) {
				n++
			}
			if n != 100 {
				b.Fatal(n)
			}
		}
	})
	b.Run("walk", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for _, db := range []*boltview.DB{before, after} {
				for range db.Root().Walk(nil) {
					n++
				}
			}
			if n != 400_002 {
				b.Fatal(n)
			}
		}
	})
}
