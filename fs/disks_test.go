package fs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/erofs"
)

// TestPassthroughDisks has the files that the kernel reads on the file systems
// that people keep backups on.
func TestPassthroughDisks(t *testing.T) {
	wantFUSE(t)
	if os.Geteuid() != 0 {
		t.Skip("only root makes file systems")
	}
	for _, disk := range []struct {
		name  string
		mount func(t *testing.T, dir string)
	}{
		{"ext4", loop("mkfs.ext4", "-q", "-F")},
		{"xfs", loop("mkfs.xfs", "-q")},
		{"btrfs", loop("mkfs.btrfs", "-q")},
		{"tmpfs", func(t *testing.T, dir string) { mountDisk(t, "-t", "tmpfs", "tmpfs", dir) }},
		{"overlay", overlay},
	} {
		t.Run(disk.name, func(t *testing.T) {
			dir := t.TempDir()
			disk.mount(t, dir)
			tree := fstest.MapFS{"f": {Data: noise(300_001), Mode: 0444}, "g": {Data: noise(600), Mode: 0444}}
			packed, runs := packIn(t, dir, tree)
			s := testMount(t, packed, Options{Backing: testImage(t, runs), MinBacked: 1})
			if err := s.Passthrough(); err != nil {
				noPassthrough(t, err)
			}
			compareTrees(t, s.Dir(), tree)
			if n := s.Counters()["read"].Bytes; n != 0 {
				t.Errorf("the server was asked for %d bytes", n)
			}
		})
	}
	// An image there is another thing: the kernel does not mount it, or FUSE
	// does not take a stack as deep as overlayfs, EROFS, FUSE.
	t.Run("image on overlay", func(t *testing.T) {
		dir := t.TempDir()
		overlay(t, dir)
		tree := fstest.MapFS{"f": {Data: noise(300_001), Mode: 0444}}
		packed, runs := pack(t, tree)
		image, err := erofs.Mount(slices.Values(runs), erofs.Options{TempDirs: []string{dir}})
		if errors.Is(err, erofs.ErrUnavailable) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer image.Close()
		t.Run("mounted", func(t *testing.T) {
			s := testMount(t, packed, Options{Backing: image, MinBacked: 1})
			if err := s.Passthrough(); err == nil {
				t.Error("the kernel takes it")
			}
			compareTrees(t, s.Dir(), tree)
		})
	})
}

// loop returns what makes a file system in a file and mounts it on dir.
func loop(mkfs string, args ...string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if _, err := exec.LookPath(mkfs); err != nil {
			t.Skip(err)
		}
		disk := filepath.Join(t.TempDir(), "disk")
		f, err := os.Create(disk)
		if err == nil {
			err = f.Truncate(400 << 20) // enough for any of them; there are few blocks in it
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(mkfs, append(args, disk)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", mkfs, err, out)
		}
		mountDisk(t, "-o", "loop", disk, dir)
	}
}

// overlay mounts an overlayfs on dir.
func overlay(t *testing.T, dir string) {
	t.Helper()
	layers := t.TempDir()
	for _, sub := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(layers, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mountDisk(t, "-t", "overlay", "-o", "lowerdir="+layers+"/lower,upperdir="+layers+"/upper,workdir="+layers+"/work", "overlay", dir)
}

// mountDisk is mount(8) for the time of a test, which is skipped where the
// machine does not have that file system, or loop devices.
func mountDisk(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Skipf("mount %q: %v: %s", args, err, out)
	}
	dir := args[len(args)-1]
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
