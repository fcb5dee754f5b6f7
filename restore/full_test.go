package restore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
)

// tmpfs mounts a small file system for the time of the test.
func tmpfs(t *testing.T, opts string) (mnt string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a tmpfs")
	}
	mnt = t.TempDir()
	if err := syscall.Mount("tmpfs", mnt, "tmpfs", 0, opts); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mnt, 0); err != nil {
			t.Error(err)
		}
	})
	return mnt
}

// TestSwapFull runs out of space at each page of a small tmpfs: nothing is
// changed, nothing is left, and with room it goes well.
func TestSwapFull(t *testing.T) {
	page := int64(os.Getpagesize())
	mnt := tmpfs(t, fmt.Sprintf("size=%d", 1024*page))
	dst := filepath.Join(mnt, "dst")
	put(t, dst, lines("meta old\nother/x old"))
	before := dump(t, dst)
	// A byte takes a page, which the plan does not know.
	tree := fstest.MapFS{}
	for i := range 12 {
		tree[fmt.Sprintf("db/rp/%d", i)] = &fstest.MapFile{Mode: 0o644, ModTime: when, Data: []byte{byte(i)}}
	}
	filler := filepath.Join(mnt, "filler")
	fails, early := 0, 0
	for free := int64(0); ; free++ {
		var st syscall.Statfs_t
		os.Remove(filler)
		if err := syscall.Statfs(mnt, &st); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filler, make([]byte, (int64(st.Bfree)-free)*page), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := swap(t.Context(), []Part{{Target: dst, Tree: tree}}, SwapOptions{Replace: true})
		if err == nil {
			break
		}
		if errors.Is(err, ErrSpace) {
			early++
		} else if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d pages free: %v", free, err)
		}
		fails++
		if got := beside(t, dst); got != "dst filler" || dump(t, dst) != before {
			t.Fatalf("%d pages free: after %v there is %s", free, err, got)
		}
	}
	if fails < 10 || early == fails {
		t.Errorf("%d tries failed, %d of them early", fails, early)
	}
	sameTree(t, dst, tree)
	if dump(t, dst+keptName) != before {
		t.Error("what is kept is not what was there")
	}
}

// TestSwapInodes: too few inodes are told before anything is written.
func TestSwapInodes(t *testing.T) {
	mnt := tmpfs(t, "size=16m,nr_inodes=12")
	tree := lines("a/1 x\na/2 x\na/3 x\nb/4 x\nb/5 x\nb/6 x\nb/7 x\nb/8 x\nb/9 x\nc x\nd x\n")
	_, err := swap(t.Context(), []Part{{Target: filepath.Join(mnt, "dst"), Tree: tree}}, SwapOptions{})
	if !errors.Is(err, ErrSpace) {
		t.Error(err)
	}
	if got := names(t, mnt); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}
