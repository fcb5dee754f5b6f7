package repair_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/repair"
)

func TestOverlay(t *testing.T) {
	when := time.Date(2015, 11, 2, 3, 4, 5, 0, time.UTC)
	base := fstest.MapFS{
		"a/b/one": {Data: []byte("one"), Mode: 0o640, ModTime: when},
		"a/b/two": {Data: []byte("two"), Mode: 0o600, ModTime: when},
		"a/link":  {Data: []byte("b/one"), Mode: fs.ModeSymlink | 0o777},
		"top":     {Data: []byte("top"), ModTime: when},
	}
	disk := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(disk, []byte("repaired"), 0o600); err != nil {
		t.Fatal(err)
	}
	fsys, err := repair.Overlay(base, map[string]string{"a/b/one": disk})
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(fsys, "a/b/one", "a/b/two", "a/link", "top"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"a/b/one": "repaired", "a/b/two": "two", "top": "top"} {
		got, err := fs.ReadFile(fsys, name)
		if err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	fi, err := fs.Stat(fsys, "a/b/one")
	if err != nil || fi.Size() != 8 || fi.Mode() != 0o640 || !fi.ModTime().Equal(when) || fi.Sys() != nil {
		t.Errorf("%v, %v", fi, err)
	}
	f, err := fsys.Open("a/b/one")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if e, ok := f.(attr.Extent); !ok {
		t.Error("no extent")
	} else if on, off, ok := e.Extent(); !ok || off != 0 || on.Name() != disk {
		t.Errorf("extent in %s at %d, %v", on.Name(), off, ok)
	}
	if _, err := repair.Overlay(base, map[string]string{"top": disk + "x"}); !os.IsNotExist(err) {
		t.Errorf("no such file: %v", err)
	}
}
