package restore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func text(s string) func(string) (io.ReaderAt, error) {
	return func(string) (io.ReaderAt, error) { return strings.NewReader(s), nil }
}

// guarded returns a directory for a target inside one that must stay as it is.
func guarded(t testing.TB) (dst string, check func()) {
	t.Helper()
	outer := t.TempDir()
	dst = filepath.Join(outer, "dst")
	if err := os.Mkdir(dst, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, outer, lines("precious mine\n other/file mine"))
	outside := func() string {
		t.Helper()
		var b strings.Builder
		for line := range strings.Lines(dump(t, outer)) {
			if !strings.HasPrefix(line, `"dst"`) && !strings.HasPrefix(line, `"dst/`) {
				b.WriteString(line)
			}
		}
		return b.String()
	}
	before := outside()
	return dst, func() {
		t.Helper()
		if after := outside(); after != before {
			t.Errorf("outside the target:\n%s, before\n%s", after, before)
		}
	}
}

func TestHostileNames(t *testing.T) {
	bad := []string{
		"", ".", "..", "../x", "../../x", "/", "/etc/x", "a/b", "a/../../b", "a//b", "./a", "a/", "x\x00y", "\xff", "../precious", "../other/file",
	}
	for _, mode := range []fs.FileMode{0o644, fs.ModeDir | 0o755, fs.ModeSymlink | 0o777} {
		dst, check := guarded(t)
		src := &fakeFS{open: text("evil"), links: "../precious"}
		src.list = func(dir string) []fakeEntry {
			if strings.Contains(dir, "..") || strings.Contains(dir, "//") {
				t.Errorf("a directory with the name %q was listed", dir)
			}
			if dir != "./." {
				return nil
			}
			list := []fakeEntry{{"good", 0o644, 4}}
			for _, name := range bad {
				list = append(list, fakeEntry{name, mode, 4})
			}
			return list
		}
		r, err := Copy(t.Context(), dst, src, Options{Overwrite: Always})
		if !errors.Is(err, ErrIncomplete) || len(r.Failed) != len(bad) || r.Created != 1 {
			t.Errorf("%v, %+v", err, r)
		}
		for _, f := range r.Failed {
			if !errors.Is(f.Err, errName) || strings.Contains(f.String(), "\x00") || strings.Contains(f.String(), "\xff") {
				t.Errorf("%q: %v", f, f.Err)
			}
		}
		if got := strings.Join(names(t, dst), " "); got != ". good" {
			t.Errorf("restored %s", got)
		}
		check()
	}
}

// FuzzNames: whatever a tree calls its files, and wherever its links point,
// nothing outside the target changes.
func FuzzNames(f *testing.F) {
	f.Add("a", "b", "../x", uint8(0))
	f.Add("..", "x", "/", uint8(1))
	f.Add("a", "a", "..", uint8(2))
	f.Add("dst/../../other", "file", "", uint8(1))
	f.Fuzz(func(t *testing.T, a, b, link string, kinds uint8) {
		modes := [...]fs.FileMode{0o644, fs.ModeDir | 0o755, fs.ModeSymlink | 0o777, fs.ModeNamedPipe}
		dst, check := guarded(t)
		src := &fakeFS{open: text("evil"), links: link}
		src.list = func(dir string) []fakeEntry {
			if strings.Count(dir, "/") > 3 {
				return nil
			}
			return []fakeEntry{{a, modes[kinds&3], 4}, {b, modes[kinds>>2&3], 4}, {link, modes[kinds>>4&3], 4}}
		}
		r, err := Copy(t.Context(), dst, src, Options{Overwrite: Always, NoSync: true})
		if (err != nil) != (len(r.Failed) > 0) {
			t.Errorf("%v, %+v", err, r)
		}
		check()
		noTemps(t, dst)
	})
}

func TestListedTwice(t *testing.T) {
	dst, check := guarded(t)
	src := &fakeFS{open: text("evil"), links: "../other"}
	src.list = func(dir string) []fakeEntry {
		switch dir {
		case "./.":
			// A link, and then a directory to write through it.
			return []fakeEntry{{"a", fs.ModeSymlink, 0}, {"a", fs.ModeDir, 0}, {"b", fs.ModeDir, 0}, {"b", fs.ModeSymlink, 0}}
		}
		return []fakeEntry{{"file", 0o644, 4}}
	}
	r, err := Copy(t.Context(), dst, src, Options{})
	if !errors.Is(err, ErrIncomplete) || len(r.Failed) != 2 || !errors.Is(r.Failed[0].Err, errTwice) {
		t.Errorf("%v, %+v", err, r)
	}
	if got := strings.Join(names(t, dst), " "); got != ". a b b/file" {
		t.Errorf("restored %s", got)
	}
	check()
}

