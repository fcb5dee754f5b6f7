package boltview_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"strconv"
	"testing"
	"testing/fstest"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// TestTorn tears databases at several distances. What is shown must be the whole
// state of one commit, so that no key is invented, and must have all that the
// copied state has, so that none is lost. It may be older only where the commits
// between did nothing but delete or flush: pages do not tell.
func TestTorn(t *testing.T) {
	r := newRand(t, 0)
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	classes := map[boltview.Class]int{}
	older := 0
	for _, tt := range []struct {
		name  string
		write writer
	}{{"b1", writeShard(false)}, {"b1 with drops", writeShard(true)}, {"any", writeAny}} {
		for _, after := range []int{0, 1, 2, 3, 5, 10, 40} {
			for range rounds {
				before := 5 + r.IntN(60)
				file, states := tear(t, r, before, after, tt.write)
				fail := func(format string, args ...any) {
					t.Errorf("%s, %d commits later: %s", tt.name, after, fmt.Sprintf(format, args...))
				}
				db, err := boltview.Open(bytes.NewReader(file), int64(len(file)), boltview.Options{})
				if err != nil {
					fail("%v", err)
					continue
				}
				class := db.Class()
				classes[class]++
				if after == 0 && class != boltview.ClassA {
					fail("class %s", class)
				}
				got := state{}
				if err := viewState(got, "", db.Root()); err != nil {
					fail("class %s: %v", class, err)
					continue
				}
				i := shown(got, states)
				if i < 0 {
					fail("class %s: %d keys are no state, %+v", class, len(got), db.Info().Candidates)
					continue
				}
				if i >= before {
					continue
				}
				older++
				have := points(got)
				for p, v := range points(states[before]) {
					if have[p] != v {
						fail("class %s: commit %d in place of %d, without point %q, %+v", class, i, before, p, db.Info().Candidates)
						break
					}
				}
			}
		}
	}
	t.Logf("classes %v, %d times an older state with all points", fmt.Sprint(classes), older)
	if classes[boltview.ClassC] == 0 || classes[boltview.ClassE] == 0 {
		t.Errorf("classes %v are not all that tearing makes", classes)
	}
}

// tornE returns a file of class E.
func tornE(t *testing.T, r *rand.Rand) []byte {
	t.Helper()
	for range 50 {
		file, _ := tear(t, r, 40, 15, writeShard(false))
		db, err := boltview.Open(bytes.NewReader(file), int64(len(file)), boltview.Options{})
		if err == nil && db.Class() == boltview.ClassE && len(db.Info().Candidates) > 1 {
			return file
		}
	}
	t.Fatal("no file of class E with two candidates in 50")
	return nil
}

// TestSalvageTree browses the other candidates of a file of class E.
func TestSalvageTree(t *testing.T) {
	db := openBytes(t, tornE(t, newRand(t, 0)))
	info := db.Info()
	if info.Meta != -1 || info.Root != info.Candidates[0].Page || info.Class != boltview.ClassE || len(info.Damage) == 0 {
		t.Errorf("info %+v", info)
	}
	fsys := db.FS(boltview.FSOptions{})
	if err := fstest.TestFS(fsys, "fields", "series", "wal", boltview.InfoName); err != nil {
		t.Error(err)
	}
	list, err := fs.ReadDir(fsys, boltview.SalvageName)
	if err != nil || len(list) != len(info.Candidates) {
		t.Fatalf("%d entries, %v", len(list), err)
	}
	for _, c := range info.Candidates {
		dir := path.Join(boltview.SalvageName, strconv.FormatUint(c.Page, 10))
		sub, err := fs.Sub(fsys, dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := fstest.TestFS(sub, "fields", "series", "wal/%00"); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
		n := 0
		err = fs.WalkDir(fsys, path.Join(dir, "wal"), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				n++
			}
			return err
		})
		if err != nil || int64(n) != c.Log {
			t.Errorf("%s: %d entries of the log, want %d, %v", dir, n, c.Log, err)
		}
	}
	for _, name := range []string{".salvage/1", ".salvage/x", ".salvage/0" + list[0].Name(), ".salvagex", ".salvage/" + list[0].Name() + "/none"} {
		if _, err := fsys.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	root, err := fsys.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range root {
		if e.Name() == boltview.SalvageName {
			t.Error("the other trees are listed in the root")
		}
	}
}

