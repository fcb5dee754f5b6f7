package boltview_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/names"
)

// files adds to m what bbolt holds, by the names that the tree should have.
func files(m map[string][]byte, dir string, b *bbolt.Bucket) {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		name := path.Join(dir, names.Key(k))
		if v == nil {
			m[name] = nil
			files(m, name, c.Bucket().Bucket(k))
			continue
		}
		m[name] = append([]byte{}, v...)
	}
}

func TestFS(t *testing.T) {
	r := newRand(t, 0)
	for _, s := range []shape{
		{pageSize: 1024, txs: 4, ops: 60, depth: 10, maxKey: 500, maxVal: 3000, deletes: true},
		{pageSize: 4096, txs: 4, ops: 150, depth: 3, maxKey: 32768, maxVal: 100000, deletes: true},
	} {
		oracle := randomFile(t, r, s)
		mod := time.Unix(1446433445, 0).UTC()
		fsys := openBytes(t, contents(t, oracle)).FS(boltview.FSOptions{Seed: 7, ModTime: mod})
		want := map[string][]byte{}
		oracle.View(func(tx *bbolt.Tx) error {
			files(want, "", tx.Cursor().Bucket())
			return nil
		})
		var some []string
		inos := map[uint64]string{}
		err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || name == "." || name == boltview.InfoName {
				return err
			}
			data, ok := want[name]
			if !ok {
				t.Errorf("%q is too much", name)
			}
			if len(some) < 50 {
				some = append(some, name)
			}
			delete(want, name)
			fi, err := d.Info()
			if err != nil {
				return err
			}
			ino, ok := attr.Ino(fi)
			if !ok || inos[ino] != "" {
				t.Errorf("%q and %q have inode %d", name, inos[ino], ino)
			}
			inos[ino] = name
			if !fi.ModTime().Equal(mod) {
				t.Errorf("%q: time %v", name, fi.ModTime())
			}
			if d.IsDir() != (data == nil) {
				t.Errorf("%q: IsDir %v", name, d.IsDir())
			}
			if d.IsDir() {
				return nil
			}
			got, err := fs.ReadFile(fsys, name)
			if err != nil || !bytes.Equal(got, data) || fi.Size() != int64(len(data)) {
				t.Errorf("%q: wrong content, size %d, %v", name, fi.Size(), err)
			}
			return nil
		})
		if err != nil || len(want) > 0 {
			t.Errorf("%d names are missing, %v", len(want), err)
		}
		if err := fstest.TestFS(fsys, some...); err != nil {
			t.Error(err)
		}
	}
}

// example is a small file with one of everything that names can do.
func example(t *testing.T) *bbolt.DB {
	oracle := create(t, 4096)
	update(t, oracle, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("top"))
		if err != nil {
			return err
		}
		sub, err := b.CreateBucket([]byte("a/b"))
		if err != nil {
			return err
		}
		long := strings.Repeat("x", 300)
		return errors.Join(b.SetSequence(42),
			b.Put([]byte(".info.json"), []byte("dot")),
			b.Put([]byte(".."), []byte("dots")),
			b.Put([]byte{0, 1, 0xff}, []byte("raw")),
			b.Put([]byte(long+"1"), []byte("long 1")),
			b.Put([]byte(long+"2"), []byte("long 2")),
			sub.Put([]byte("100%"), []byte("percent")))
	})
	return oracle
}

func TestNames(t *testing.T) {
	fsys := openBytes(t, contents(t, example(t))).FS(boltview.FSOptions{})
	long := strings.Repeat("x", 300)
	for name, want := range map[string]string{
		"top/%2Einfo.json":                   "dot",
		"top/%2E.":                           "dots",
		"top/%00%01%FF":                      "raw",
		"top/a%2Fb/100%25":                   "percent",
		"top/" + names.Key([]byte(long+"1")): "long 1",
		"top/" + names.Key([]byte(long+"2")): "long 2",
	} {
		got, err := fs.ReadFile(fsys, name)
		if err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{
		"top/.info.json", "top/%2E%2E", "top/%2e.", "top/none", "none", "none/x", "top/a", "top/a%2Fb/100%25/x", "%", "top/%",
		"top/" + names.Key([]byte(long+"3")), ".salvage", "top/" + long,
	} {
		if _, err := fsys.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat(%.30s): %v", name, err)
		}
	}
	for _, name := range []string{"", "/top", "top/", "top/../top", "./top"} {
		var pe *fs.PathError
		if _, err := fsys.Open(name); !errors.Is(err, fs.ErrInvalid) || !errors.As(err, &pe) {
			t.Errorf("Open(%q): %v", name, err)
		}
	}
}

