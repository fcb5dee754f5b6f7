package chain_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestDiscoverUnlisted asks for names one by one, in a directory that can be
// searched but not listed. Only a name that is not there ends a chain: of one
// that cannot be looked at nobody knows.
func TestDiscoverUnlisted(t *testing.T) {
	dir := t.TempDir()
	layer := sample.Layer{Time: at(0), Files: []sample.File{file("a", "x", 0)}}
	snap := filepath.Join(dir, "snap")
	long := filepath.Join(dir, strings.Repeat("x", 254)) // no room for the name of an incremental
	for path, layers := range map[string][]sample.Layer{snap: {layer, layer, layer}, long: {layer}} {
		if err := sample.Write(path, layers...); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(open(t, long).Layers()); n != 1 {
		t.Errorf("in a directory that can be listed: %d layers, want 1", n)
	}
	if err := os.Chmod(dir, 0o311); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) }) // to be removed
	unprivileged(t)
	if _, err := os.ReadDir(dir); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("the directory can be listed: %v", err)
	}
	if n := len(open(t, snap).Layers()); n != 3 {
		t.Errorf("%d layers, want 3", n)
	}
	if _, err := chain.Open(filepath.Join(dir, "none"), chain.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
	if _, err := chain.Open(long, chain.Options{}); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("an incremental that cannot be looked for: %v", err)
	}
}

// unprivileged takes from the test's thread what lets root list any directory.
func unprivileged(t *testing.T) {
	runtime.LockOSThread()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&head, &had[0]); err != nil {
		t.Fatal(err)
	}
	less := had
	less[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	if err := unix.Capset(&head, &less[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Capset(&head, &had[0]); err != nil {
			t.Fatal(err)
		}
		runtime.UnlockOSThread()
	})
}
