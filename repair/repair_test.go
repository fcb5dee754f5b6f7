package repair_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/repair"
)

// content is all that a tree holds, a line for each key.
func content(t *testing.T, db *boltview.DB) []string {
	t.Helper()
	var lines []string
	for n, err := range db.Root().Walk(nil) {
		switch {
		case err != nil:
			t.Fatal(err)
		case n.Bucket != nil:
			lines = append(lines, fmt.Sprintf("%q %q bucket %d", n.In.Path(), n.Key, n.Bucket.Sequence()))
		default:
			v, err := n.Value()
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("%q %q value %x", n.In.Path(), n.Key, v))
		}
	}
	return lines
}

func open(t *testing.T, data []byte) *boltview.DB {
	t.Helper()
	db, _, err := repair.Source(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// repaired repairs a file, has bbolt check the result, and returns it.
func repaired(t *testing.T, db *boltview.DB, opts repair.Options) ([]byte, repair.Report) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "new")
	r, err := repair.Bolt(t.Context(), name, db, opts)
	if err != nil {
		t.Fatal(err)
	}
	checked(t, name)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if r.Size != int64(len(data)) {
		t.Errorf("report %+v of a file of %d bytes", r, len(data))
	}
	return data, r
}

// checked has bbolt check a file.
func checked(t *testing.T, name string) {
	t.Helper()
	oracle, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer oracle.Close()
	err = oracle.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d keys, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("key %d is %s, want %s", i, got[i], want[i])
		}
	}
}

