package boltview_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/snapfs/snapfs/boltview"
)

// inArchive writes data into a file as an archive would, with other bytes
// before and behind, and returns the file and the offset.
func inArchive(t *testing.T, data []byte) (*os.File, int64) {
	t.Helper()
	const before = 3 * 512
	path := filepath.Join(t.TempDir(), "archive")
	b := append(bytes.Repeat([]byte{0xaa}, before), data...)
	if err := os.WriteFile(path, append(b, make([]byte, 1024)...), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, before
}

func mapFile(t *testing.T, f *os.File) *boltview.Mapping {
	t.Helper()
	m, err := boltview.Map(f)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMap reads a member of a mapped archive, from several goroutines at once.
func TestMap(t *testing.T) {
	oracle := randomFile(t, newRand(t, 0), shape{pageSize: 4096, txs: 5, ops: 300, depth: 3, maxKey: 5000, maxVal: 200 << 10, deletes: true})
	data := contents(t, oracle)
	f, off := inArchive(t, data)
	m := mapFile(t, f)
	defer m.Close()
	db, err := boltview.Open(io.NewSectionReader(m, off, int64(len(data))), int64(len(data)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sameRoot(t, db, oracle)
	abuse(t, db, boltview.MetaAuto)
	want := state{}
	if err := viewState(want, "", openBytes(t, data).Root()); err != nil {
		t.Fatal(err)
	}
	class := openBytes(t, data).Class()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got := state{}
			if err := viewState(got, "", db.Root()); err != nil || len(got) != len(want) {
				t.Errorf("%d keys, want %d, %v", len(got), len(want), err)
			}
			if db.Class() != class {
				t.Errorf("class %s, want %s", db.Class(), class)
			}
		})
	}
	wg.Wait()
}

// TestMapReadAt holds the map to what io.ReaderAt says.
func TestMapReadAt(t *testing.T) {
	f, off := inArchive(t, []byte("0123456789"))
	m := mapFile(t, f)
	buf := make([]byte, 10)
	if n, err := m.ReadAt(buf, off); n != 10 || err != nil || string(buf) != "0123456789" {
		t.Errorf("ReadAt: %d, %v, %q", n, err, buf)
	}
	for _, tt := range []struct {
		off  int64
		n    int
		want error
	}{{m.Size() - 4, 4, io.EOF}, {m.Size(), 0, io.EOF}, {m.Size() + 100, 0, io.EOF}} {
		if n, err := m.ReadAt(buf, tt.off); n != tt.n || err != tt.want {
			t.Errorf("ReadAt(%d): %d, %v", tt.off, n, err)
		}
	}
	if _, err := m.ReadAt(buf, -1); err == nil {
		t.Error("ReadAt(-1): no error")
	}
	if under, at, ok := m.Extent(); under != f || at != 0 || !ok {
		t.Errorf("extent %v %d %v", under, at, ok)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := m.ReadAt(buf, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("ReadAt after Close: %v", err)
	}
	if err := m.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}

	empty, err := os.Create(filepath.Join(t.TempDir(), "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	m = mapFile(t, empty)
	if n, err := m.ReadAt(buf, 0); n != 0 || err != io.EOF {
		t.Errorf("empty file: %d, %v", n, err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := boltview.Map(os.Stdin); err == nil {
		if fi, _ := os.Stdin.Stat(); !fi.Mode().IsRegular() {
			t.Error("mapped what is no regular file")
		}
	}
}

// TestMapCut takes the file away while it is mapped and read: all that comes of
// it are errors.
func TestMapCut(t *testing.T) {
	oracle := randomFile(t, newRand(t, 0), shape{pageSize: 4096, txs: 3, ops: 800, depth: 1, maxKey: 50, maxVal: 100 << 10})
	data := contents(t, oracle)
	f, off := inArchive(t, data)
	m := mapFile(t, f)
	defer m.Close()
	db, err := boltview.Open(io.NewSectionReader(m, off, int64(len(data))), int64(len(data)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := db.Root().Bucket([]byte("top 1"))
	if err != nil {
		t.Fatal(err)
	}
	var keys [][]byte
	for it, err := range b.All() {
		if err != nil {
			t.Fatal(err)
		}
		if !it.IsBucket() {
			keys = append(keys, bytes.Clone(it.Key))
		}
	}
	if err := f.Truncate(8192); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, k := range keys {
		if _, err := b.Get(k); err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("Get: %v", err)
			}
			failed++
		}
		if _, err := b.Item(k); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Item: %v", err)
		}
	}
	if failed == 0 {
		t.Error("every key is still there")
	}
	errs := 0
	for _, err := range b.All() {
		if err != nil {
			errs++
		}
	}
	if errs == 0 {
		t.Error("a scan sees no error")
	}
	faults := 0
	for fault := range db.Check() {
		if fault.Kind == boltview.KindRead {
			faults++
		}
	}
	if faults == 0 {
		t.Error("a check sees no failed read")
	}
	if _, err := boltview.Open(io.NewSectionReader(m, 8192, 4096), 4096, boltview.Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Open: %v", err)
	}
}

// TestMapClose closes the map under readers.
func TestMapClose(t *testing.T) {
	f, off := inArchive(t, bytes.Repeat([]byte("x"), 1<<20))
	for range 20 {
		m := mapFile(t, f)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				buf := make([]byte, 1<<16)
				for {
					if _, err := m.ReadAt(buf, off); err != nil {
						if !errors.Is(err, os.ErrClosed) {
							t.Error(err)
						}
						return
					}
					if buf[0] != 'x' || buf[len(buf)-1] != 'x' {
						t.Error(fmt.Errorf("read %q", buf[0]))
						return
					}
				}
			})
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
}
