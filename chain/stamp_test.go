package chain_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestChanged writes to a tar under an open chain. Its files fail from then on;
// those of the other layer do not.
func TestChanged(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"grown": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.Write(make([]byte, 512))
			return errors.Join(err, f.Close())
		},
		"cut":     func(path string) error { return os.Truncate(path, 1000) },
		"touched": func(path string) error { return os.Chtimes(path, time.Time{}, at(99)) },
	} {
		t.Run(name, func(t *testing.T) {
			c, path := write(t,
				sample.Layer{Time: at(0), Files: []sample.File{file("a/b/1", "one", 1)}},
				sample.Layer{Time: at(1), Files: []sample.File{file("a/b/2", "two", 1)}})
			v := view(t, c, "")
			opened, err := v.Open("a/b/1")
			if err != nil {
				t.Fatal(err)
			}
			defer opened.Close()
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			_, readErr := opened.(io.ReaderAt).ReadAt(make([]byte, 1), 0)
			_, openErr := v.Open("a/b/1")
			for _, err := range []error{readErr, openErr} {
				if !errors.Is(err, chain.ErrChanged) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v, want ErrChanged with %s", err, path)
				}
			}
			if b, err := fs.ReadFile(v, "a/b/2"); err != nil || string(b) != "two" {
				t.Errorf("in the other layer: %q, %v", b, err)
			}
		})
	}
}

// TestWatch is told of a tar that is written to, once, and of no other.
func TestWatch(t *testing.T) {
	c, path := write(t,
		sample.Layer{Time: at(0), Files: []sample.File{file("a/b/1", "one", 1)}},
		sample.Layer{Time: at(1), Files: []sample.File{file("a/b/2", "two", 1)}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told, done := make(chan string, 10), make(chan error, 1)
	go func() {
		done <- c.Watch(ctx, func(l *chain.Layer, err error) {
			if !errors.Is(err, chain.ErrChanged) {
				t.Error(err)
			}
			told <- l.Name
		})
	}()
	for range 2 { // the second time it is known
		if err := errors.Join(os.Remove(path), os.Truncate(path+".0", 600)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.Truncate(path+".0", 700); err != nil {
			t.Fatal(err)
		}
	}
	if name := <-told; name != "0" {
		t.Errorf("told of layer %s", name)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(told) != 0 {
		t.Errorf("told of layer %s as well", <-told)
	}
}

// TestWatchUnopened watches a chain whose full snapshot is not there, and that
// has a directory for a layer.
func TestWatchUnopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snap")
	err := sample.Write(path,
		sample.Layer{Time: at(0)},
		sample.Layer{Time: at(1)},
		sample.Layer{Time: at(2), Files: []sample.File{file("a/b/2", "two", 1)}})
	if err := errors.Join(err, os.Remove(path), os.Remove(path+".0"), os.Mkdir(path+".0", 0o700)); err != nil {
		t.Fatal(err)
	}
	c, err := chain.Open(path, chain.Options{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, l := range c.Layers()[:2] {
		if l.Err == nil || l.File() != nil {
			t.Errorf("layer %s: %v, open as %v", l.Name, l.Err, l.File())
		}
	}
	if err := os.Truncate(path+".1", 600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := ""
	if err := c.Watch(ctx, func(l *chain.Layer, err error) {
		told += l.Name
		cancel()
	}); err != nil || told != "1" {
		t.Errorf("told of %q, %v", told, err)
	}
}

// TestReplaced moves another file to the place of a tar, and removes one. The
// chain has them open, and reads what it indexed.
func TestReplaced(t *testing.T) {
	c, path := write(t,
		sample.Layer{Time: at(0), Files: []sample.File{file("a/b/1", "one", 1)}},
		sample.Layer{Time: at(1), Files: []sample.File{file("a/b/2", "two", 1)}})
	if err := os.WriteFile(path+".new", make([]byte, 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(path+".new", path), os.Remove(path+".0")); err != nil {
		t.Fatal(err)
	}
	got := contents(t, view(t, c, ""))
	if want := map[string]string{"a/b/1": "one", "a/b/2": "two"}; !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRuns compares Runs with what the files of all views say themselves.
func TestRuns(t *testing.T) {
	c, _ := write(t,
		sample.Layer{Time: at(0), Files: []sample.File{file("a/b/1", "one", 1), file("a/b/2", strings.Repeat("x", 5000), 1), file("meta", "", 1)}},
		sample.Layer{Time: at(1), Files: []sample.File{file("a/b/1", strings.Repeat("y", 700), 2)}})
	want := map[attr.Run]bool{}
	for l := range slices.Values(c.Layers()) {
		v := c.LayerView(l)
		err := fs.WalkDir(v, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			f, err := v.Open(p)
			if err != nil {
				return err
			}
			defer f.Close()
			fi, err := f.Stat()
			if err != nil {
				return err
			}
			on, off, ok := f.(attr.Extent).Extent()
			if ok {
				want[attr.Run{File: on, Off: off, Size: fi.Size()}] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, least := range []int64{0, 1, 700, 701, 1 << 40} {
		got := map[attr.Run]bool{}
		for r := range c.Runs(least) {
			got[r] = true
		}
		some := maps.Clone(want)
		maps.DeleteFunc(some, func(r attr.Run, _ bool) bool { return r.Size < least })
		if !maps.Equal(got, some) {
			t.Errorf("at least %d bytes: got %v, want %v", least, got, some)
		}
	}
	if len(want) < 5 {
		t.Errorf("only %d runs", len(want))
	}
}