// randomFile writes a file of random buckets, nested ones and sequences too.
func randomFile(t *testing.T, r *rand.Rand, pageSize int) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(name, 0o600, &bolt.Options{PageSize: pageSize, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		err := db.Update(func(tx *bolt.Tx) error {
			for range 150 {
				b, err := tx.CreateBucketIfNotExists(fmt.Appendf(nil, "top %d", r.IntN(8)))
				for d := r.IntN(4); err == nil && d > 0; d-- {
					b, err = b.CreateBucketIfNotExists(fmt.Appendf(nil, "sub %d", r.IntN(5)))
				}
				if err == nil && r.IntN(9) == 0 {
					err = b.SetSequence(r.Uint64())
				}
				if err == nil {
					size := r.IntN(60)
					if r.IntN(40) == 0 {
						size = r.IntN(200_000)
					}
					err = b.Put(fmt.Appendf(nil, "key %d", r.IntN(500)), bytes.Repeat([]byte{byte(r.Uint32())}, size))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSame repairs sound files: the content is the same, the page size too, and
// a second repair makes the same bytes, of the repaired file as well.
func TestSame(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, seed))
	for _, pageSize := range []int{1024, 4096, 16384} {
		for _, batch := range []int64{0, 1, 5000} {
			db := open(t, randomFile(t, r, pageSize))
			opts := repair.Options{Batch: batch}
			first, report := repaired(t, db, opts)
			got := open(t, first)
			want := content(t, db)
			same(t, content(t, got), want)
			if report.Losses != 0 || int(report.Buckets+report.Keys) != len(want) || got.Info().PageSize != pageSize {
				t.Errorf("%+v, page size %d", report, got.Info().PageSize)
			}
			second, _ := repaired(t, db, opts)
			if !bytes.Equal(first, second) {
				t.Errorf("page size %d, batch %d: a second repair makes another file", pageSize, batch)
			}
			again, _ := repaired(t, got, opts)
			if !bytes.Equal(first, again) {
				t.Errorf("page size %d, batch %d: the repaired file is repaired to another", pageSize, batch)
			}
		}
	}
}

// TestTorn repairs hot copies: no point of the copied transaction is missing.
func TestTorn(t *testing.T) {
	classes := map[boltview.Class]int{}
	for commits := range 6 {
		data, points, err := sample.Torn(t.TempDir(), commits)
		if err != nil {
			t.Fatal(err)
		}
		sum := bytes.Clone(data)
		db, class, err := repair.Source(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		classes[class]++
		if (commits == 0) != (class == boltview.ClassA) {
			t.Errorf("%d commits: class %s", commits, class)
		}
		out, report := repaired(t, db, repair.Options{})
		if report.Keys != int64(points) || report.Losses != 0 {
			t.Errorf("%d commits: %+v, want %d points", commits, report, points)
		}
		same(t, content(t, open(t, out)), content(t, db))
		if !bytes.Equal(sum, data) {
			t.Error("the source was changed")
		}
	}
	t.Logf("classes %v", classes)
	if len(classes) < 3 {
		t.Error("too few classes")
	}
}

// TestLost repairs files with changed bytes: what is lost is told, the rest is
// there, and the result is sound whatever was changed.
func TestLost(t *testing.T) {
	const seed = 5
	r := rand.New(rand.NewPCG(seed, seed))
	data := randomFile(t, r, 1024)
	db := open(t, data)
	whole := map[string]bool{}
	for _, line := range content(t, db) {
		whole[line] = true
	}
	// Only pages in use: bbolt writes nested buckets in the order of a map, so
	// which pages are free is another matter in every run.
	var used []int
	for p, err := range db.Pages() {
		if err != nil {
			t.Fatal(err)
		}
		if p.Type == boltview.PageLeaf || p.Type == boltview.PageBranch {
			used = append(used, int(p.ID))
		}
	}
	losses := 0
	for range 40 {
		bad := bytes.Clone(data)
		for range 1 + r.IntN(6) {
			page := used[r.IntN(len(used))] * 1024
			bad[page+r.IntN(64)] ^= byte(1 + r.IntN(255))
		}
		db, class, err := repair.Source(bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			continue
		}
		name := filepath.Join(t.TempDir(), "new")
		report, err := repair.Bolt(t.Context(), name, db, repair.Options{})
		if err != nil {
			t.Errorf("class %s: %v", class, err)
			continue
		}
		checked(t, name)
		if report.Losses > 0 {
			losses++
			if len(report.Lost) == 0 {
				t.Errorf("%+v", report)
			}
		}
	}
	t.Logf("%d of 40 files with losses", losses)
	if losses == 0 {
		t.Error("nothing was lost")
	}
	// One leaf away: all else is there.
	bad := bytes.Clone(data)
	for p, err := range db.Pages() {
		if err != nil {
			t.Fatal(err)
		}
		if p.Type == boltview.PageLeaf && p.Count > 5 && p.ID != db.Info().Root {
			copy(bad[p.ID*1024:], bytes.Repeat([]byte{0xff}, 1024))
			break
		}
	}
	bdb, err := boltview.Open(bytes.NewReader(bad), int64(len(bad)), boltview.Options{Meta: boltview.Meta0 + boltview.Meta(db.Info().Meta)})
	if err != nil {
		t.Fatal(err)
	}
	out, report := repaired(t, bdb, repair.Options{})
	n := 0
	for _, line := range content(t, open(t, out)) {
		if !whole[line] {
			t.Errorf("%s was not there before", line)
		}
		n++
	}
	if report.Losses == 0 || n == 0 || n >= len(whole) {
		t.Errorf("%+v: %d of %d", report, n, len(whole))
	}
}

type failing struct {
	r    *bytes.Reader
	left int
	err  error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return f.r.ReadAt(p, off)
}

// TestErrors wants no file left behind.
func TestErrors(t *testing.T) {
	data, _, err := sample.Torn(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "new")
	gone := func() {
		t.Helper()
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file is left: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := repair.Bolt(ctx, name, open(t, data), repair.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	gone()
	broken := errors.New("disk on fire")
	db, err := boltview.Open(&failing{bytes.NewReader(data), 20, broken}, int64(len(data)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repair.Bolt(t.Context(), name, db, repair.Options{}); !errors.Is(err, broken) {
		t.Errorf("source that cannot be read: %v", err)
	}
	gone()
	if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := repair.Bolt(t.Context(), name, open(t, data), repair.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("file that exists: %v", err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "mine" {
		t.Errorf("file that exists: %q, %v", b, err)
	}
	if _, err := repair.Bolt(t.Context(), filepath.Join(dir, "no", "dir"), open(t, data), repair.Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "repair") {
		t.Errorf("no directory: %v", err)
	}
}
