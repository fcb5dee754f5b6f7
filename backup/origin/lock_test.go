package origin

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
)

// TestLocked meets a writer that is in the way, and keeps others out.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	put(t, path, "b", monday)
	writer, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Dir{Path: dir}.Begin(t.Context(), chain.Manifest{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(hint.Of(err), "--host") {
		t.Errorf("%v", err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Dir{Path: dir}.Begin(t.Context(), chain.Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if w, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Millisecond}); err == nil {
		t.Error("a writer comes in while the file is copied")
		w.Close()
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if writer, err = bolt.Open(path, 0o600, nil); err != nil {
		t.Fatal(err)
	}
	writer.Close()
}

// TestShared copies a database of this process, in the middle of its writes.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true, InitialMmapSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	set := func(value string) {
		t.Helper()
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("b"))
			if err == nil {
				err = b.Put([]byte("k"), []byte(value))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set("before")
	d := Dir{Path: dir, DB: func(p string) *bolt.DB {
		if p == path {
			return db
		}
		return nil
	}}
	c, err := d.Begin(t.Context(), chain.Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		set(strings.Repeat("after", 1000))
	}
	var b bytes.Buffer
	if err := errors.Join(c.Write(t.Context(), &b), c.Close()); err != nil {
		t.Fatal(err)
	}
	_, files := members(t, b.Bytes())
	data := files["a.db"]
	view, err := boltview.Open(bytes.NewReader(data), int64(len(data)), boltview.Options{})
	if err != nil || view.Class() != boltview.ClassA {
		t.Fatalf("%v", err)
	}
	bucket, err := view.Root().Bucket([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := bucket.Get([]byte("k")); err != nil || string(v) != "before" {
		t.Errorf("%.20q, %v", v, err)
	}
	if n := db.Stats().OpenTxN; n != 0 {
		t.Errorf("%d transactions are open", n)
	}
}
