package fs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/erofs"
)

// TestDisks has the files that the kernel reads on the file systems that people
// keep backups on, for both engines that have it do so.
func TestDisks(t *testing.T) {
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
			for _, loop := range []bool{false, true} {
				t.Run(fmt.Sprintf("passthrough,loop=%v", loop), func(t *testing.T) {
					s := testMount(t, packed, Options{Backing: testImageBy(t, runs, erofs.Options{Loop: loop}), MinBacked: 1})
					if err := s.Passthrough(); err != nil {
						noPassthrough(t, err)
					}
					compareTrees(t, s.Dir(), tree)
					if n := s.Counters()["read"].Bytes; n != 0 {
						t.Errorf("the server was asked for %d bytes", n)
					}
				})
				t.Run(fmt.Sprintf("kernel,loop=%v", loop), func(t *testing.T) {
					mnt := t.TempDir()
					opts := erofs.TreeOptions{Source: ImageSource(0, disk.name), Loop: loop}
					counts, err := erofs.MountTree(t.Context(), mnt, packed, opts)
					if errors.Is(err, erofs.ErrUnavailable) {
						noPassthrough(t, err)
					}
					if err != nil {
						t.Fatal(err)
					}
					compareTrees(t, mnt, tree)
					if counts.Files != len(tree) {
						t.Errorf("%+v, want %d files where they lie", counts, len(tree))
					}
					if err := Unmount(mnt, false); err != nil {
						t.Fatal(err)
					}
				})
			}
		})
	}
	// An image there is another thing: the kernel does not mount it, and takes a
	// loop device; or it does, and FUSE does not take a stack as deep as
	// overlayfs, EROFS, FUSE.
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
