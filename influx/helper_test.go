package influx_test

import (
	"bytes"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sort"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/tarindex"
)

// layers returns the tars of all real chains, by chain.
func layers(t testing.TB) iter.Seq2[string, []string] {
	t.Helper()
	snaps := realchains.All(t)
	return func(yield func(string, []string) bool) {
		for _, snap := range snaps {
			more, err := filepath.Glob(snap + ".*")
			if err != nil {
				t.Fatal(err)
			}
			sort.Strings(more)
			if !yield(filepath.Base(filepath.Dir(snap)), append([]string{snap}, more...)) {
				return
			}
		}
	}
}

// members returns the files of a tar, none of an empty file.
func members(t testing.TB, path string) iter.Seq2[string, []byte] {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string, []byte) bool) {
		if st.Size() == 0 {
			return
		}
		ix, err := tarindex.Build(f, st.Size(), tarindex.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range ix.All() {
			c, err := ix.Content(i)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(io.NewSectionReader(c, 0, e.Size))
			if err != nil {
				t.Fatal(err)
			}
			if !yield(e.Name, data) {
				return
			}
		}
	}
}

// open opens a Bolt file in memory.
func open(t testing.TB, data []byte) *boltview.DB {
	t.Helper()
	db, err := boltview.Open(bytes.NewReader(data), int64(len(data)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// makeBolt returns the bytes of a Bolt file that f filled.
func makeBolt(t testing.TB, f func(tx *bolt.Tx) error) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bolt")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(f); err != nil {
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

// tree is what a bucket holds: a []byte or string is a value, a tree a bucket.
type tree map[string]any

// put writes the tree into a bucket.
func (tr tree) put(b *bolt.Bucket) error {
	for k, v := range tr {
		var err error
		switch v := v.(type) {
		case []byte:
			err = b.Put([]byte(k), v)
		case string:
			err = b.Put([]byte(k), []byte(v))
		case tree:
			var sub *bolt.Bucket
			if sub, err = b.CreateBucketIfNotExists([]byte(k)); err == nil {
				err = v.put(sub)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bytes returns the tree as a Bolt file.
func (tr tree) bytes(t testing.TB) []byte {
	t.Helper()
	return makeBolt(t, func(tx *bolt.Tx) error {
		for k, v := range tr {
			b, err := tx.CreateBucketIfNotExists([]byte(k))
			if err != nil {
				return err
			}
			if err := v.(tree).put(b); err != nil {
				return err
			}
		}
		return nil
	})
}
