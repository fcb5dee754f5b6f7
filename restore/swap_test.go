package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapfs/snapfs/internal/hint"
)

// swapWhen names what is kept in tests.
var swapWhen = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const keptName = ".before-2026-01-02T030405Z"

// beside lists what is in the directory of a target, the target itself too.
func beside(t testing.TB, target string) string {
	t.Helper()
	list, err := os.ReadDir(filepath.Dir(target))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, d := range list {
		all = append(all, d.Name())
	}
	return strings.Join(all, " ")
}

func swap(ctx context.Context, parts []Part, opts SwapOptions) ([]Report, error) {
	opts.Time = swapWhen
	s, err := NewSwap(ctx, parts, opts)
	if err != nil {
		return nil, err
	}
	return s.Run(ctx)
}

// TestSwap goes through what can be at a target.
func TestSwap(t *testing.T) {
	tree := lines("meta m\ndb/rp/1 one\ndb/link -> rp/1")
	old := lines("meta old\nother/2 two")
	tests := []struct {
		name   string
		opts   SwapOptions
		there  func(t *testing.T, dst string)
		err    error
		beside string // afterwards
	}{
		{"nothing", SwapOptions{}, nil, nil, "dst"},
		{"empty directory", SwapOptions{}, func(t *testing.T, dst string) { mkdir(t, dst) }, nil, "dst"},
		{"not allowed", SwapOptions{}, func(t *testing.T, dst string) { put(t, dst, old) }, ErrConflict, "dst"},
		{"replaced", SwapOptions{Replace: true}, func(t *testing.T, dst string) { put(t, dst, old) }, nil, "dst dst" + keptName},
		{"discarded", SwapOptions{Replace: true, DiscardOld: true}, func(t *testing.T, dst string) { put(t, dst, old) }, nil, "dst"},
		{"name taken", SwapOptions{Replace: true}, func(t *testing.T, dst string) {
			put(t, dst, old)
			mkdir(t, dst+keptName)
		}, nil, "dst dst" + keptName + " dst" + keptName + "-2"},
		{"the same", SwapOptions{Replace: true}, func(t *testing.T, dst string) { put(t, dst, tree) }, nil, "dst"},
		{"one more", SwapOptions{Replace: true}, func(t *testing.T, dst string) {
			put(t, dst, tree)
			mkdir(t, filepath.Join(dst, "more"))
		}, nil, "dst dst" + keptName},
		{"one byte", SwapOptions{Replace: true}, func(t *testing.T, dst string) {
			put(t, dst, tree)
			put(t, dst, lines("db/rp/1 onE"))
		}, nil, "dst dst" + keptName},
		{"a file", SwapOptions{Replace: true}, func(t *testing.T, dst string) {
			if err := os.WriteFile(dst, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, ErrConflict, "dst"},
		{"a link", SwapOptions{Replace: true}, func(t *testing.T, dst string) {
			put(t, dst+"-real", old)
			if err := os.Symlink(dst+"-real", dst); err != nil {
				t.Fatal(err)
			}
		}, nil, "dst dst-real dst-real" + keptName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "dst")
			before := ""
			if tt.there != nil {
				tt.there(t, dst)
				before = dump(t, dst)
			}
			r, err := swap(t.Context(), []Part{{Target: dst, Tree: tree}}, tt.opts)
			if !errors.Is(err, tt.err) || (err != nil) != (tt.err != nil) {
				t.Fatal(err)
			}
			if got := beside(t, dst); got != tt.beside {
				t.Errorf("beside it: %s, want %s", got, tt.beside)
			}
			if err != nil {
				if hint.Of(err) == "" || dump(t, dst) != before {
					t.Errorf("%v: no hint, or something was changed", err)
				}
				return
			}
			real, err := filepath.EvalSymlinks(dst)
			if err != nil {
				t.Fatal(err)
			}
			sameTree(t, real, tree)
			if r[0].Aside != "" && !strings.Contains(tt.beside, filepath.Base(r[0].Aside)) || r[0].Discarded != tt.opts.DiscardOld {
				t.Errorf("report: %+v", r[0])
			}
			if (r[0].Aside != "") != strings.Contains(tt.beside, keptName) {
				t.Errorf("report: kept as %q", r[0].Aside)
			} else if r[0].Aside != "" && before != "" && tt.name == "replaced" && dump(t, r[0].Aside) != before {
				t.Error("what is kept is not what was there")
			}
		})
	}
}

