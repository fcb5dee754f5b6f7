package boltview_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/realchains"
)

// pointKey names a point of a shard.
type pointKey struct {
	series string
	time   int64
}

// b1Points returns the points of a shard of engine b1: those of the buckets of
// series, and of the write-ahead log.
func b1Points(t *testing.T, root *boltview.Bucket) map[pointKey][]byte {
	t.Helper()
	points := map[pointKey][]byte{}
	each := func(b *boltview.Bucket, f func(it boltview.Item, v []byte)) {
		for it, err := range b.All() {
			if err != nil {
				t.Error(err)
				return
			}
			v, _ := it.Value()
			f(it, v)
		}
	}
	sub := func(it boltview.Item) *boltview.Bucket {
		b, err := it.Bucket()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	each(root, func(top boltview.Item, _ []byte) {
		switch string(top.Key) {
		case "fields", "series", "wal":
			return
		}
		series := string(top.Key)
		each(sub(top), func(it boltview.Item, v []byte) {
			points[pointKey{series, int64(binary.BigEndian.Uint64(it.Key))}] = bytes.Clone(v)
		})
	})
	wal, err := root.Bucket([]byte("wal"))
	if err != nil {
		t.Fatal(err)
	}
	each(wal, func(part boltview.Item, _ []byte) {
		each(sub(part), func(_ boltview.Item, v []byte) {
			n := binary.BigEndian.Uint32(v[8:])
			points[pointKey{string(v[12 : 12+n]), int64(binary.BigEndian.Uint64(v))}] = bytes.Clone(v[12+n:])
		})
	})
	return points
}

// acked returns the points that the server had acknowledged before a backup, by
// shard, without those that a DROP hit meanwhile.
func acked(t *testing.T, path string) map[string]map[pointKey]bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string]map[pointKey]bool{}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var p struct {
			Shard, Series, Time string
			DropDuring          any `json:"drop_during"`
		}
		if err := json.Unmarshal(sc.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if p.DropDuring != nil && p.DropDuring != false {
			continue
		}
		ns, err := strconv.ParseInt(p.Time, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if all[p.Shard] == nil {
			all[p.Shard] = map[pointKey]bool{}
		}
		all[p.Shard][pointKey{p.Series, ns}] = true
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// partOf reports whether a tree has all points of part, and more.
func partOf(part map[pointKey][]byte, trees map[uint64]map[pointKey][]byte) bool {
	for _, tree := range trees {
		all := len(tree) > len(part)
		for p, v := range part {
			w, ok := tree[p]
			all = all && ok && bytes.Equal(v, w)
		}
		if all {
			return true
		}
	}
	return false
}

// TestTornChain opens the shards that a real server tore: the class is that of
// an independent reader, the best tree the one it found, and no point that had
// been acknowledged is missing.
func TestTornChain(t *testing.T) {
	chain := filepath.Join(realchains.Dir(t), "v0.9.2-torn")
	data, err := os.ReadFile(filepath.Join(chain, "truth", "classes.json"))
	if err != nil {
		t.Skip("no chain of torn shards")
	}
	var truth map[string]map[string]struct {
		Class    string
		BestRoot struct{ Page, Points uint64 } `json:"best_root"`
		Roots    []struct {
			Page, Points uint64
			Whole        bool
		} `json:"root_candidates"`
	}
	if err := json.Unmarshal(data, &truth); err != nil {
		t.Fatal(err)
	}
	classes := map[string]int{}
	must, missing := 0, 0
	for _, layer := range layers(t, chain) {
		tar := filepath.Base(layer)
		want := acked(t, filepath.Join(chain, "truth", "acked-"+tar+".jsonl"))
		shards, before, beforeMissing := 0, must, missing
		for name, data := range members(t, layer) {
			if name == "manifest" || name == "meta" {
				continue
			}
			shards++
			db, err := boltview.Open(bytes.NewReader(data), int64(len(data)), boltview.Options{})
			if err != nil {
				t.Errorf("%s: %s: %v", tar, name, err)
				continue
			}
			verdict, ok := truth[tar][name]
			if !ok {
				t.Errorf("%s: %s: no verdict", tar, name)
				continue
			}
			class := db.Class()
			classes[string(class)]++
			if string(class) != verdict.Class[:1] {
				t.Errorf("%s: %s: class %s, want %s", tar, name, class, verdict.Class)
			}
			info := db.Info()
			if class == boltview.ClassE && info.Root != verdict.BestRoot.Page {
				t.Errorf("%s: %s: root %d of %+v, want %d", tar, name, info.Root, info.Candidates, verdict.BestRoot.Page)
			}
			if class != boltview.ClassA && (info.Class != class || len(info.Damage) == 0) {
				t.Errorf("%s: %s: class %s is not in %+v", tar, name, class, info)
			}
			cands, err := db.Candidates()
			if err != nil {
				t.Errorf("%s: %s: %v", tar, name, err)
			}
			// Each whole tree is found, unless it is a part of another.
			trees := map[uint64]map[pointKey][]byte{}
			for _, c := range cands {
				root, err := db.At(c.Page)
				if err != nil {
					t.Fatal(err)
				}
				trees[c.Page] = b1Points(t, root)
			}
			whole := 0
			for _, r := range verdict.Roots {
				if !r.Whole {
					continue
				}
				whole++
				if points, ok := trees[r.Page]; ok {
					if uint64(len(points)) != r.Points {
						t.Errorf("%s: %s: tree %d has %d points, want %d", tar, name, r.Page, len(points), r.Points)
					}
					continue
				}
				root, err := db.At(r.Page)
				if err != nil {
					t.Fatal(err)
				}
				if part := b1Points(t, root); !partOf(part, trees) {
					t.Errorf("%s: %s: tree %d with %d points is missing", tar, name, r.Page, len(part))
				}
			}
			if len(trees) > whole {
				t.Errorf("%s: %s: %d whole trees, want at most %d", tar, name, len(trees), whole)
			}
			got := b1Points(t, db.Root())
			for p := range want[name] {
				must++
				if _, ok := got[p]; !ok {
					missing++
				}
			}
		}
		t.Logf("%s: %d shards, %d points must be there, %d are missing", tar, shards, must-before, missing-beforeMissing)
		if shards != len(truth[tar]) {
			t.Errorf("%s: %d shards, want %d", tar, shards, len(truth[tar]))
		}
	}
	t.Logf("classes %v; %d points must be there, %d are missing", classes, must, missing)
	if missing > 0 || must == 0 {
		t.Errorf("%d of %d points are missing", missing, must)
	}
}
