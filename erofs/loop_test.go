package erofs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// TestLoopLimit has more devices than are taken: none is made.
func TestLoopLimit(t *testing.T) {
	mounted(t, nil) // or skip
	f, _ := noise(t, t.TempDir(), 1024)
	var runs []attr.Run
	for range maxLoops { // and the image
		again, err := os.Open(procPath(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		runs = append(runs, run(again, 0, 1))
	}
	_, err := Mount(slices.Values(runs), Options{Loop: true})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "65 loop devices") {
		t.Errorf("got %v", err)
	}
}

// TestLoopReleased looks for loop devices of a file after an image of it was
// closed, and before.
func TestLoopReleased(t *testing.T) {
	mounted(t, nil)                                // or skip
	dir, err := filepath.EvalSymlinks(t.TempDir()) // as the kernel has it
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "device")
	if err := os.WriteFile(name, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := mountedBy(t, []attr.Run{run(f, 0, 4096)}, Options{Loop: true})
	devices := loopsOf(t, name)
	if len(devices) != 1 {
		t.Fatalf("loop devices of %s: %q", name, devices)
	}
	if err := os.WriteFile("/dev/"+devices[0], []byte("x"), 0o600); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EROFS) {
		t.Errorf("it can be written to: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for len(loopsOf(t, name)) > 0 { // others may look at it at the time
		time.Sleep(10 * time.Millisecond)
	}
}

// loopsOf returns the loop devices of a file.
func loopsOf(t *testing.T, name string) (devices []string) {
	t.Helper()
	all, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		b, _ := os.ReadFile(file) // it may be gone
		if strings.TrimSpace(string(b)) == name {
			devices = append(devices, strings.Split(file, "/")[3])
		}
	}
	return devices
}
