package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/snapfs/snapfs/internal/sample"
)

// TestForegroundControl ends two mounts of one snapshot with signals: the first
// one unmounts both; while somebody is in one of them, it tells who, and the
// second detaches.
func TestForegroundControl(t *testing.T) {
	if !haveFUSE(t) {
		t.Skip("no FUSE")
	}
	if why := passthrough(); why != nil {
		t.Skipf("no EROFS mounts: %v", why)
	}
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, busy := range []string{"none", "kernel", "control"} {
		t.Run(busy, func(t *testing.T) {
			dirs := map[string]string{"kernel": t.TempDir(), "control": t.TempDir()}
			t.Cleanup(func() {
				for _, dir := range dirs {
					unmountBelow(t, dir)
				}
			})
			there := func(which string) bool {
				_, err := os.Stat(filepath.Join(dirs[which], "meta"))
				return err == nil
			}
			var stderr output
			cmd := exec.Command("snapfs", "mount", "--foreground", "--engine=kernel", "--control", dirs["control"], snap, dirs["kernel"])
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			until(t, func() bool { return there("kernel") && there("control") })
			if busy != "none" {
				holder := exec.Command("sleep", "60")
				holder.Dir = dirs[busy]
				if err := holder.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = holder.Wait() }()
				defer func() { _ = holder.Process.Kill() }()
				send(t, cmd, syscall.SIGINT)
				until(t, func() bool { return strings.Contains(stderr.String(), "used by sleep (pid") })
				if !there(busy) {
					t.Error("what is in use is gone")
				}
				send(t, cmd, syscall.SIGTERM)
				until(t, func() bool { return !there(busy) })
				if err := holder.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			} else {
				send(t, cmd, syscall.SIGINT)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, stderr.String())
			}
			if there("kernel") || there("control") {
				t.Error("a mount is left")
			}
		})
	}
}

// TestControlCrash kills the process behind the control mount: what the kernel
// serves stays, and is taken down as ever.
func TestControlCrash(t *testing.T) {
	if os.Geteuid() != 0 || !haveFUSE(t) {
		t.Skip("only root mounts a disk")
	}
	if why := passthrough(); why != nil {
		t.Skipf("no EROFS mounts: %v", why)
	}
	disk := newDisk(t)
	dir := disk.mount(t)
	mnt, control := t.TempDir(), t.TempDir()
	cmd := exec.Command("snapfs", "mount", "--engine=kernel", "--control", control, filepath.Join(dir, "snap"), mnt)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		unmountBelow(t, mnt)
		unmountBelow(t, control)
	})
	kill(t, openServer(t, control, enginePassthrough), syscall.SIGKILL)
	awaitNoServer(t, control)
	if b, err := os.ReadFile(filepath.Join(mnt, "manifest")); err != nil || len(b) == 0 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	command(t, "snapfs", "umount", mnt)
	disk.unmount(t)
	for _, m := range mountsBelow(t, mnt, control) {
		t.Errorf("left: %s", m)
	}
}

func mountsBelow(t *testing.T, dirs ...string) (all []string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(table) {
		for _, dir := range dirs {
			if bytes.Contains(line, []byte(dir)) {
				all = append(all, string(line))
			}
		}
	}
	return all
}
