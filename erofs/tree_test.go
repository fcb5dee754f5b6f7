package erofs

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// lying is a tree with files that say where in a device they are.
type lying struct {
	fstest.MapFS
	runs map[string]attr.Run
}

type lyingFile struct {
	fs.File
	run attr.Run
}

func (f lyingFile) Extent() (*os.File, int64, bool) { return f.run.File, f.run.Off, f.run.File != nil }

func (l lying) Open(name string) (fs.File, error) {
	f, err := l.MapFS.Open(name)
	if run, ok := l.runs[name]; ok && err == nil {
		return lyingFile{f, run}, nil
	}
	return f, err
}

// build collects a tree.
func build(t *testing.T, tree fs.FS) *builder {
	t.Helper()
	b := &builder{opts: TreeOptions{UID: 1, GID: 70_000, Private: true}, tree: tree}
	if err := b.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTreeImage reads the image of a tree without the kernel.
func TestTreeImage(t *testing.T) {
	dir := t.TempDir()
	one, oneBytes := noise(t, dir, 10_000)
	two, twoBytes := noise(t, dir, 5000)
	at := time.Date(2015, 11, 2, 3, 4, 5, 600, time.UTC)
	tree := lying{fstest.MapFS{
		"a/b/c/one":   {Data: oneBytes[512:5512], Mode: 0o440, ModTime: at},
		"a/two":       {Data: twoBytes[1024:1025], Mode: 0o400, ModTime: at.Add(-time.Hour)},
		"a/unaligned": {Data: oneBytes[100:200], Mode: 0o444},
		"a/last":      {Data: twoBytes[4608:5000], Mode: 0o444}, // its block is cut off
		"copied":      {Data: []byte(strings.Repeat("0123456789", 1000)), Mode: 0o444, ModTime: at},
		"empty":       {Mode: 0o444, ModTime: at},
		"link":        {Data: []byte("a/two"), Mode: fs.ModeSymlink | 0o777, ModTime: at},
		"dir":         {Mode: fs.ModeDir | 0o555, ModTime: at},
		"pipe":        {Mode: fs.ModeNamedPipe | 0o400, ModTime: at},
	}, map[string]attr.Run{
		"a/b/c/one": {File: one, Off: 512}, "a/two": {File: two, Off: 1024},
		"a/unaligned": {File: one, Off: 100}, "a/last": {File: two, Off: 4608},
	}}
	b := build(t, tree)
	if b.unserved.Count != 0 {
		t.Fatal(&b.unserved)
	}
	if want := (Counts{Files: 2, Copied: 3, Bytes: 10_000 + 100 + 392}); b.counts != want {
		t.Errorf("counts %+v, want %+v", b.counts, want)
	}
	image := written(t, &b.image)
	seen := map[string]bool{}
	err := fs.WalkDir(image, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		seen[name] = true
		checkNode(t, image, tree, name, d)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range tree.MapFS {
		if !seen[name] {
			t.Errorf("no %s among %q", name, slices.Sorted(maps.Keys(seen)))
		}
	}
}

func checkNode(t *testing.T, image, tree fs.FS, name string, d fs.DirEntry) {
	t.Helper()
	got, err := d.Info()
	if err != nil {
		t.Fatal(err)
	}
	want, err := fs.Lstat(tree, name)
	if err != nil {
		t.Fatal(err)
	}
	mode := want.Mode()
	if name == "." {
		mode &^= 0o077
	}
	at := want.ModTime()
	if at.IsZero() {
		at = time.Unix(0, 0)
	}
	if got.Mode().String() != mode.String() || !got.ModTime().Equal(at) {
		t.Errorf("%s: %v, %v; want %v, %v", name, got.Mode(), got.ModTime(), mode, at)
	}
	if st := got.Sys().(*erofs.Stat); st.UID != 1 || st.GID != 70_000 {
		t.Errorf("%s belongs to %d:%d", name, st.UID, st.GID)
	}
	switch {
	case mode.IsRegular():
		g, gerr := fs.ReadFile(image, name)
		w, werr := fs.ReadFile(tree, name)
		if string(g) != string(w) || errors.Join(gerr, werr) != nil {
			t.Errorf("%s: %d bytes, %v; want %d, %v", name, len(g), gerr, len(w), werr)
		}
	case mode&fs.ModeSymlink != 0:
		if target, err := fs.ReadLink(image, name); target != "a/two" || err != nil {
			t.Errorf("%s -> %q, %v", name, target, err)
		}
	}
}

// torn is a file that cannot be read to its end.
type torn struct{ fs.File }

func (f torn) Read(p []byte) (int, error) { return 0, unix.EIO }

type tornFS struct{ fstest.MapFS }

func (f tornFS) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	if name == "torn" && err == nil {
		return torn{file}, nil
	}
	return file, err
}

// TestUnserved names what no mount could show as it is.
func TestUnserved(t *testing.T) {
	long := strings.Repeat("n", 256)
	tree := tornFS{fstest.MapFS{
		"good":            {Data: []byte("x")},
		"torn":            {Data: []byte("x")},
		"dir/" + long:     {},
		long[:255]:        {},
		long + "/in":      {},
		"link":            {Mode: fs.ModeSymlink, Data: []byte(strings.Repeat("x", unix.PathMax))},
		"never/large":     {Data: make([]byte, maxCopied)},
		"never/the other": {Data: make([]byte, 1)},
	}}
	b := build(t, tree)
	got := map[string]error{}
	for _, u := range b.unserved.Files {
		got[u.Path] = u.Err
	}
	want := map[string]error{"torn": unix.EIO, "dir/" + long: errName, long: errName, "link": errLink, "never/large": errCopy}
	if !maps.EqualFunc(got, want, errors.Is) || b.unserved.Count != len(want) {
		t.Errorf("got %v", &b.unserved)
	}
	for range 20 {
		b.unserved.add("more", errSize)
	}
	if err := error(&b.unserved); len(b.unserved.Files) != maxUnserved || !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "and 15 more") {
		t.Errorf("got %v", err)
	}
	dir := t.TempDir()
	_, err := MountTree(t.Context(), dir, tree, TreeOptions{})
	var unserved *UnservedError
	if !errors.As(err, &unserved) && !errors.Is(err, ErrUnavailable) {
		t.Errorf("mounted: %v", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("%d files, %v", len(list), err)
	}
}
