package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
)

const (
	swapChild = "SNAPFS_TEST_SWAP"       // directory of the targets
	swapStep  = "SNAPFS_TEST_SWAP_STEP"  // after how many steps the process kills itself; 0 is never
	swapMode  = "SNAPFS_TEST_SWAP_MODE"  // what the process does: swap, recover
	swapFlags = "SNAPFS_TEST_SWAP_FLAGS" // discard, plain
)

// swapTrees are what the targets are to hold.
func swapTrees() (data, meta fstest.MapFS) {
	data = lines("db/rp/1 one\ndb/rp/2 two\ndb/link -> rp/1\nempty/")
	data["db/rp/3"] = &fstest.MapFile{Mode: 0o644, ModTime: when, Data: noise(1, bufSize+1)}
	data["db"] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, ModTime: when}
	data["db/rp"] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, ModTime: when}
	return data, lines("raft.db bolt\nid 1")
}

func swapParts(dir string) []Part {
	data, meta := swapTrees()
	return []Part{
		{Target: filepath.Join(dir, "a", "data"), Tree: data, Options: Options{Workers: 2}},
		{Target: filepath.Join(dir, "b", "meta"), Tree: meta, Options: Options{FileMode: 0o600, DirMode: 0o700}},
		{Target: filepath.Join(dir, "c", "new"), Tree: meta},
	}
}

// swapOld puts there what is replaced; of the third target nothing is there.
func swapOld(t *testing.T) (dir string) {
	dir = t.TempDir()
	put(t, filepath.Join(dir, "a", "data"), lines("db/rp/1 old\nother/x old"))
	put(t, filepath.Join(dir, "b", "meta"), lines("raft.db old"))
	return dir
}

// swapProcess is a process that kills itself at one of its steps.
func swapProcess(dir string) {
	stop, _ := strconv.Atoi(os.Getenv(swapStep))
	var steps atomic.Int64
	step := func(string) {
		if steps.Add(1) == int64(stop) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	var err error
	if os.Getenv(swapMode) == "recover" {
		_, err = recoverAt(filepath.Join(dir, "b", "meta"), false, step)
	} else {
		_, err = swap(context.Background(), swapParts(dir), SwapOptions{
			Replace: true, step: step,
			DiscardOld: strings.Contains(os.Getenv(swapFlags), "discard"), plain: strings.Contains(os.Getenv(swapFlags), "plain"),
		})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runSwap runs such a process, and reports whether it was killed.
func runSwap(t *testing.T, dir, mode string, stop int, flags string) bool {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), swapChild+"="+dir, swapMode+"="+mode, swapStep+"="+strconv.Itoa(stop), swapFlags+"="+flags)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("step %d: %v\n%s", stop, err, out)
	}
	return true
}

