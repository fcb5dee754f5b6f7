package boltview_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// TestBig: a value of 64 MiB and a key of 32 KiB, ten buckets down. The value is
// read in pieces, never as a whole.
func TestBig(t *testing.T) {
	value := bytes.Repeat([]byte("0123456789abcdef"), 4<<20)
	key := bytes.Repeat([]byte("k"), bbolt.MaxKeySize)
	path := filepath.Join(t.TempDir(), "big.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("0"))
		for i := 1; i < 10 && err == nil; i++ {
			b, err = b.CreateBucket([]byte{byte('0' + i)})
		}
		if err != nil {
			return err
		}
		return b.Put(key, value)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	view, err := boltview.Open(f, st.Size(), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := view.Root()
	for i := range 10 {
		if b, err = b.Bucket([]byte{byte('0' + i)}); err != nil {
			t.Fatal(err)
		}
	}
	it, err := b.Item(key)
	if err != nil || it.Size() != int64(len(value)) {
		t.Fatalf("size %d, %v", it.Size(), err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, it.Open()); err != nil || [32]byte(h.Sum(nil)) != sha256.Sum256(value) {
		t.Errorf("the value differs, %v", err)
	}
	for fault := range view.Check() {
		t.Error(fault)
	}

	// The same as a file, whose name is too long and cut.
	tree := view.FS(boltview.FSOptions{})
	dir := strings.Join(strings.Split("0123456789", ""), "/")
	entries, err := fs.ReadDir(tree, dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	file, err := tree.Open(dir + "/" + entries[0].Name())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got := make([]byte, 16)
	if _, err := file.(io.ReaderAt).ReadAt(got, int64(len(value)-16)); err != nil || string(got) != "0123456789abcdef" {
		t.Errorf("end of the file %q, %v", got, err)
	}
}