// TestNoMetas finds the tree of a file whose metas are both lost.
func TestNoMetas(t *testing.T) {
	oracle := randomFile(t, newRand(t, 0), shape{pageSize: 2048, txs: 1, ops: 400, depth: 2, maxKey: 100, maxVal: 5000})
	b := contents(t, oracle)
	b[20]++ // version, so that the checksum is wrong as well
	b[2048+20]++
	for _, opts := range []boltview.Options{{}, {Meta: boltview.MetaSalvage}} {
		db, err := boltview.Open(bytes.NewReader(b), int64(len(b)), opts)
		if err != nil {
			t.Fatal(err)
		}
		if db.Info().Meta != -1 || db.Class() != boltview.ClassE {
			t.Errorf("info %+v", db.Info())
		}
		sameRoot(t, db, oracle)
	}
	clear(b[:4096])
	if _, err := boltview.Open(bytes.NewReader(b), int64(len(b)), boltview.Options{}); !errors.Is(err, boltview.ErrNotBolt) {
		t.Errorf("without any sign of a meta: %v", err)
	}
	db, err := boltview.Open(bytes.NewReader(b), int64(len(b)), boltview.Options{Meta: boltview.MetaSalvage})
	if err != nil {
		t.Fatal(err)
	}
	if db.Info().PageSize != 2048 {
		t.Errorf("page size %d", db.Info().PageSize)
	}
	sameRoot(t, db, oracle)
}

// TestExtended is a torn file that was made longer with zeros, as an old server
// does when it opens one, so that its size tells nothing any more.
func TestExtended(t *testing.T) {
	r := newRand(t, 0)
	for range 20 {
		file, states := tear(t, r, 30, 12, writeShard(false))
		long := append(file, make([]byte, 256<<10)...)
		db := openBytes(t, long)
		if db.Class() == boltview.ClassA {
			continue
		}
		got := state{}
		if err := viewState(got, "", db.Root()); err != nil || shown(got, states) < 30 {
			t.Errorf("class %s: %d keys are no state, %v; %+v", db.Class(), len(got), err, db.Info())
		}
	}
}

// TestCutFile loses pages that both trees need. Remains of the first, almost
// empty tree may be whole, but what is left of the newest is what counts.
func TestCutFile(t *testing.T) {
	oracle := create(t, 1024)
	update(t, oracle, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err != nil {
			return err
		}
		return b.Put([]byte("00000"), nil)
	})
	old, err := oracle.Begin(false) // keeps the first tree
	if err != nil {
		t.Fatal(err)
	}
	defer old.Rollback()
	update(t, oracle, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("b"))
		b.FillPercent = 1
		for i := range 3000 {
			if err := b.Put(fmt.Appendf(nil, "%05d", i), make([]byte, 20)); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range 2 { // so that both metas name the large tree
		update(t, oracle, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("b")).Put([]byte("99999"), []byte{byte(i)}) })
	}
	b := contents(t, oracle)
	info := openBytes(t, b).Info()
	var leaves []uint64
	for id := uint64(2); id < info.Pages; id++ {
		page := b[id*1024:]
		if binary.LittleEndian.Uint16(page[8:]) == 2 && binary.LittleEndian.Uint16(page[10:]) > 5 {
			leaves = append(leaves, id)
		}
	}
	for _, id := range leaves[:3] {
		clear(b[id*1024:][:1024])
	}
	at := info.Meta * 1024
	binary.LittleEndian.PutUint64(b[at+16+40:], info.HighWater+1)
	fixSum(b, at)
	file := b[:info.HighWater*1024]
	db := openBytes(t, file)
	if db.Class() != boltview.ClassE || db.Info().Meta != info.Meta {
		t.Fatalf("class %s, %+v", db.Class(), db.Info())
	}
	lost := 0
	for f := range db.Check() {
		if f.Lost != nil {
			lost++
		}
	}
	root, err := db.Root().Bucket([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	n, damage := 0, 0
	for _, err := range root.All() {
		if err == nil {
			n++
		} else {
			damage++
		}
	}
	if n < 2700 || n >= 3000 || damage == 0 || damage != lost {
		t.Errorf("%d keys, %d damages, %d ranges lost; %+v", n, damage, lost, db.Info())
	}
	if len(db.Info().Candidates) == 0 {
		t.Error("no old tree is whole, the test shows nothing")
	}
}
