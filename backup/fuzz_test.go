package backup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
)

// smallBolt is a Bolt file of a few KB, by which the fuzzer gets further than by
// a shard: with pages of the least size, and no more of them than are used.
func smallBolt(dir string) ([]byte, error) {
	path := filepath.Join(dir, "small.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 1024, NoSync: true})
	if err != nil {
		return nil, err
	}
	var size int64
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err == nil {
			err = b.Put([]byte("k"), []byte("v"))
		}
		return err
	})
	if err == nil {
		err = db.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil })
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return b[:min(size, int64(len(b)))], nil
}

// FuzzAnswer wants of any answer that it is refused, and nothing is left, or that
// the chain is sound with it.
func FuzzAnswer(f *testing.F) {
	later := monday.Add(time.Hour)
	small, err := smallBolt(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	text := sample.File{Name: "a", Data: []byte("text"), Modified: later}
	for _, b := range [][]byte{
		layer(f, later, text, metaFile(later)),
		layer(f, later, sample.File{Name: "db/rp/1", Data: small, Modified: later}),
		layer(f, later),
		layer(f, monday, sample.File{Name: "ä/b", Data: []byte("x"), Modified: monday}),
		write(f, sample.Layer{Time: later, Dialect: chain.ByIndex, Files: []sample.File{text}}),
		write(f, sample.Layer{Time: later, NoManifest: true, Files: []sample.File{text}}),
		nil,
	} {
		f.Add(b)
	}
	dir := f.TempDir()
	path := filepath.Join(dir, "snap")
	full := layer(f, monday, metaFile(monday))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, full, 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path + ".0")
		before := state(t, dir)
		_, err := Take(t.Context(), path, answers(b), Options{})
		if err != nil {
			if after := state(t, dir); after != before {
				t.Fatalf("%v, but %s, was %s", err, after, before)
			}
			return
		}
		c, err := chain.Open(path, chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if len(c.Layers()) != 2 {
			t.Errorf("%d layers", len(c.Layers()))
		}
		for _, w := range c.Warnings() {
			// Times and names are what they are; the rest was checked.
			if w.Code != chain.TimeOrder && w.Code != chain.EscapedName {
				t.Errorf("taken: %v", w)
			}
		}
		if _, err := plan(path, false); err != nil {
			t.Errorf("taken, but nothing can be added: %v", err)
		}
	})
}
