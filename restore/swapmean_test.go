package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSwapMeanwhile: what comes to the target's place while the new tree is
// staged is kept, whatever it is.
func TestSwapMeanwhile(t *testing.T) {
	tree := lines("db/rp/1 one")
	for name, there := range map[string]func(t *testing.T, dst string){
		"nothing": func(*testing.T, string) {},
		"empty":   func(t *testing.T, dst string) { mkdir(t, dst) },
	} {
		for _, plain := range []bool{false, true} {
			for _, what := range []string{"file", "directory"} {
				t.Run(fmt.Sprint(name, " ", what, " ", plain), func(t *testing.T) {
					dst := filepath.Join(t.TempDir(), "dst")
					there(t, dst)
					opts := SwapOptions{plain: plain, step: func(step string) {
						if step != "commit" {
							return
						}
						_ = os.Remove(dst)
						if what == "file" {
							put(t, filepath.Dir(dst), lines("dst mine"))
						} else {
							put(t, dst, lines("f mine"))
						}
					}}
					r, err := swap(t.Context(), []Part{{Target: dst, Tree: tree}}, opts)
					if err != nil {
						t.Fatal(err)
					}
					sameTree(t, dst, tree)
					kept := r[0].Aside
					if what == "directory" {
						kept = filepath.Join(kept, "f")
					}
					if b, err := os.ReadFile(kept); err != nil || string(b) != "mine" {
						t.Errorf("what came meanwhile: %q, %v; beside: %s", b, err, beside(t, dst))
					}
				})
			}
		}
	}
}

// TestSwapNoParent: the directory of the target goes away at the last moment.
func TestSwapNoParent(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "parent", "dst")
	mkdir(t, filepath.Dir(dst))
	opts := SwapOptions{step: func(step string) {
		if strings.HasPrefix(step, "journal ") {
			if err := os.Remove(filepath.Dir(dst)); err != nil {
				t.Error(err)
			}
		}
	}}
	if _, err := swap(t.Context(), []Part{{Target: dst, Tree: lines("a b")}}, opts); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestSwapPrivate: what will be private in the end is so from the beginning.
func TestSwapPrivate(t *testing.T) {
	defer unix.Umask(unix.Umask(0o022))
	tree := lines("db/rp/1 one")
	for name, tt := range map[string]struct {
		opts      Options
		dir, file fs.FileMode // while it is staged
	}{
		"asked for": {Options{FileMode: 0o600, DirMode: 0o700}, 0o700, 0o600},
		"as it was": {Options{}, 0o711, 0o644},
	} {
		t.Run(name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "dst")
			mkdir(t, dst)
			if err := os.Chmod(dst, 0o711); err != nil {
				t.Fatal(err)
			}
			stage := filepath.Join(filepath.Dir(dst), ".dst"+stageSuffix)
			looked := 0
			opts := SwapOptions{step: func(step string) {
				var p string
				want := tt.dir
				switch step {
				case "create db/rp/1":
					p, want = "db/rp/1", tt.file
				case "mkdir db":
					if p = "db"; tt.opts.DirMode == 0 {
						want = 0o755
					}
				case "seal db/rp/1":
				default:
					return
				}
				looked++
				st, err := os.Stat(filepath.Join(stage, p))
				if err != nil || st.Mode().Perm() != want {
					t.Errorf("at %q, %q is %v, want %v; %v", step, p, st.Mode(), want, err)
				}
			}}
			if _, err := swap(t.Context(), []Part{{Target: dst, Tree: tree, Options: tt.opts}}, opts); err != nil || looked != 3 {
				t.Errorf("%v, looked %d times", err, looked)
			}
		})
	}
}

// TestSwapPartialKeeps: what is replaced by a tree that lacks files is kept,
// even if it was to be removed.
func TestSwapPartialKeeps(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "dst")
	old := lines("meta old")
	put(t, dst, old)
	bad := faulty{sample(), map[string]fault{"db/rp/4": {read: syscall.EIO, after: 1000}}}
	opts := SwapOptions{Replace: true, DiscardOld: true, Partial: true}
	r, err := swap(t.Context(), []Part{{Target: dst, Tree: bad}}, opts)
	if !errors.Is(err, ErrIncomplete) || r[0].Discarded || filepath.Base(r[0].Aside) != "dst"+keptName {
		t.Errorf("%v, %+v", err, r)
	}
	if got := beside(t, dst); got != "dst dst"+keptName {
		t.Error(got)
	}
	sameTree(t, dst+keptName, old)
}

// stopped swaps up to a step, and leaves what a process does that is killed there.
func stopped(t *testing.T, step string, parts ...Part) {
	t.Helper()
	defer func() {
		if recover() != step {
			t.Errorf("%q was not reached", step)
		}
	}()
	_, err := swap(t.Context(), parts, SwapOptions{Replace: true, step: func(s string) {
		if s == step {
			panic(step)
		}
	}})
	t.Error(err)
}

// TestRecoverOther: one of two targets is done, and another restore of it was
// stopped before the first had removed its last journal. To finish the first
// does not touch the other.
func TestRecoverOther(t *testing.T) {
	dir := t.TempDir()
	x, y := Part{Target: filepath.Join(dir, "x"), Tree: lines("a x")}, Part{Target: filepath.Join(dir, "y"), Tree: lines("a y")}
	other := Part{Target: y.Target, Tree: lines("a other")}
	put(t, x.Target, lines("old x"))
	put(t, y.Target, lines("old y"))
	stopped(t, "end "+x.Target, x, y)
	stopped(t, "commit", other)
	before := beside(t, x.Target)
	r, err := Recover(x.Target, false)
	if err != nil || r == nil || !r.Finished {
		t.Fatalf("%+v, %v", r, err)
	}
	if got, want := beside(t, x.Target), strings.Replace(before, ".x"+journalSuffix+" ", "", 1); got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
	sameTree(t, x.Target, x.Tree)
	sameTree(t, y.Target, y.Tree)
	if _, err := swap(t.Context(), []Part{other}, SwapOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	sameTree(t, y.Target, other.Tree)
}

// TestJournalRound: journals that name each other as the first, as files of a
// restored tree may, end nowhere.
func TestJournalRound(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for from, to := range map[string]string{a: b, b: a} {
		name := filepath.Join(dir, "."+filepath.Base(from)+journalSuffix)
		if err := os.WriteFile(name, fmt.Appendf(nil, "{\"snapfs_restore\":1,\"first\":%q}\n", to), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Recover(a, false)
	if err != nil || r == nil || r.Finished {
		t.Errorf("%+v, %v", r, err)
	}
	if got := beside(t, a); got != ".b"+journalSuffix {
		t.Errorf("left: %s", got)
	}
}
