package boltview_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// oracleCheck returns what bbolt's own check says.
func oracleCheck(t *testing.T, db *bbolt.DB) []string {
	t.Helper()
	var list []string
	err := db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			list = append(list, err.Error())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func faults(db *boltview.DB) []boltview.Fault { return slices.Collect(db.Check()) }

// TestCheckSound holds that a file in which bbolt finds nothing has no faults.
func TestCheckSound(t *testing.T) {
	r := newRand(t, 0)
	for _, s := range []shape{
		{pageSize: 1024, txs: 10, ops: 300, depth: 6, maxKey: 500, maxVal: 5000, deletes: true},
		{pageSize: 4096, txs: 20, ops: 60, depth: 3, maxKey: 32768, maxVal: 200000, deletes: true},
		{pageSize: 32768, txs: 4, ops: 200, depth: 2, maxKey: 3000, maxVal: 90000, deletes: true},
	} {
		oracle := randomFile(t, r, s)
		db := openBytes(t, contents(t, oracle))
		// bbolt itself now and then forgets pages of nested buckets that it
		// deletes.
		want := boltview.ClassA
		var lost, wantLost []uint64
		for _, line := range oracleCheck(t, oracle) {
			var id uint64
			if _, err := fmt.Sscanf(line, "page %d: unreachable unfreed", &id); err != nil {
				t.Fatalf("bbolt: %s", line)
			}
			wantLost = append(wantLost, id)
			want = boltview.ClassB
		}
		for f := range db.Check() {
			if f.Kind != boltview.KindUnreachable {
				t.Errorf("page size %d: %v", s.pageSize, f)
			}
			for i := range max(1, f.Pages) {
				lost = append(lost, f.Page+i)
			}
		}
		if !slices.Equal(lost, wantLost) {
			t.Errorf("page size %d: pages %d are unreachable, bbolt says %d", s.pageSize, lost, wantLost)
		}
		if c := db.Class(); c != want {
			t.Errorf("page size %d: class %s, want %s", s.pageSize, c, want)
		}
		for _, m := range []boltview.Meta{boltview.Meta0, boltview.Meta1} {
			b := contents(t, oracle)
			db, err := boltview.Open(bytes.NewReader(b), int64(len(b)), boltview.Options{Meta: m})
			if err != nil {
				t.Errorf("meta %s: %v", m, err)
				continue
			}
			if want := int(m - boltview.Meta0); db.Info().Meta != want || db.Info().TxID != db.Info().Metas[want].TxID {
				t.Errorf("meta %s: %+v", m, db.Info())
			}
		}
	}
}

// TestCheckNoFreelist takes a file that does not store its free pages.
func TestCheckNoFreelist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bolt.db")
	oracle, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, Timeout: time.Second, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer oracle.Close()
	if err := fill(oracle, newRand(t, 0), shape{txs: 5, ops: 200, depth: 2, maxKey: 100, maxVal: 3000, deletes: true}); err != nil {
		t.Fatal(err)
	}
	db := openBytes(t, contents(t, oracle))
	if got := faults(db); len(got) > 0 || db.Class() != boltview.ClassA {
		t.Errorf("class %s: %v", db.Class(), got)
	}
	if db.Info().Freelist != nil || db.Info().FreePages != nil {
		t.Errorf("info %+v", db.Info())
	}
	sameRoot(t, db, oracle)
}

