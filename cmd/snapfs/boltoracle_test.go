package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/repair"
	"github.com/snapfs/snapfs/space"
)

// inProcess runs the program in this process, and returns what it printed and
// its exit code.
func inProcess(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &App{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	code = a.Run(t.Context(), args)
	return out.String(), errs.String(), code
}

// randomBolt writes a Bolt file with buckets in buckets, big and small values,
// pages that were freed, and keys that are no text.
func randomBolt(t *testing.T, r *rand.Rand, pageSize int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "bolt.db")
	db, err := bolt.Open(name, 0o600, &bolt.Options{PageSize: pageSize, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		err := db.Update(func(tx *bolt.Tx) error {
			for range 200 {
				b, err := tx.CreateBucketIfNotExists(fmt.Appendf(nil, "top%d", r.IntN(6)))
				for d := r.IntN(4); err == nil && d > 0; d-- {
					b, err = b.CreateBucketIfNotExists([]byte{'s', byte(r.IntN(4))})
				}
				key := fmt.Appendf(nil, "key %d", r.IntN(400))
				if r.IntN(5) == 0 {
					key = []byte{0, 0xff, byte(r.Uint32())}
				}
				switch {
				case err != nil:
				case r.IntN(6) == 0:
					err = b.Delete(key)
				default:
					size := r.IntN(80)
					if r.IntN(60) == 0 {
						size = r.IntN(20_000)
					}
					err = b.Put(key, bytes.Repeat([]byte{byte(r.Uint32())}, size))
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
	return name
}

// TestBoltAsBbolt compares what the commands print with what bbolt prints.
func TestBoltAsBbolt(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, seed))
	bbolt := build(t, "go.etcd.io/bbolt/cmd/bbolt")
	for _, pageSize := range []int{4096, 1024} {
		file := randomBolt(t, r, pageSize)
		used := usedPages(t, file)
		for _, tt := range []struct{ ours, theirs []string }{
			{[]string{"check", file}, nil},
			{[]string{"buckets", file}, nil},
			{[]string{"pages", file}, nil},
			{[]string{"stats", file}, nil},
			{[]string{"stats", "--prefix", "top1", file}, []string{"stats", file, "top1"}},
			{[]string{"dump", file, "0", "1", "2", "5"}, nil},
			{slices.Concat([]string{"page", file}, used), nil},
			{slices.Concat([]string{"page", "--format", "hex", file}, used), slices.Concat([]string{"page", "--format-value", "hex", file}, used)},
			{[]string{"keys", file, "top0"}, nil},
			{[]string{"keys", "--format", "ascii-encoded", file, "top0"}, nil},
			{[]string{"keys", "--format", "redacted", file, "top2"}, nil},
			{[]string{"keys", "--format", "hex", "--bucket-format", "ascii", file, "top1", `s\x01`}, []string{"keys", "--format", "hex", file, "top1", "s\x01"}},
		} {
			theirs := tt.theirs
			if theirs == nil {
				theirs = tt.ours
			}
			want, err := exec.Command(bbolt, theirs...).Output()
			if err != nil {
				t.Errorf("bbolt %q: %v", theirs, err)
				continue
			}
			got, stderr, code := inProcess(t, append([]string{"bolt"}, tt.ours...)...)
			if code != 0 || stderr != "" {
				t.Errorf("bolt %q: exit code %d, %s", tt.ours, code, stderr)
			}
			if got != string(want) {
				t.Errorf("bolt %q: got\n%s\nwant\n%s", tt.ours, got, want)
			}
		}
		sameKeys(t, bbolt, file)
		sameInspect(t, bbolt, file)
	}
}

// usedPages returns the numbers of the pages that are not free: of those that
// are, bbolt shows what they were.
func usedPages(t *testing.T, file string) []string {
	t.Helper()
	out, _, code := inProcess(t, "bolt", "pages", file)
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	var ids []string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); f[0][0] >= '0' && f[0][0] <= '9' && f[1] != "free" {
			ids = append(ids, f[0])
		}
	}
	return ids
}

// sameKeys gets some keys by both programs.
func sameKeys(t *testing.T, bbolt, file string) {
	t.Helper()
	keys, _, _ := inProcess(t, "bolt", "keys", "--format", "hex", file, "top0")
	n := 0
	for key := range strings.Lines(keys) {
		key = strings.TrimSpace(key)
		want, err := exec.Command(bbolt, "get", "--parse-format", "hex", file, "top0", key).Output()
		if err != nil {
			continue // a bucket
		}
		if got, _, code := inProcess(t, "bolt", "get", "--parse-format", "hex", file, "top0", key); got != string(want) || code != 0 {
			t.Errorf("get %s: exit code %d, %q, want %q", key, code, got, want)
		}
		if n++; n == 10 {
			break
		}
	}
	if n == 0 {
		t.Error("no keys")
	}
}

// sameInspect compares the trees of buckets. Names that are no UTF-8 differ.
func sameInspect(t *testing.T, bbolt, file string) {
	t.Helper()
	want, err := exec.Command(bbolt, "inspect", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, _, code := inProcess(t, "bolt", "inspect", file); got != string(want) || code != 0 {
		t.Errorf("inspect: exit code %d\n%s\nwant\n%s", code, got, want)
	}
}

// TestRealBolts checks each shard of each layer of real chains with both
// programs, and repairs those that were torn.
func TestRealBolts(t *testing.T) {
	chains := realchains.All(t)
	bbolt := build(t, "go.etcd.io/bbolt/cmd/bbolt")
	for _, snap := range chains {
		name := filepath.Base(filepath.Dir(snap))
		t.Run(name, func(t *testing.T) {
			tree, err := space.Open(snap, space.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer tree.Close()
			var c realCount
			c.classes = map[boltview.Class]int{}
			err = fs.WalkDir(tree, space.Control+"/layers", func(p string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				return c.file(t, bbolt, tree, snap, p)
			})
			if err != nil {
				t.Error(err)
			}
			t.Logf("%d shards: %d sound (bbolt check OK on %d of them), %d damaged (bbolt check OK on %d); %d repaired, bbolt check OK on %d, %d values",
				c.shards, c.sound, c.bboltSound, c.shards-c.sound, c.bboltDamaged, c.repaired, c.bboltRepaired, c.values)
			for _, class := range slices.Sorted(maps.Keys(c.classes)) {
				t.Logf("class %s: %d", string(class), c.classes[class])
			}
			if c.shards == 0 || c.sound != c.bboltSound || c.bboltDamaged != 0 || c.repaired != c.shards-c.sound || c.repaired != c.bboltRepaired {
				t.Error("the programs do not agree")
			}
			if torn := c.shards > c.sound; torn != (name == "v0.9.2-torn") {
				t.Errorf("torn: %v", torn)
			}
		})
	}
}

type realCount struct {
	shards, sound, bboltSound, bboltDamaged int
	repaired, bboltRepaired                 int
	values                                  int64
	classes                                 map[boltview.Class]int
}

// bboltOK reports what the bbolt command says of a file. It may crash.
func bboltOK(bbolt, file string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, bbolt, "check", file).Output()
	return err == nil && strings.HasSuffix(string(out), "OK\n")
}

func (c *realCount) file(t *testing.T, bbolt string, tree *space.Tree, snap, p string) error {
	data, err := fs.ReadFile(tree, p)
	if err != nil {
		return nil // a layer that is cut off
	}
	db, class, err := repair.Source(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil // manifest, meta
	}
	c.shards++
	c.classes[class]++
	file := filepath.Join(t.TempDir(), "shard")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return err
	}
	theirs := bboltOK(bbolt, file)
	out, _, code := inProcess(t, "bolt", "check", snap, p)
	if code == exitOK && out == "OK\n" {
		c.sound++
		if theirs {
			c.bboltSound++
		}
		return nil
	}
	if code != exitDamage || !strings.Contains(out, "class "+string(class)) {
		t.Errorf("%s: exit code %d\n%s", p, code, out)
	}
	if theirs {
		c.bboltDamaged++
	}
	fixed := file + ".new"
	r, err := repair.Bolt(t.Context(), fixed, db, repair.Options{})
	if err != nil {
		return err
	}
	if r.Losses > 0 {
		t.Errorf("%s: lost %q", p, r.Lost)
	}
	c.repaired++
	c.values += r.Keys
	if bboltOK(bbolt, fixed) {
		c.bboltRepaired++
	}
	return nil
}
