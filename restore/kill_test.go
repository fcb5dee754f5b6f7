package restore

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapfs/snapfs/internal/realchains"
)

// The test binary runs itself as the process that is killed.
const (
	childTarget = "SNAPFS_TEST_RESTORE_TARGET"
	childStop   = "SNAPFS_TEST_RESTORE_STOP" // calls of Progress before it waits to be killed; 0 is never
)

func TestMain(m *testing.M) {
	if dst := os.Getenv(childTarget); dst != "" {
		child(dst)
	}
	if dir := os.Getenv(swapChild); dir != "" {
		swapProcess(dir)
	}
	os.Exit(m.Run())
}

// killTree is what the child restores.
func killTree() fstest.MapFS {
	m := fstest.MapFS{"empty": {Mode: fs.ModeDir | 0o755, ModTime: when}}
	for i := range 12 {
		name := fmt.Sprintf("db%d/rp/%d", i/4, i)
		m[name] = &fstest.MapFile{Mode: 0o644, ModTime: when.Add(time.Duration(i) * time.Second), Data: noise(uint64(i), (i%4)<<20|i)}
		m[fmt.Sprintf("db%d", i/4)] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, ModTime: when}
		m[fmt.Sprintf("db%d/rp", i/4)] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, ModTime: when}
	}
	return m
}

func child(dst string) {
	stop, _ := strconv.Atoi(os.Getenv(childStop))
	calls := 0
	_, err := Copy(context.Background(), dst, killTree(), Options{Workers: 2, Progress: func(Progress) {
		if calls++; calls == stop {
			fmt.Println("ready")
			io.Copy(io.Discard, os.Stdin) // until killed
		}
	}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestKill kills a restore without warning at each step of its progress, and
// at random moments, and has another finish the job.
func TestKill(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tree := killTree()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	var temps, partial int
	// 18 MiB and 12 files make 30 to 42 calls.
	for _, stop := range []int{1, 2, 4, 7, 11, 15, 19, 23, 26, 29, 0, 0, 0} {
		dst := filepath.Join(t.TempDir(), "dst")
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env = append(os.Environ(), childTarget+"="+dst, childStop+"="+strconv.Itoa(stop))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if stop > 0 {
			line := make([]byte, 6)
			if _, err := io.ReadFull(out, line); err != nil || string(line) != "ready\n" {
				t.Fatalf("stop %d: the child says %q, %v", stop, line, err)
			}
		} else {
			time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		in.Close()

		whole := 0
		if _, err := os.Lstat(dst); err == nil {
			for _, p := range names(t, dst) {
				switch f := tree[p]; {
				case isTemp(filepath.Base(p)):
					temps++
				case f != nil && f.Mode.IsRegular():
					if b, err := os.ReadFile(filepath.Join(dst, p)); err != nil || string(b) != string(f.Data) {
						t.Errorf("stop %d: %s is not whole: %v", stop, p, err)
					}
					whole++
				}
			}
		}
		if whole < 12 {
			partial++
		}
		r, err := Copy(t.Context(), dst, tree, Options{NoSync: true})
		if err != nil || r.Kept != whole || r.Created != 12-whole {
			t.Errorf("stop %d: the second try: %v, %+v, want %d kept", stop, err, r, whole)
		}
		sameTree(t, dst, tree)
		noTemps(t, dst)
		done := dump(t, dst)
		if r, err := Copy(t.Context(), dst, tree, Options{NoSync: true}); err != nil || r.Kept != 12 || r.Files+r.Dirs != 0 {
			t.Errorf("stop %d: the third try: %v, %+v", stop, err, r)
		}
		if dump(t, dst) != done {
			t.Errorf("stop %d: the third try changed something", stop)
		}
	}
	if temps == 0 || partial < 10 {
		t.Errorf("%d temporary files were left and %d restores cut: the test kills at the wrong time", temps, partial)
	}
}

// TestUnpackedChains restores what the system's tar unpacked from real
// archives, and compares.
func TestUnpackedChains(t *testing.T) {
	snaps := realchains.All(t)
	tar, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("no tar")
	}
	for _, snap := range snaps {
		t.Run(filepath.Base(filepath.Dir(snap)), func(t *testing.T) {
			src := t.TempDir()
			if out, err := exec.Command(tar, "-xf", snap, "-C", src).CombinedOutput(); err != nil {
				t.Logf("tar: %v: %s", err, strings.TrimSpace(string(out))) // it refuses "..", and so be it
			}
			before := dump(t, src)
			dst := filepath.Join(t.TempDir(), "new")
			if _, err := Copy(t.Context(), dst, os.DirFS(src), Options{}); err != nil {
				t.Fatal(err)
			}
			sameTree(t, dst, os.DirFS(src))
			diff(t, src, dst)
			if dump(t, src) != before {
				t.Error("the source changed")
			}
		})
	}
}
