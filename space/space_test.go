package space_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
	"github.com/snapfs/snapfs/tarindex"
)

var epoch = time.Date(2015, 11, 2, 3, 4, 5, 0, time.UTC)

// boltFile returns a small Bolt file with two buckets, one in the other.
func boltFile(t *testing.T, value string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 1024, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("outer"))
		if err != nil {
			return err
		}
		if b, err = b.CreateBucket([]byte("in/ner")); err != nil {
			return err
		}
		return b.Put([]byte("key"), []byte(value))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writeChain writes a chain of two layers and returns its path.
func writeChain(t *testing.T, extra ...sample.File) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snap")
	f := func(name string, data []byte, seconds int) sample.File {
		return sample.File{Name: name, Data: data, Modified: epoch.Add(time.Duration(seconds) * time.Second)}
	}
	err := sample.Write(path,
		sample.Layer{Time: epoch, Files: append([]sample.File{f("meta", []byte("m0"), 0), f("db/rp/one", boltFile(t, "old"), 0), f("db/rp/text", []byte("no Bolt"), 0)}, extra...)},
		sample.Layer{Time: epoch.Add(time.Hour), Files: []sample.File{f("meta", []byte("m1"), 3600), f("db/rp/one", boltFile(t, "new"), 3000)}})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string, opts space.Options) *space.Tree {
	t.Helper()
	tree, err := space.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

func list(t *testing.T, fsys fs.FS, dir string) []string {
	t.Helper()
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestPaths(t *testing.T) {
	tree := open(t, writeChain(t), space.Options{Status: func() ([]byte, error) { return []byte("status"), nil }})
	for name, want := range map[string][]string{
		".":                                      {"db", "manifest", "meta"},
		".snapfs":                                {"bolt", "by-time", "chain.json", "influx", "layers", "points", "status.json", "times"},
		".snapfs/points":                         {"0", "full", "latest"},
		".snapfs/points/full":                    {"db", "manifest", "meta"},
		".snapfs/points/latest/db/rp":            {"one", "text"},
		".snapfs/layers":                         {"0", "full"},
		".snapfs/layers/0/db/rp":                 {"one"},
		".snapfs/times":                          {"2015-11-02T030405Z", "2015-11-02T040405Z"},
		".snapfs/bolt":                           {"db"},
		".snapfs/bolt/db/rp":                     {"one"},
		".snapfs/bolt/db/rp/one":                 {".info.json", "outer"},
		".snapfs/bolt/db/rp/one/outer":           {"in%2Fner"},
		".snapfs/times/2015-11-02T030405Z/db/rp": {"one", "text"},
	} {
		if got := list(t, tree, name); !slices.Equal(got, want) {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"meta":                                      "m1",
		".snapfs/points/full/meta":                  "m0",
		".snapfs/points/latest/meta":                "m1",
		".snapfs/times/2015-11-02T030405Z/meta":     "m0",
		".snapfs/layers/full/meta":                  "m0",
		".snapfs/status.json":                       "status",
		".snapfs/bolt/db/rp/one/outer/in%2Fner/key": "new",
	} {
		got, err := fs.ReadFile(tree, name)
		if err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		".snapfs/points/latest":            "0",
		".snapfs/times/2015-11-02T040405Z": "../points/0",
	} {
		got, err := fs.ReadLink(tree, name)
		if err != nil || got != want {
			t.Errorf("link %s = %q, %v, want %q", name, got, err, want)
		}
		if fi, err := fs.Lstat(tree, name); err != nil || fi.Mode().Type() != fs.ModeSymlink || fi.Name() != filepath.Base(name) {
			t.Errorf("lstat %s: %v, %v", name, fi, err)
		}
		if fi, err := fs.Stat(tree, name); err != nil || !fi.IsDir() || fi.Name() != filepath.Base(name) {
			t.Errorf("stat %s: %v, %v", name, fi, err)
		}
	}
	for _, name := range []string{
		"none", ".snapfs/none", ".snapfs/points/7", ".snapfs/points/7/meta", ".snapfs/chain.json/x", ".snapfs/points/latest/none",
		".snapfs/bolt/meta", ".snapfs/bolt/db/rp/text", ".snapfs/bolt/db/rp/text/x", ".snapfs/bolt/none", ".snapfs/bolt/db/rp/one/none", "%2Esnapfs",
	} {
		_, err := fs.Stat(tree, name)
		var p *fs.PathError
		if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &p) || p.Path != name {
			t.Errorf("stat %s: %v", name, err)
		}
		if _, err := tree.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %s: %v", name, err)
		}
	}
	if _, err := tree.Open("../x"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("open ../x: %v", err)
	}
	if fi, err := fs.Stat(tree, ".snapfs/status.json"); err != nil || !attr.IsVolatile(fi) {
		t.Errorf("status.json: %v, %v", fi, err)
	}
	if fi, err := fs.Stat(tree, ".snapfs/chain.json"); err != nil || attr.IsVolatile(fi) {
		t.Errorf("chain.json: %v, %v", fi, err)
	}
}

func TestFS(t *testing.T) {
	status := func() ([]byte, error) { return []byte("{}"), nil }
	tree := open(t, writeChain(t), space.Options{ShowControl: true, Status: status})
	err := fstest.TestFS(tree, "meta", "db/rp/one", ".snapfs/chain.json", ".snapfs/status.json", ".snapfs/points/full/meta", ".snapfs/points/latest",
		".snapfs/layers/0/manifest", ".snapfs/bolt/db/rp/one/outer/in%2Fner/key", ".snapfs/bolt/db/rp/one/.info.json")
	if err != nil {
		t.Error(err)
	}
}

func TestAt(t *testing.T) {
	path := writeChain(t)
	tree := open(t, path, space.Options{At: "full"})
	if got, err := fs.ReadFile(tree, "meta"); err != nil || string(got) != "m0" {
		t.Errorf("meta = %q, %v", got, err)
	}
	if got, err := fs.ReadFile(tree, ".snapfs/bolt/db/rp/one/outer/in%2Fner/key"); err != nil || string(got) != "old" {
		t.Errorf("key = %q, %v", got, err)
	}
	if got, err := fs.ReadFile(tree, ".snapfs/points/latest/meta"); err != nil || string(got) != "m1" {
		t.Errorf("newest meta = %q, %v", got, err)
	}
	if _, err := space.Open(path, space.Options{At: "9"}); !errors.Is(err, chain.ErrNoPoint) {
		t.Errorf("point 9: %v", err)
	}
}

func TestBareBolt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.db")
	if err := os.WriteFile(path, boltFile(t, "value"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := open(t, path, space.Options{ShowControl: true})
	if got := list(t, tree, "."); !slices.Equal(got, []string{".info.json", ".snapfs", "outer"}) {
		t.Errorf("root holds %q", got)
	}
	if err := fstest.TestFS(tree, "outer/in%2Fner/key"); err != nil {
		t.Error(err)
	}
	if db, err := tree.Bolt("."); err != nil || db.Root() == nil {
		t.Errorf("Bolt: %v, %v", db, err)
	}
	if files, size := tree.Totals(); files != 1 || size != 32768 {
		t.Errorf("totals %d, %d", files, size)
	}
	if _, err := space.Open(path, space.Options{At: "full"}); !errors.Is(err, chain.ErrNoPoint) {
		t.Errorf("with a point: %v", err)
	}
}

func TestNotSnapshot(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]error{
		"text":  space.ErrNotSnapshot,
		"empty": space.ErrNotSnapshot,
		"gzip":  tarindex.ErrCompressed,
		"none":  fs.ErrNotExist,
	} {
		path := filepath.Join(dir, name)
		data := map[string]string{"text": strings.Repeat("text ", 1000), "empty": "", "gzip": "\x1f\x8b\x08\x00" + strings.Repeat("z", 1000)}[name]
		if name != "none" {
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := space.Open(path, space.Options{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// TestControlInSnapshot: a snapshot that holds ".snapfs" itself loses nothing.
func TestControlInSnapshot(t *testing.T) {
	tree := open(t, writeChain(t, sample.File{Name: ".snapfs/rp/1", Data: []byte("theirs"), Modified: epoch}), space.Options{ShowControl: true})
	if got := list(t, tree, "."); !slices.Equal(got, []string{"%2Esnapfs", ".snapfs", "db", "manifest", "meta"}) {
		t.Errorf("root holds %q", got)
	}
	got, err := fs.ReadFile(tree, "%2Esnapfs/rp/1")
	if err != nil || string(got) != "theirs" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := fs.Stat(tree, ".snapfs/chain.json"); err != nil {
		t.Error(err)
	}
	// Files are found by their numbers where they are in this tree, or not at all.
	for name, want := range map[string]string{"db/rp/text": "db/rp/text", ".snapfs/points/0/db/rp/text": "db/rp/text", "%2Esnapfs/rp/1": "", ".snapfs/chain.json": ""} {
		fi, err := fs.Stat(tree, name)
		if err != nil {
			t.Error(err)
			continue
		}
		ino, _ := attr.Ino(fi)
		if got := tree.Find(ino); got != want {
			t.Errorf("%s is found at %q, want %q", name, got, want)
		}
	}
	for dir, want := range map[string]bool{
		".": false, "db/rp": false, "bolt": false, ".snapfs": false, ".snapfs/points/0": false,
		".snapfs/bolt": true, ".snapfs/bolt/db/rp/1": true, ".snapfs/influx/db": true, ".snapfs/boltx": false,
	} {
		if got := tree.NamesOnly(dir); got != want {
			t.Errorf("%s: names only is %t", dir, got)
		}
	}
}

func TestChainJSON(t *testing.T) {
	tree := open(t, writeChain(t), space.Options{})
	b, err := fs.ReadFile(tree, ".snapfs/chain.json")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Dialect string
		Layers  []struct {
			Name, Path string
			Size       int64
			Time       time.Time
		}
		Warnings []chain.Warning
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if got.Dialect != "lastModified" || len(got.Layers) != 2 || got.Layers[1].Name != "0" || !got.Layers[1].Time.Equal(epoch.Add(time.Hour)) || got.Warnings == nil {
		t.Errorf("chain.json says %s", b)
	}
}

// TestManyBolts opens more Bolt files than are kept, at the same time.
func TestManyBolts(t *testing.T) {
	const n = 100
	var files []sample.File
	for i := range n {
		files = append(files, sample.File{Name: fmt.Sprintf("many/rp/%d", i), Data: boltFile(t, fmt.Sprint(i)), Modified: epoch})
	}
	tree := open(t, writeChain(t, files...), space.Options{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range n {
				i = (i*7 + w*13) % n
				got, err := fs.ReadFile(tree, fmt.Sprintf(".snapfs/bolt/many/rp/%d/outer/in%%2Fner/key", i))
				if err != nil || string(got) != fmt.Sprint(i) {
					t.Errorf("file %d: %q, %v", i, got, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestDamagedBolt: a Bolt file whose tree is damaged is listed, and says so.
func TestDamagedBolt(t *testing.T) {
	data := boltFile(t, "value")
	damaged := bytes.Clone(data)
	for i := 2 * 1024; i < len(damaged); i++ {
		damaged[i] = 0xff
	}
	tree := open(t, writeChain(t, sample.File{Name: "bad/rp/1", Data: damaged, Modified: epoch}), space.Options{})
	if got := list(t, tree, ".snapfs/bolt/bad/rp"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("listing %q", got)
	}
	if _, err := fs.ReadDir(tree, ".snapfs/bolt/bad/rp/1"); !errors.Is(err, boltview.ErrCorrupt) {
		t.Errorf("reading it: %v", err)
	}
}