func mkdir(t testing.TB, name string) {
	t.Helper()
	if err := os.MkdirAll(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestSwapModes: the new directory has the mode of the old one, or what is
// asked for.
func TestSwapModes(t *testing.T) {
	tree := lines("db/1 one")
	dst := filepath.Join(t.TempDir(), "dst")
	put(t, dst, lines("x y"))
	if err := os.Chmod(dst, 0o711); err != nil {
		t.Fatal(err)
	}
	perm := func(name string) fs.FileMode {
		st, err := os.Stat(filepath.Join(dst, name))
		if err != nil {
			t.Fatal(err)
		}
		return st.Mode().Perm()
	}
	if _, err := swap(t.Context(), []Part{{Target: dst, Tree: tree}}, SwapOptions{Replace: true}); err != nil || perm(".") != 0o711 {
		t.Errorf("%v, mode %v", err, perm("."))
	}
	opts := Options{FileMode: 0o600, DirMode: 0o700, Owner: &Owner{os.Geteuid(), os.Getegid()}}
	if os.Geteuid() == 0 {
		opts.Owner = &Owner{12345, 54321}
	}
	// Contents are the same, but modes and owners are not.
	parts := []Part{{Target: dst, Tree: tree, Options: opts}}
	r, err := swap(t.Context(), parts, SwapOptions{Replace: true})
	if err != nil || r[0].Aside == "" {
		t.Fatalf("%v, %+v", err, r)
	}
	for name, want := range map[string]fs.FileMode{".": 0o700, "db": 0o700, "db/1": 0o600} {
		if perm(name) != want {
			t.Errorf("%s: mode %v, want %v", name, perm(name), want)
		}
		st, _ := os.Stat(filepath.Join(dst, name))
		if sys := st.Sys().(*syscall.Stat_t); int(sys.Uid) != opts.Owner.UID || int(sys.Gid) != opts.Owner.GID {
			t.Errorf("%s belongs to %d:%d", name, sys.Uid, sys.Gid)
		}
	}
	if r, err := swap(t.Context(), parts, SwapOptions{Replace: true}); err != nil || r[0].Aside != "" || r[0].Kept != 1 {
		t.Errorf("again: %v, %+v", err, r)
	}
}

// TestSwapPlaces: what cannot be replaced, and what must not.
func TestSwapPlaces(t *testing.T) {
	tree := lines("a b")
	dir := t.TempDir()
	snap := filepath.Join(dir, "backup", "snap")
	put(t, filepath.Dir(snap), lines("snap tar"))
	if err := os.Symlink("backup", filepath.Join(dir, "alias")); err != nil {
		t.Fatal(err)
	}
	before := dump(t, dir)
	at := func(names ...string) (parts []Part) {
		for _, n := range names {
			parts = append(parts, Part{Target: filepath.Join(dir, n), Tree: tree})
		}
		return parts
	}
	tests := []struct {
		name  string
		parts []Part
		is    error
	}{
		{"over the chain", at("backup"), ErrOverlap},
		{"over the chain, by another path", at("alias"), ErrOverlap},
		{"over all", at("."), ErrOverlap},
		{"the chain itself", at("backup/snap"), ErrConflict},
		{"nested", at("x", "x/y"), ErrOverlap},
		{"twice", at("x", "alias/../x"), ErrOverlap},
		{"root", []Part{{Target: "/", Tree: tree}}, ErrPlace},
		{"mount point", []Part{{Target: "/proc", Tree: tree}}, ErrPlace},
		{"no name", []Part{{Target: "", Tree: tree}}, fs.ErrNotExist},
		{"none", nil, fs.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewSwap(t.Context(), tt.parts, SwapOptions{Replace: true, Protect: []string{snap, snap + ".0"}})
			if !errors.Is(err, tt.is) {
				t.Errorf("%v, want %v", err, tt.is)
			}
		})
	}
	inside := filepath.Join(dir, "mnt")
	mkdir(t, inside)
	if err := Apart(filepath.Join(inside, "new", "dir"), []string{inside}); !errors.Is(err, ErrOverlap) {
		t.Errorf("in a protected directory: %v", err)
	}
	if err := Apart(filepath.Join(dir, "mnt2"), []string{inside, snap}); err != nil {
		t.Errorf("beside: %v", err)
	}
	os.Remove(inside)
	if dump(t, dir) != before {
		t.Error("something was written")
	}
}

// TestSwapFails: what fails while it is staged is undone, unless it was
// cancelled, and then the next try goes on.
func TestSwapFails(t *testing.T) {
	good := sample()
	old := lines("meta old")
	bad := map[string]fault{"db/rp/4": {read: syscall.EIO, after: 1000}}
	setup := func(t *testing.T) (dst, before string) {
		dst = filepath.Join(t.TempDir(), "dst")
		put(t, dst, old)
		return dst, dump(t, dst)
	}
	t.Run("read", func(t *testing.T) {
		dst, before := setup(t)
		r, err := swap(t.Context(), []Part{{Target: dst, Tree: faulty{good, bad}}}, SwapOptions{Replace: true})
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "db/rp/4: input/output error") {
			t.Error(err)
		}
		if r := r[0]; r.Files+r.Created+r.Dirs+r.Kept != 0 || r.Bytes != 0 || r.Remaining == 0 || len(r.Failed) != 1 {
			t.Errorf("what was undone is reported as done: %+v", r)
		}
		if got := beside(t, dst); got != "dst" || dump(t, dst) != before {
			t.Errorf("not undone: %s", got)
		}
	})
	t.Run("partial", func(t *testing.T) {
		dst, _ := setup(t)
		r, err := swap(t.Context(), []Part{{Target: dst, Tree: faulty{good, bad}}}, SwapOptions{Replace: true, Partial: true})
		if !errors.Is(err, ErrIncomplete) || len(r[0].Failed) != 1 {
			t.Errorf("%v, %+v", err, r)
		}
		if got := beside(t, dst); got != "dst dst"+keptName {
			t.Error(got)
		}
		if _, err := os.Stat(filepath.Join(dst, "db/rp/4")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a part of a file: %v", err)
		}
	})
	t.Run("known before", func(t *testing.T) {
		dst, before := setup(t)
		s, err := NewSwap(t.Context(), []Part{{Target: dst, Tree: faulty{good, map[string]fault{"db/rp": {err: syscall.EIO}}}}}, SwapOptions{Replace: true})
		if err != nil || !errors.Is(s.Err(), ErrIncomplete) {
			t.Fatalf("%v, %v", err, s.Err())
		}
		if _, err := s.Run(t.Context()); !errors.Is(err, ErrIncomplete) || beside(t, dst) != "dst" || dump(t, dst) != before {
			t.Error(err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		dst, before := setup(t)
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		opts := SwapOptions{Replace: true, Progress: func(p Progress) {
			if calls++; p.Phase == PhaseCopy && calls == 4 {
				cancel()
			}
		}}
		_, err := swap(ctx, []Part{{Target: dst, Tree: good}}, opts)
		if !errors.Is(err, ErrResumable) || !errors.Is(err, context.Canceled) || hint.Of(err) == "" {
			t.Fatal(err)
		}
		if got := beside(t, dst); got != ".dst.snapfs-journal .dst.snapfs-new dst" || dump(t, dst) != before {
			t.Errorf("after it was cancelled: %s", got)
		}
		opts.Progress = nil
		s, err := NewSwap(t.Context(), []Part{{Target: dst, Tree: good}}, opts)
		if err != nil || !s.Resumes() {
			t.Fatal(err)
		}
		r, err := s.Run(t.Context())
		if err != nil || r[0].Kept == 0 || r[0].Files == 0 {
			t.Errorf("%v, %+v", err, r)
		}
		sameTree(t, dst, good)
	})
	t.Run("other tree", func(t *testing.T) {
		// What an interrupted restore has staged is not mixed with another's.
		dst, _ := setup(t)
		ctx, cancel := context.WithCancel(t.Context())
		opts := SwapOptions{Replace: true, Progress: func(p Progress) {
			if p.Files == p.TotalFiles {
				cancel()
			}
		}}
		other := fstest.MapFS{"db/rp/4": good["db/rp/4"], "db/rp/9": good["db/rp/3"], "more/x": good["meta"], "meta/dir/y": good["meta"]}
		if _, err := swap(ctx, []Part{{Target: dst, Tree: other}}, opts); !errors.Is(err, ErrResumable) {
			t.Fatal(err)
		}
		if _, err := swap(t.Context(), []Part{{Target: dst, Tree: good}}, SwapOptions{Replace: true}); err != nil {
			t.Fatal(err)
		}
		sameTree(t, dst, good)
		if got := beside(t, dst); got != "dst dst"+keptName {
			t.Error(got)
		}
	})
	t.Run("busy", func(t *testing.T) {
		dst, before := setup(t)
		p, err := openPlace(dst)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		f, err := p.lockJournal(true)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := swap(t.Context(), []Part{{Target: dst, Tree: good}}, SwapOptions{Replace: true}); !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
		if _, err := Recover(dst, false); !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
		if got := beside(t, dst); got != ".dst.snapfs-journal dst" || dump(t, dst) != before {
			t.Errorf("%s", got)
		}
	})
}