// swapState checks that each target is the old or the new tree, whole, and
// returns one letter for each: o or n, or - if it is away.
func swapState(t *testing.T, dir string, olds []string) string {
	t.Helper()
	state := ""
	for i, p := range swapParts(dir) {
		now := ""
		if _, err := os.Lstat(p.Target); err == nil {
			now = dump(t, p.Target)
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		switch {
		case now == olds[i]:
			state += "o"
			continue
		case now == "":
			state += "-"
			continue
		}
		state += "n"
		sameTree(t, p.Target, p.Tree)
	}
	return state
}

// swapLitter lists what should not be left beside the targets, and checks that
// what was replaced is kept whole.
func swapLitter(t *testing.T, dir string, olds []string, kept bool) {
	t.Helper()
	for i, p := range swapParts(dir) {
		want := ""
		if _, err := os.Lstat(p.Target); err == nil {
			want = filepath.Base(p.Target)
		}
		if kept && olds[i] != "" {
			want += " " + filepath.Base(p.Target) + keptName
			if got := dump(t, p.Target+keptName); got != olds[i] {
				t.Errorf("%s: what is kept is not what was there:\n%s", p.Target, got)
			}
		}
		if _, err := os.Lstat(filepath.Dir(p.Target)); err != nil && want == "" {
			continue
		}
		if got := beside(t, p.Target); got != want {
			t.Errorf("beside %s: %q, want %q", p.Target, got, want)
		}
	}
}

// TestSwapKill kills a swap at each of its steps, one after another, and the
// recovery too: each target is whole at any time, and in the end all are old,
// or all are new.
func TestSwapKill(t *testing.T) {
	stride := 1
	if raceEnabled {
		stride = 5
	}
	olds := func(dir string) (list []string) {
		for _, p := range swapParts(dir) {
			text := ""
			if _, err := os.Lstat(p.Target); err == nil {
				text = dump(t, p.Target)
			}
			list = append(list, text)
		}
		return list
	}
	steps := 0
	for _, tt := range []struct {
		name  string
		flags string
		end   func(t *testing.T, dir string) // what is done after the kill
		both  bool                           // may it end in the old state?
	}{
		{"again", "", func(t *testing.T, dir string) {
			if _, err := Recover(filepath.Join(dir, "a", "data"), true); err != nil {
				t.Fatal(err)
			}
			if _, err := swap(t.Context(), swapParts(dir), SwapOptions{Replace: true}); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"again, discard", "discard plain", func(t *testing.T, dir string) {
			if _, err := Recover(filepath.Join(dir, "a", "data"), true); err != nil {
				t.Fatal(err)
			}
			if _, err := swap(t.Context(), swapParts(dir), SwapOptions{Replace: true, DiscardOld: true}); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"recover", "", func(t *testing.T, dir string) {
			for _, p := range swapParts(dir) {
				if _, err := Recover(p.Target, false); err != nil {
					t.Fatal(err)
				}
			}
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			states := map[string]int{}
			n := 1
			if tt.flags != "" {
				n = steps - 14 // what comes before is the same
			}
			for ; ; n += stride {
				dir := swapOld(t)
				before := olds(dir)
				killed := runSwap(t, dir, "swap", n, tt.flags)
				state := swapState(t, dir, before)
				states[state]++
				if strings.Contains(state, "-") && tt.flags == "" {
					t.Errorf("step %d: a target is away: %s", n, state)
				}
				if killed {
					tt.end(t, dir)
				}
				state = swapState(t, dir, before)
				if state != "nnn" && (state != "ooo" || !tt.both) {
					t.Errorf("step %d: ended as %s", n, state)
				}
				swapLitter(t, dir, before, tt.flags == "" && state == "nnn")
				if t.Failed() || !killed {
					break
				}
			}
			t.Logf("%d steps, states at the kill: %v", n-1, states)
			steps = n
			if n < 30 || states["ooo"] == 0 || states["nnn"] == 0 || !raceEnabled && (states["noo"] == 0 || states["nno"] == 0) {
				t.Errorf("killed at the wrong steps: %d, %v", n, states)
			}
		})
	}
	t.Run("recovery", func(t *testing.T) {
		// The first kill is just behind the commit, or just before it.
		last := 0
		for n := 1; ; n++ {
			dir := swapOld(t)
			if !runSwap(t, dir, "swap", n, "") {
				t.Fatal("no commit")
			}
			if o, err := pending(filepath.Join(dir, "a", "data")); err != nil {
				t.Fatal(err)
			} else if o != nil {
				o.close()
				if o.commit != nil {
					last = n
					break
				}
			}
		}
		for _, n := range []int{last, last - 1} {
			for m := 1; ; m += stride {
				dir := swapOld(t)
				before := olds(dir)
				if !runSwap(t, dir, "swap", n, "") {
					t.Fatal("not killed")
				}
				killed := runSwap(t, dir, "recover", m, "")
				swapState(t, dir, before)
				for _, p := range swapParts(dir) {
					if _, err := Recover(p.Target, false); err != nil {
						t.Fatal(err)
					}
				}
				state := swapState(t, dir, before)
				if want := map[bool]string{true: "nnn", false: "ooo"}[n == last]; state != want {
					t.Errorf("killed at %d, and then at %d: ended as %s, want %s", n, m, state, want)
				}
				swapLitter(t, dir, before, n == last)
				if !killed {
					if m < 5 {
						t.Errorf("the recovery has only %d steps", m)
					}
					break
				}
				if t.Failed() {
					break
				}
			}
		}
	})
}

// TestJournal: what no swap has written is refused, and nothing is done.
func TestJournal(t *testing.T) {
	for name, text := range map[string]string{
		"version":      `{"snapfs_restore":2,"parts":[{"target":"DST"}]}`,
		"aside":        `{"snapfs_restore":1,"parts":[{"target":"DST","aside":"../../etc"}]}` + "\n" + `{"commit":[1]}`,
		"aside inside": `{"snapfs_restore":1,"parts":[{"target":"DST","aside":"dst.before-x/../../y"}]}` + "\n" + `{"commit":[1]}`,
		"relative":     `{"snapfs_restore":1,"parts":[{"target":"DST"},{"target":"x/../y"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "dst")
			put(t, dst, lines("a b"))
			put(t, filepath.Join(filepath.Dir(dst), ".dst"+stageSuffix), lines("c d"))
			journal := filepath.Join(filepath.Dir(dst), ".dst"+journalSuffix)
			if err := os.WriteFile(journal, []byte(strings.ReplaceAll(text, "DST", dst)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			before := dump(t, filepath.Dir(dst))
			if _, err := Recover(dst, false); err == nil || !strings.Contains(err.Error(), "journal") {
				t.Error(err)
			}
			if dump(t, filepath.Dir(dst)) != before {
				t.Error("something was changed")
			}
		})
	}
	t.Run("of somebody else", func(t *testing.T) {
		dst := filepath.Join(t.TempDir(), "dst")
		journal := filepath.Join(filepath.Dir(dst), ".dst"+journalSuffix)
		if err := os.WriteFile(journal, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(journal, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Recover(dst, false); err == nil {
			t.Error("a journal that anybody can write was read")
		}
	})
	t.Run("unknown tree", func(t *testing.T) {
		// Neither of the two directories is what the journal says.
		dst := filepath.Join(t.TempDir(), "dst")
		put(t, dst, lines("a b"))
		put(t, filepath.Join(filepath.Dir(dst), ".dst"+stageSuffix), lines("c d"))
		journal := filepath.Join(filepath.Dir(dst), ".dst"+journalSuffix)
		text := fmt.Sprintf("{\"snapfs_restore\":1,\"parts\":[{\"target\":%q,\"aside\":\"dst.before-x\"}]}\n{\"commit\":[1]}\n", dst)
		if err := os.WriteFile(journal, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := dump(t, filepath.Dir(dst))
		if _, err := Recover(dst, false); err == nil || !strings.Contains(err.Error(), "neither the new nor the old") {
			t.Error(err)
		}
		if dump(t, filepath.Dir(dst)) != before {
			t.Error("something was changed")
		}
	})
}