// TestCheckLongFreelist frees more pages than the count of a page header holds.
func TestCheckLongFreelist(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 80 MiB")
	}
	oracle := create(t, 1024)
	update(t, oracle, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err != nil {
			return err
		}
		return b.Put([]byte("k"), make([]byte, 68<<20))
	})
	update(t, oracle, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("b")) })
	update(t, oracle, func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("c"))
		return err
	})
	f, err := os.Open(oracle.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	db, err := boltview.Open(f, fi.Size(), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := db.Info().FreePages; n == nil || *n < 0xffff {
		t.Fatalf("info %+v", db.Info())
	}
	if got := faults(db); len(got) > 0 {
		t.Errorf("%d faults, first %v", len(got), got[0])
	}
}

// damaged is a file with a bucket "b" of some pages, to be damaged: data has the
// bytes, and the numbers tell where things are.
type damaged struct {
	data   []byte
	meta   int // offset of the newest meta
	branch int // offset of the root page of b
	leaves []int
	free   int // offset of the list of free pages
}

func newDamaged(t *testing.T) *damaged {
	t.Helper()
	oracle := create(t, 1024)
	update(t, oracle, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err != nil {
			return err
		}
		for i := range 200 {
			if err := b.Put(fmt.Appendf(nil, "%05d", i), make([]byte, 20)); err != nil {
				return err
			}
		}
		return nil
	})
	update(t, oracle, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("b")).Delete([]byte("00000")) })
	d := &damaged{data: contents(t, oracle)}
	db := openBytes(t, d.data)
	info := db.Info()
	d.meta = info.Meta * 1024
	d.free = int(*info.Freelist) * 1024
	b, err := db.Root().Bucket([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	d.branch = int(b.Page()) * 1024
	le := binary.LittleEndian
	for i := range int(le.Uint16(d.data[d.branch+10:])) {
		d.leaves = append(d.leaves, int(le.Uint64(d.data[d.branch+16+16*i+8:]))*1024)
	}
	return d
}

func (d *damaged) put64(at int, v uint64) { binary.LittleEndian.PutUint64(d.data[at:], v) }
func (d *damaged) put16(at int, v uint16) { binary.LittleEndian.PutUint16(d.data[at:], v) }
func (d *damaged) put32(at int, v uint32) { binary.LittleEndian.PutUint32(d.data[at:], v) }

// child returns where the branch names its leaf i.
func (d *damaged) child(i int) int { return d.branch + 16 + 16*i + 8 }

// TestCheckDamage makes one fault of each kind. Where bbolt survives it, it finds
// something as well.
func TestCheckDamage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(d *damaged)
		kind   boltview.Kind
		text   string
		class  boltview.Class
		oracle bool // bbolt survives and sees it
	}{
		{"page outside", func(d *damaged) { d.put64(d.child(1), 1<<40) }, boltview.KindPage, "not in the file", "C", false},
		{"wrong number", func(d *damaged) { d.put64(d.leaves[1], 77) }, boltview.KindPage, "says that it is page 77", "E", false},
		{"neither branch nor leaf", func(d *damaged) { d.put16(d.leaves[1]+8, 0) }, boltview.KindPage, "neither branch nor leaf", "E", true},
		{"too many elements", func(d *damaged) { d.put16(d.leaves[1]+10, 500) }, boltview.KindPage, "500 elements do not fit", "E", false},
		{"overflow past the end", func(d *damaged) { d.put32(d.leaves[1]+12, 1<<30) }, boltview.KindPage, "overflow", "E", false},
		{"element outside", func(d *damaged) { d.put32(d.leaves[1]+16+4, 5000) }, boltview.KindPage, "element 0 does not lie inside", "E", false},
		{"two parents", func(d *damaged) { copy(d.data[d.child(1):], d.data[d.child(2):d.child(2)+8]) }, boltview.KindReference, "second time", "C", true},
		{"loop", func(d *damaged) { d.put64(d.child(1), uint64(d.branch/1024)) }, boltview.KindReference, "second time", "C", false},
		{"order in a leaf", func(d *damaged) {
			at := bytes.Index(d.data[d.leaves[1]:], []byte("000"))
			d.data[d.leaves[1]+at+4] = '9' + 1
		}, boltview.KindOrder, "", "E", true},
		{"order across leaves", func(d *damaged) {
			at := bytes.Index(d.data[d.leaves[1]:], []byte("000"))
			d.data[d.leaves[1]+at] = ' '
		}, boltview.KindOrder, "below that of the branch", "E", true},
		{"free page in use", func(d *damaged) { d.put64(d.free+16, uint64(d.leaves[1]/1024)) }, boltview.KindFreelist, "in use, and in the list", "B", true},
		{"free page outside", func(d *damaged) { d.put64(d.free+16, 1<<30) }, boltview.KindFreelist, "free page 1073741824 is not in the file", "B", false},
		{"no list of free pages", func(d *damaged) { d.put16(d.free+8, 2) }, boltview.KindFreelist, "not those of a list of free pages", "B", false},
		{"forgotten page", func(d *damaged) {
			n := binary.LittleEndian.Uint16(d.data[d.free+10:])
			d.put16(d.free+10, n-1)
		}, boltview.KindUnreachable, "neither reachable nor free", "B", true},
		{"longer than the file", func(d *damaged) {
			d.put64(d.meta+16+40, uint64(len(d.data)/1024+1))
			fixSum(d.data, d.meta)
		}, boltview.KindSize, "meta knows", "B", false},
		{"meta", func(d *damaged) { d.data[1024-d.meta+16]++ }, boltview.KindMeta, "no magic", "A", false},
	} {
		// Leaves belong to the older tree as well, the branch does not.
		t.Run(tt.name, func(t *testing.T) {
			d := newDamaged(t)
			tt.damage(d)
			db := openBytes(t, d.data)
			got := faults(db)
			i := slices.IndexFunc(got, func(f boltview.Fault) bool {
				return f.Kind == tt.kind && strings.Contains(f.Text, tt.text)
			})
			if i < 0 {
				t.Errorf("faults %v", got)
			}
			if c := db.Class(); c != tt.class {
				t.Errorf("class %s, want %s", c, tt.class)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Error(err)
			}
			if tt.oracle {
				if list := oracleCheck(t, openOracle(t, d.data)); len(list) == 0 {
					t.Error("bbolt finds nothing")
				}
			}
		})
	}
}

// TestCheckLost names the keys that a lost page takes along, and goes on.
func TestCheckLost(t *testing.T) {
	d := newDamaged(t)
	first := func(leaf int) string {
		at := bytes.Index(d.data[leaf:], []byte("00"))
		return string(d.data[leaf+at : leaf+at+5])
	}
	from, to := first(d.leaves[1]), first(d.leaves[2])
	last := first(d.leaves[len(d.leaves)-1])
	clear(d.data[d.leaves[1] : d.leaves[1]+1024])
	clear(d.data[d.leaves[len(d.leaves)-1]:][:1024])
	var lost []string
	for f := range openBytes(t, d.data).Check() {
		if f.Lost != nil {
			lost = append(lost, fmt.Sprintf("%s %s: %s", f.Path, f.Kind, f.Lost))
		}
	}
	want := []string{"b page: " + from + " to before " + to, "b page: " + last + " to the last"}
	if !slices.Equal(lost, want) {
		t.Errorf("lost %q, want %q", lost, want)
	}
	for range openBytes(t, d.data).Check() {
		break // must not go on
	}
}
