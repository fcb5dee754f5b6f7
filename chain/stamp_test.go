package chain_test

import (
	"context"
	"errors"
	"fmt"
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
			steady, ok := opened.(attr.Steady)
			if !ok {
				t.Fatalf("%T does not say whether it has changed", opened)
			}
			for _, err := range []error{readErr, openErr, steady.Changed()} {
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

// TestWatch is told of tars that are written to, removed, renamed and replaced,
// once, and of no other.
func TestWatch(t *testing.T) {
	var layers []sample.Layer
	for i := range 6 {
		layers = append(layers, sample.Layer{Time: at(i), Files: []sample.File{file("a/b/1", "one", 1)}})
	}
	c, path := write(t, layers...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told, done := make(chan string, 100), make(chan error, 1)
	go func() {
		done <- c.Watch(ctx, func(l *chain.Layer, err error) {
			told <- fmt.Sprintf("%s: changed %t, replaced %t", l.Name, errors.Is(err, chain.ErrChanged), errors.Is(err, chain.ErrReplaced))
		})
	}()
	want := func(what string) {
		t.Helper()
		if got := <-told; got != what {
			t.Errorf("%s, want %s", got, what)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Link(path, path+".link"))
	must(os.Remove(path + ".link")) // the kernel tells, and it is nothing
	must(os.Remove(path))
	want("full: changed false, replaced true")
	must(os.Truncate(path+".0", 600))
	want("0: changed true, replaced false")
	must(os.Truncate(path+".0", 700)) // that is known
	must(os.Rename(path+".1", path+".away"))
	want("1: changed false, replaced true")
	must(os.Rename(path+".away", path+".1")) // that too
	must(os.WriteFile(path+".new", make([]byte, 10_000), 0o600))
	must(os.Rename(path+".new", path+".2"))
	want("2: changed false, replaced true")
	must(os.Truncate(path+".1", 700)) // something else of the same tar
	want("1: changed true, replaced false")
	must(os.Rename(path+".0", path+".3"))
	for range 2 { // of the same event, in the order of the chain
		switch got := <-told; got {
		case "0: changed false, replaced true", "3: changed false, replaced true":
		default:
			t.Error(got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(told) != 0 {
		t.Errorf("told as well: %s", <-told)
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
	if err := c.Watch(ctx, func(l *chain.Layer, _ error) {
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
