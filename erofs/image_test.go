package erofs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// manyNames has directories of all sizes, so that their blocks are filled to
// the last byte, or miss it by one, and names before and after the dots.
func manyNames() fstest.MapFS {
	tree := fstest.MapFS{"empty": {Mode: fs.ModeDir | 0o755}, "alone/" + strings.Repeat("n", 255): {Data: []byte("x")}}
	for n := range 130 {
		for i := range n {
			tree[fmt.Sprintf("by number/%d/%02x", n, i)] = &fstest.MapFile{}
			tree[fmt.Sprintf("by length/%d/%d%s", n, i%9, strings.Repeat("m", max(1, n-i)))] = &fstest.MapFile{}
		}
		tree[fmt.Sprintf("by number/%d/content", n)] = &fstest.MapFile{Data: []byte(strings.Repeat("c", n*9))}
		for _, before := range []string{"!", "-", " x", ".!", ".-", "..!", "...", "..a", ".a", "~", "ÿ"} {
			tree[fmt.Sprintf("dots/%d/%s%s", n, before, strings.Repeat("d", n))] = &fstest.MapFile{}
		}
	}
	return tree
}

// TestNames lists and finds all names, in what go-erofs reads and in what the
// kernel does.
func TestNames(t *testing.T) {
	tree := manyNames()
	b := build(t, tree)
	if b.unserved.Count > 0 {
		t.Fatal(&b.unserved)
	}
	t.Run("read", func(t *testing.T) { compareNames(t, written(t, &b.image), tree) })
	t.Run("mounted", func(t *testing.T) { compareNames(t, os.DirFS(mountedTree(t, tree)), tree) })
}

// mountedTree mounts a tree for the time of a test.
func mountedTree(t *testing.T, tree fs.FS) (dir string) {
	t.Helper()
	mounted(t, nil) // or skip
	dir = t.TempDir()
	if _, err := MountTree(t.Context(), dir, tree, TreeOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func compareNames(t *testing.T, got, want fs.FS) {
	t.Helper()
	err := fs.WalkDir(want, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			g, gerr := fs.ReadFile(got, name)
			w, werr := fs.ReadFile(want, name)
			if string(g) != string(w) || errors.Join(gerr, werr) != nil {
				t.Errorf("%q: %d bytes, %v; want %d", name, len(g), gerr, len(w))
			}
			return nil
		}
		g, gerr := fs.ReadDir(got, name)
		w, werr := fs.ReadDir(want, name)
		same := slices.EqualFunc(g, w, func(a, b fs.DirEntry) bool { return a.Name() == b.Name() && a.Type() == b.Type() })
		if !same || errors.Join(gerr, werr) != nil {
			t.Errorf("%q has %q (%v), want %q", name, g, gerr, w)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestNumbers looks at what programs go by that walk a tree: links of
// directories, and numbers of files, which are none twice and never 0.
func TestNumbers(t *testing.T) {
	dir := mountedTree(t, fstest.MapFS{"a/b/c": {}, "a/d/e": {}, "a/f": {}, "g": {}})
	seen := map[uint64]string{}
	for name, links := range map[string]uint64{".": 3, "a": 4, "a/b": 2, "a/b/c": 1, "a/d": 2, "a/d/e": 1, "a/f": 1, "g": 1} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil {
			t.Fatal(err)
		}
		if uint64(st.Nlink) != links {
			t.Errorf("%s has %d links, want %d", name, st.Nlink, links)
		}
		if other, twice := seen[st.Ino]; twice || st.Ino == 0 {
			t.Errorf("%s has number %d, as %q", name, st.Ino, other)
		}
		seen[st.Ino] = name
	}
}

// TestHuge has a file of more than one chunk, which is one of more than a TiB.
func TestHuge(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "device")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 1<<40 + 1<<30 // of the extent
	if err := f.Truncate(BlockSize + size); err != nil {
		t.Skip(err) // not on every file system
	}
	marks := map[int64]string{0: "begin", 1<<40 - 4: "over the edge", size - 3: "end"}
	for off, text := range marks {
		if _, err := f.WriteAt([]byte(text), BlockSize+off); err != nil {
			t.Fatal(err)
		}
	}
	e := attr.Run{File: f, Off: BlockSize, Size: size}
	check := func(t *testing.T, r io.ReaderAt) {
		for off, text := range marks {
			b := make([]byte, len(text))
			if _, err := r.ReadAt(b, off); err != nil || string(b) != text {
				t.Errorf("at %d: %q, %v; want %q", off, b, err, text)
			}
		}
	}
	t.Run("mounted", func(t *testing.T) {
		m := mounted(t, []attr.Run{e})
		file, err := m.Open(e.File, e.Off, e.Size)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		check(t, file)
	})
}

// TestTooLarge is refused before anything is written.
func TestTooLarge(t *testing.T) {
	im := &image{inodes: []inode{{mode: fs.ModeDir | 0o500, first: 1, count: 1}, {name: "f", device: 1, size: 1 << 53}}}
	for range 16_500 { // of which the table alone has more than 2 MiB
		im.devices = append(im.devices, &device{})
	}
	if err := im.layout(); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
}