// TestEndless: trees without an end come to one.
func TestEndless(t *testing.T) {
	t.Run("deep", func(t *testing.T) {
		dst := t.TempDir()
		src := &fakeFS{open: text("x")}
		src.list = func(string) []fakeEntry { return []fakeEntry{{"d", fs.ModeDir | 0o755, 0}, {"f", 0o644, 1}} }
		r, err := Copy(t.Context(), dst, src, Options{NoSync: true})
		if !errors.Is(err, ErrIncomplete) || len(r.Failed) != 1 || !errors.Is(r.Failed[0].Err, errDeep) || r.Dirs != maxDepth || r.Files != maxDepth+1 {
			t.Errorf("%v, %d failures, %d directories, %d files", err, len(r.Failed), r.Dirs, r.Files)
		}
	})
	t.Run("bushy", func(t *testing.T) {
		dst := filepath.Join(t.TempDir(), "new")
		src := &fakeFS{open: text("x")}
		src.list = func(string) []fakeEntry {
			return []fakeEntry{{"a", fs.ModeDir | 0o755, 0}, {"b", fs.ModeDir | 0o755, 0}}
		}
		if _, err := Copy(t.Context(), dst, src, Options{MaxEntries: 20_000}); !errors.Is(err, ErrBudget) {
			t.Error(err)
		}
		if src.lists > 20_000 {
			t.Errorf("%d listings", src.lists)
		}
		if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something was written: %v", err)
		}
	})
	t.Run("listing", func(t *testing.T) {
		if _, err := Copy(t.Context(), t.TempDir(), endless{}, Options{MaxEntries: 20_000}); !errors.Is(err, ErrBudget) {
			t.Error(err)
		}
	})
	t.Run("size", func(t *testing.T) {
		dst := t.TempDir()
		src := &fakeFS{open: text("x")}
		src.list = func(string) []fakeEntry {
			return []fakeEntry{{"a", 0o644, math.MaxInt64}, {"b", 0o644, math.MaxInt64}, {"c", 0o644, math.MaxInt64}}
		}
		if _, err := Copy(t.Context(), dst, src, Options{}); !errors.Is(err, ErrSpace) {
			t.Error(err)
		}
	})
}

// endless is a directory that never stops listing.
type endless struct{}

func (e endless) Open(string) (fs.File, error)     { return &endlessDir{}, nil }
func (e endless) Stat(string) (fs.FileInfo, error) { return fakeEntry{".", fs.ModeDir, 0}, nil }

type endlessDir struct{ fakeFile }

func (*endlessDir) ReadDir(n int) ([]fs.DirEntry, error) {
	return make([]fs.DirEntry, n), nil
}

// TestTargetLinks: a link in the target is not a way out of it.
func TestTargetLinks(t *testing.T) {
	src := lines("other/file evil\n in/file evil\n x/y/file evil")
	for _, link := range []string{"../other", "in", "..", "/"} {
		for _, o := range []Overwrite{Never, Always} {
			dst, check := guarded(t)
			put(t, dst, lines("in/\nother -> "+link))
			before := dump(t, dst)
			_, err := Copy(t.Context(), dst, src, Options{Overwrite: o})
			if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "other: a symbolic link is where a directory should be") {
				t.Errorf("%s: %v", link, err)
			}
			if dump(t, dst) != before {
				t.Errorf("%s: the target changed", link)
			}
			check()
		}
	}
	// The link comes when the plan is made already.
	for _, sub := range []string{"other", "x"} {
		dst, check := guarded(t)
		put(t, dst, lines("other/\nx/y/"))
		plan, err := NewPlan(t.Context(), dst, src, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dst, sub)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../other", filepath.Join(dst, sub)); err != nil {
			t.Fatal(err)
		}
		r, err := plan.Run(t.Context())
		if !errors.Is(err, ErrIncomplete) || r.Created != 2 {
			t.Errorf("%v, %+v", err, r)
		}
		check()
	}
}

// TestLongName: one name that the target cannot have does not keep the others
// from being restored.
func TestLongName(t *testing.T) {
	for _, there := range []bool{true, false} {
		dst := t.TempDir()
		if !there {
			dst += "/new"
		}
		long := strings.Repeat("n", 300)
		r, err := Copy(t.Context(), dst, lines("a 1\n "+long+" 2\n d/"+long+"/x 3\n z 4"), Options{})
		if !errors.Is(err, ErrIncomplete) || r.Created != 2 {
			t.Errorf("%v, %+v", err, r)
		}
		for _, f := range r.Failed {
			if !errors.Is(f.Err, syscall.ENAMETOOLONG) {
				t.Errorf("%v", f)
			}
		}
	}
}

func TestTempNames(t *testing.T) {
	for _, r := range []uint64{0, 1, math.MaxUint64} {
		if !isTemp(tempName(r)) {
			t.Errorf("%s is none", tempName(r))
		}
	}
	for _, name := range []string{"", ".snapfs", ".snapfs-.tmp", ".snapfs-0123456789abcde.tmp", ".snapfs-0123456789abcdef0.tmp", ".snapfs-0123456789ABCDEF.tmp", "snapfs-0123456789abcdef.tmp", ".snapfs-0123456789abcdef.tmp~"} {
		if isTemp(name) {
			t.Errorf("%s is one", name)
		}
	}
	// Litter goes; a user's own file, a directory of that name, and a file of
	// the tree stay.
	dst := t.TempDir()
	own := tempName(5)
	put(t, dst, lines(fmt.Sprintf("%s x\n d/%s x\n d/%s -> gone\n sub/%s/\n .snapfs-mine.tmp x\n unrelated/%s x", tempName(1), tempName(2), tempName(3), tempName(4), tempName(6))))
	src := lines("a 1\n d/b 2\n sub/c 3\n " + own + " tree")
	for range 2 {
		if _, err := Copy(t.Context(), dst, src, Options{}); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(". %s .snapfs-mine.tmp a d d/b sub sub/%s sub/c unrelated unrelated/%s", own, tempName(4), tempName(6))
		if got := strings.Join(names(t, dst), " "); got != want {
			t.Errorf("there is %s, want %s", got, want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dst, own)); !bytes.Equal(b, []byte("tree")) {
		t.Errorf("%s: %q, %v", own, b, err)
	}
}