func TestAttrs(t *testing.T) {
	fsys := openBytes(t, contents(t, example(t))).FS(boltview.FSOptions{Seed: 1})
	for name, want := range map[string]string{
		".":                ` sequence="0" page="3" keys="1"`,
		"top":              ` key="top" sequence="42" page="0" keys="6"`,
		"top/a%2Fb":        ` key="a/b" sequence="0" page="0" keys="1"`,
		"top/%00%01%FF":    ` key="\x00\x01\xff"`,
		boltview.InfoName:  ``,
		"top/%2Einfo.json": ` key=".info.json"`,
	} {
		fi, err := fsys.Stat(name)
		if err != nil {
			t.Error(err)
			continue
		}
		got := ""
		for k, v := range attr.All(fi) {
			// The root page is wherever bbolt put it.
			if name == "." && k == "page" {
				v = "3"
			}
			if name == "top" && k == "page" {
				v = "0"
			}
			got += fmt.Sprintf(" %s=%q", k, v)
		}
		if got != want {
			t.Errorf("%s:%s, want%s", name, got, want)
		}
	}
}

func TestInfoFile(t *testing.T) {
	db := openBytes(t, contents(t, example(t)))
	data, err := fs.ReadFile(db.FS(boltview.FSOptions{}), boltview.InfoName)
	if err != nil {
		t.Fatal(err)
	}
	var got boltview.Info
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := db.Info()
	if got.PageSize != 4096 || got.TxID == 0 || got.TxID != want.TxID || got.Root != want.Root || got.Pages != want.Pages {
		t.Errorf("%s has %+v, want %+v", boltview.InfoName, got, want)
	}
}

// TestExtent reads each value from the file on disk, at the place that the open
// value names.
func TestExtent(t *testing.T) {
	oracle := randomFile(t, newRand(t, 0), shape{pageSize: 4096, txs: 3, ops: 100, depth: 2, maxKey: 50, maxVal: 9000})
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
	fsys := db.FS(boltview.FSOptions{})
	n := 0
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		v, err := fsys.Open(name)
		if err != nil {
			return err
		}
		defer v.Close()
		want, err := io.ReadAll(v)
		if err != nil {
			return err
		}
		under, off, ok := v.(attr.Extent).Extent()
		if ok != (name != boltview.InfoName) {
			t.Errorf("%s: extent %v", name, ok)
		}
		if !ok {
			return nil
		}
		n++
		got := make([]byte, len(want))
		if _, err := under.ReadAt(got, off); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes at %d, %v", name, off, err)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d values, %v", n, err)
	}
}

// TestStream lists a big bucket in parts: in bounded memory, two at once, and
// from any entry on.
func TestStream(t *testing.T) {
	const total = 200_000
	oracle := create(t, 4096)
	update(t, oracle, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err != nil {
			return err
		}
		b.FillPercent = 0.95
		for i := range total {
			if err := b.Put(fmt.Appendf(nil, "%08d", i), []byte("v")); err != nil {
				return err
			}
		}
		return nil
	})
	f, err := os.Open(oracle.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, _ := f.Stat()
	db, err := boltview.Open(f, fi.Size(), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	open := func() fs.ReadDirFile {
		d, err := db.FS(boltview.FSOptions{}).Open("b")
		if err != nil {
			t.Fatal(err)
		}
		return d.(fs.ReadDirFile)
	}
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	d, other := open(), open()
	n, most := 0, before
	for {
		list, err := d.ReadDir(1000)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if want := fmt.Sprintf("%08d", n); e.Name() != want {
				t.Fatalf("entry %d is %q", n, e.Name())
			}
			n++
		}
		if n%50_000 == 0 {
			most = max(most, live())
			if list, err := other.ReadDir(1); err != nil || list[0].Name() != fmt.Sprintf("%08d", n/50_000-1) {
				t.Fatalf("second reader: %v, %v", list, err)
			}
		}
	}
	if n != total {
		t.Errorf("%d entries, want %d", n, total)
	}
	if most-before > 8<<20 {
		t.Errorf("listing kept %d bytes", most-before)
	}
	for _, off := range []int64{0, 1, 77, 1000, total - 1, total, total + 5, 12345} {
		got, err := d.(io.Seeker).Seek(off, io.SeekStart)
		if want := min(off, total); err != nil || got != want {
			t.Fatalf("Seek(%d) = %d, %v", off, got, err)
		}
		list, err := d.ReadDir(2)
		if off >= total {
			if err != io.EOF {
				t.Errorf("behind the end: %v, %v", list, err)
			}
			continue
		}
		if err != nil || list[0].Name() != fmt.Sprintf("%08d", off) {
			t.Errorf("at %d: %v, %v", off, list, err)
		}
	}
}
