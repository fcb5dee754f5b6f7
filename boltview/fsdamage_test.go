package boltview_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// TestListDamage destroys one leaf of many: the listing has all other keys and
// says that it is not whole; keys elsewhere are found.
func TestListDamage(t *testing.T) {
	oracle := create(t, 1024)
	update(t, oracle, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err != nil {
			return err
		}
		for i := range 2000 {
			if err := b.Put(fmt.Appendf(nil, "%05d", i), make([]byte, 20)); err != nil {
				return err
			}
		}
		return nil
	})
	b := contents(t, oracle)
	at := bytes.Index(b, []byte("01000")) / 1024 * 1024
	lost := 0
	for i := range 2000 {
		if bytes.Contains(b[at:at+1024], fmt.Appendf(nil, "%05d", i)) {
			lost++
		}
	}
	clear(b[at : at+1024])
	fsys := openBytes(t, b).FS(boltview.FSOptions{})
	list, err := fsys.ReadDir("b")
	var pe *boltview.PageError
	if !errors.Is(err, boltview.ErrCorrupt) || !errors.As(err, &pe) || pe.Page != uint64(at/1024) || pe.Path != "b" {
		t.Errorf("ReadDir: %v", err)
	}
	if len(list) != 2000-lost || lost == 0 {
		t.Errorf("%d names, want 2000-%d", len(list), lost)
	}
	if !slices.IsSortedFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) }) {
		t.Error("not sorted")
	}
	for name, want := range map[string]error{"b/00000": nil, "b/01999": nil, "b/01000": boltview.ErrCorrupt} {
		if _, err := fsys.Stat(name); !errors.Is(err, want) {
			t.Errorf("Stat(%s): %v, want %v", name, err, want)
		}
	}
	d, err := fsys.Open("b")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		list, err := d.(fs.ReadDirFile).ReadDir(100)
		n += len(list)
		if err != nil {
			if !errors.Is(err, boltview.ErrCorrupt) {
				t.Errorf("stream ends in %v", err)
			}
			break
		}
	}
	if n != 2000-lost {
		t.Errorf("%d names in parts", n)
	}
}
