package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/sample"
)

// TestNothingLeft ends mounts in every way. The tars and the temporary files are
// on a disk of their own: that it can be unmounted afterwards shows that nothing
// is left that uses them, wherever it may hide: no process, no mount that is
// not in the table, no loop device.
func TestNothingLeft(t *testing.T) {
	if os.Geteuid() != 0 || !haveFUSE(t) {
		t.Skip("only root mounts a disk")
	}
	engines := [][]string{{enginePlain}}
	if why := passthrough(); why == nil {
		engines = append(engines, []string{enginePassthrough}, []string{enginePassthrough, "--loop-devices"})
	} else {
		t.Logf("no passthrough: %v", why)
	}
	disk := newDisk(t)
	for _, flags := range engines {
		for how, end := range map[string]func(t *testing.T, mnt string, server int){
			"umount": func(t *testing.T, mnt string, server int) { command(t, "snapfs", "umount", mnt) },
			"signal": func(t *testing.T, mnt string, server int) { kill(t, server, unix.SIGTERM) },
			"crash": func(t *testing.T, mnt string, server int) {
				kill(t, server, unix.SIGKILL)
				awaitNoServer(t, mnt)
			},
			"crash, in use": func(t *testing.T, mnt string, server int) {
				f := openShard(t, mnt)
				kill(t, server, unix.SIGKILL)
				awaitNoServer(t, mnt)
				f.Close()
			},
			"lazy, in use": func(t *testing.T, mnt string, server int) {
				f := openShard(t, mnt)
				command(t, "snapfs", "umount", "--lazy", mnt)
				if n, err := io.Copy(io.Discard, f); n == 0 || err != nil {
					t.Errorf("the rest of a file: %d bytes, %v", n, err)
				}
				f.Close()
			},
		} {
			t.Run(strings.Join(flags, " ")+"/"+how, func(t *testing.T) {
				dir := disk.mount(t)
				mnt := t.TempDir()
				args := append([]string{"mount", "--passthrough-min=1", "--engine"}, flags...)
				cmd := exec.Command("snapfs", append(args, filepath.Join(dir, "snap"), mnt)...)
				cmd.Env = append(os.Environ(), "TMPDIR="+dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("mount: %v: %s", err, out)
				}
				t.Cleanup(func() { unmountBelow(t, mnt) })
				server := openServer(t, mnt, flags[0])
				command(t, "grep", "-r", "-q", "cpu", filepath.Join(mnt, "telemetry"))
				end(t, mnt, server)
				disk.unmount(t)
				waitFor(t, server)
				if m, err := mountinfo.GetMounts(mountinfo.PrefixFilter(mnt)); err != nil || len(m) != 0 {
					t.Errorf("mounts: %v, %v", m, err)
				}
			})
		}
	}
}

// awaitNoServer waits until no process serves, or has served, a mount at dir.
func awaitNoServer(t *testing.T, dir string) {
	t.Helper()
	served := func(line string) bool { return strings.Contains(line, " fuse.snapfs ") }
	const tries = 3000
	for range tries {
		if !slices.ContainsFunc(mountsBelow(t, dir), served) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("left: %q", mountsBelow(t, dir))
}

// openServer returns a descriptor of the process that serves a mount.
func openServer(t *testing.T, mnt, engine string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(mnt, ".snapfs/status.json"))
	var status struct {
		PID    int
		Engine string
	}
	if err == nil {
		err = json.Unmarshal(b, &status)
	}
	if err != nil || status.Engine != engine {
		t.Fatalf("status: %+v, %v", status, err)
	}
	fd, err := unix.PidfdOpen(status.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// openShard opens a file of the mount and reads some of it.
func openShard(t *testing.T, mnt string) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join(mnt, "telemetry/default/1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := io.ReadFull(f, make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	return f
}

// kill sends a signal to a process and waits for its end.
func kill(t *testing.T, process int, sig unix.Signal) {
	t.Helper()
	if err := unix.PidfdSendSignal(process, sig, nil, 0); err != nil {
		t.Fatal(err)
	}
	waitFor(t, process)
}

// waitFor waits for the end of a process.
func waitFor(t *testing.T, process int) {
	t.Helper()
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, -1)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
}

// disk is a file system in a file, with the sample chain.
type disk struct{ image, dir string }

// newDisk makes a disk, or skips the test where that is not possible.
func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{filepath.Join(t.TempDir(), "disk"), t.TempDir()}
	f, err := os.Create(d.image)
	if err == nil {
		err = f.Truncate(64 << 20)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		t.Skipf("mount -o loop: %v: %s", err, out)
	}
	_, err = sample.Chain(d.dir)
	d.unmount(t)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *disk) mount(t *testing.T) string {
	t.Helper()
	command(t, "mount", "-o", "loop", d.image, d.dir)
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	return d.dir
}

// unmount fails if something uses the disk. The kernel releases some things
// soon after the process that had them has ended, so it may try often.
func (d *disk) unmount(t *testing.T) {
	t.Helper()
	const tries = 3000
	var err error
	for range tries {
		if err = unix.Unmount(d.dir, unix.UMOUNT_NOFOLLOW); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("the disk of the tars cannot be unmounted: %v", err)
	}
}
