package restore

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// when is the time of the test files, down to the nanosecond.
var when = time.Date(2015, 11, 2, 3, 4, 5, 678901234, time.UTC)

// lines makes a tree from lines such as
//
//	db/rp/1 content
//	db/dir/
//	db/link -> ../target
func lines(text string) fstest.MapFS {
	m := fstest.MapFS{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			m[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, ModTime: when}
		} else if to, ok := strings.CutPrefix(rest, "-> "); ok {
			m[name] = &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, ModTime: when, Data: []byte(to)}
		} else {
			m[name] = &fstest.MapFile{Mode: 0o644, ModTime: when, Data: []byte(rest)}
		}
	}
	return m
}

// put writes a tree into a directory by plain means.
func put(t testing.TB, dir string, tree fstest.MapFS) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		f, p := tree[name], filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch f.Mode.Type() {
		case fs.ModeDir:
			err = os.MkdirAll(p, 0o755)
		case fs.ModeSymlink:
			err = os.Symlink(string(f.Data), p)
		default:
			if err = os.WriteFile(p, f.Data, 0o644); err == nil && !f.ModTime.IsZero() {
				err = os.Chtimes(p, f.ModTime, f.ModTime)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// dump shows all of a directory as lines: name, mode, time, link or hash.
func dump(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%q %v %v %x\n", rel, info.Mode(), info.ModTime().UnixNano(), sha256.Sum256(data))
		case info.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			fmt.Fprintf(&b, "%q -> %q\n", rel, to)
		case rel == ".":
			fmt.Fprintf(&b, ". %v\n", info.Mode()) // its time changes when something is made in it
		default:
			fmt.Fprintf(&b, "%q %v %v\n", rel, info.Mode(), info.ModTime().UnixNano())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sameTree checks that dir holds the files and links of tree, byte for byte,
// with their times, and nothing else but directories.
func sameTree(t testing.TB, dir string, tree fs.FS) {
	t.Helper()
	want := map[string]bool{}
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		want[p] = true
		info, err := d.Info()
		if err != nil {
			return err
		}
		got, err := os.Lstat(filepath.Join(dir, p))
		if err != nil {
			t.Error(err)
			return nil
		}
		if got.Mode().Type() != info.Mode().Type() {
			t.Errorf("%s: %v, want %v", p, got.Mode(), info.Mode())
			return nil
		}
		if p != "." && info.Mode().Type() != fs.ModeSymlink && !info.ModTime().IsZero() && !got.ModTime().Equal(info.ModTime()) {
			t.Errorf("%s: modified %v, want %v", p, got.ModTime(), info.ModTime())
		}
		switch info.Mode().Type() {
		case 0:
			a, err := fs.ReadFile(tree, p)
			if err != nil {
				return err
			}
			b, err := os.ReadFile(filepath.Join(dir, p))
			if err != nil || !bytes.Equal(a, b) {
				t.Errorf("%s: content differs: %d bytes, want %d, %v", p, len(b), len(a), err)
			}
		case fs.ModeSymlink:
			a, _ := fs.ReadLink(tree, p)
			b, _ := os.Readlink(filepath.Join(dir, p))
			if a != b {
				t.Errorf("%s -> %q, want %q", p, b, a)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range names(t, dir) {
		if !want[p] {
			t.Errorf("%s is there, but not in the tree", p)
		}
	}
}

// names lists all paths in a directory.
func names(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		all = append(all, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// noTemps checks that no temporary file is left.
func noTemps(t testing.TB, dir string) {
	t.Helper()
	for _, p := range names(t, dir) {
		if isTemp(filepath.Base(p)) {
			t.Errorf("temporary file %s is left", p)
		}
	}
}

// diff runs diff -r, where there is one.
func diff(t testing.TB, a, b string) {
	t.Helper()
	if _, err := exec.LookPath("diff"); err != nil {
		return
	}
	if out, err := exec.Command("diff", "-r", "--no-dereference", a, b).CombinedOutput(); err != nil {
		t.Errorf("diff -r: %v\n%s", err, out)
	}
}

// noise is n bytes that are the same for the same seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	r.Read(b)
	return b
}

func hash256(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// fakeFS is a tree with any listing at all.
type fakeFS struct {
	list  func(dir string) []fakeEntry
	open  func(path string) (io.ReaderAt, error) // content of the files
	links string                                 // target of every link
	lists int
}

type fakeEntry struct {
	name string
	mode fs.FileMode
	size int64
}

func (e fakeEntry) Name() string               { return e.name }
func (e fakeEntry) IsDir() bool                { return e.mode.IsDir() }
func (e fakeEntry) Type() fs.FileMode          { return e.mode.Type() }
func (e fakeEntry) Mode() fs.FileMode          { return e.mode }
func (e fakeEntry) Size() int64                { return e.size }
func (e fakeEntry) ModTime() time.Time         { return when }
func (e fakeEntry) Sys() any                   { return nil }
func (e fakeEntry) Info() (fs.FileInfo, error) { return e, nil }

type fakeFile struct {
	fakeEntry
	io.ReaderAt
	rest []fakeEntry
}

func (f *fakeFile) Stat() (fs.FileInfo, error) { return f.fakeEntry, nil }
func (f *fakeFile) Read(p []byte) (int, error) { panic("read, although there is ReadAt") }
func (f *fakeFile) Close() error               { return nil }

func (f *fakeFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if len(f.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.rest))
	var out []fs.DirEntry
	for _, e := range f.rest[:n] {
		out = append(out, e)
	}
	f.rest = f.rest[n:]
	return out, nil
}

func (f *fakeFS) Open(name string) (fs.File, error) {
	if name != "." {
		dir, base := filepath.Split(name)
		for _, e := range f.list("./" + filepath.Clean(dir)) {
			if e.name == base {
				if e.IsDir() {
					break
				}
				r, err := f.open(name)
				if err != nil {
					return nil, &fs.PathError{Op: "open", Path: name, Err: err}
				}
				return &fakeFile{fakeEntry: e, ReaderAt: r}, nil
			}
		}
	}
	f.lists++
	return &fakeFile{fakeEntry: fakeEntry{name: filepath.Base(name), mode: fs.ModeDir | 0o755}, rest: f.list("./" + name)}, nil
}

func (f *fakeFS) ReadLink(string) (string, error)        { return f.links, nil }
func (f *fakeFS) Lstat(name string) (fs.FileInfo, error) { return fs.Stat(f, name) }
