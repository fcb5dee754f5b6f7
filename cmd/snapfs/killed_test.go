package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// killing is how a mount is made that is going to be killed.
type killing struct {
	disk         *disk
	dir          string // of the disk
	tmp          string // on it
	mnt, control string
	args         []string
}

// kinds are the ways to mount by which the kernel reads files.
var kinds = [][]string{
	{"--engine=passthrough", "--passthrough-min=1"},
	{"--engine=kernel"},
	{"--engine=kernel", "--control=CONTROL"},
	{"--engine=kernel", "--control=CONTROL", "--loop-devices"},
}

// onKilled runs a test for each kind, so often that the moments are all over the
// time that a mount takes, which is measured first. The number of the moment
// says when; which it is does not matter for what must hold.
func onKilled(t *testing.T, test func(t *testing.T, k *killing, moment time.Duration)) {
	if os.Geteuid() != 0 || !haveFUSE(t) {
		t.Skip("only root mounts a disk")
	}
	if why := passthrough(); why != nil {
		t.Skipf("no EROFS mounts: %v", why)
	}
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or the moments are those of a sleep
	const moments = 8
	d := newDisk(t)
	for _, kind := range kinds {
		t.Run(strings.Join(kind, " "), func(t *testing.T) {
			k := newKilling(t, d, kind)
			begin := time.Now()
			if out, err := k.command().CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			takes := time.Since(begin)
			command(t, "snapfs", "umount", k.mnt)
			k.nothingLeft(t)
			for i := range time.Duration(moments) {
				k.dir = d.mount(t)
				test(t, k, takes*i/moments)
			}
		})
	}
}

func newKilling(t *testing.T, d *disk, kind []string) *killing {
	t.Helper()
	k := &killing{disk: d, dir: d.mount(t), mnt: t.TempDir(), control: t.TempDir()}
	k.tmp = filepath.Join(k.dir, "tmp")
	if err := os.MkdirAll(k.tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	k.args = []string{"mount"}
	for _, arg := range kind {
		k.args = append(k.args, strings.ReplaceAll(arg, "CONTROL", k.control))
	}
	k.args = append(k.args, filepath.Join(k.dir, "snap"), k.mnt)
	t.Cleanup(func() {
		unmountBelow(t, k.mnt)
		unmountBelow(t, k.control)
	})
	return k
}

func (k *killing) command() *exec.Cmd {
	cmd := exec.Command("snapfs", k.args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+k.tmp)
	return cmd
}

// mounted returns where something is mounted.
func (k *killing) mounted(t *testing.T) (dirs []string) {
	for _, dir := range []string{k.mnt, k.control} {
		if len(mountsBelow(t, dir)) > 0 {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// alone waits until nothing is mounted whose server is gone.
func (k *killing) alone(t *testing.T) {
	t.Helper()
	awaitNoServer(t, k.mnt)
	awaitNoServer(t, k.control)
}

// umount takes down what is mounted.
func (k *killing) umount(t *testing.T) {
	t.Helper()
	for _, dir := range k.mounted(t) {
		out, err := exec.Command("snapfs", "umount", dir).CombinedOutput()
		if err != nil && len(mountsBelow(t, dir)) > 0 { // not with the other
			t.Errorf("%v: %s", err, out)
		}
	}
}

// nothingLeft fails if there is anything of a mount after it was taken down, be
// it where it may: the disk cannot be unmounted then.
func (k *killing) nothingLeft(t *testing.T) {
	t.Helper()
	if dirs := k.mounted(t); len(dirs) > 0 {
		t.Errorf("left: %q", mountsBelow(t, dirs...))
	}
	files, err := os.ReadDir(k.tmp)
	if err != nil || len(files) > 0 {
		t.Errorf("left: %v (%v)", files, err)
	}
	k.disk.unmount(t)
}

// TestKilled kills the process that mounts, at any moment. A mount that a process
// serves goes by itself then; one by the kernel may be left, and goes with umount.
func TestKilled(t *testing.T) {
	onKilled(t, func(t *testing.T, k *killing, moment time.Duration) {
		if len(k.args) == 4 { // with a process behind it
			k.run(t, moment, unix.SIGKILL)
		} else {
			k.run(t, moment, unix.SIGKILL, "--foreground")
		}
		k.alone(t)
		k.umount(t)
		k.nothingLeft(t)
	})
}

// TestTerminated is as TestKilled, with a signal that can be caught: no mount is
// left but where it was complete.
func TestTerminated(t *testing.T) {
	onKilled(t, func(t *testing.T, k *killing, moment time.Duration) {
		if len(k.args) > 4 {
			k.run(t, moment, unix.SIGTERM, "--foreground")
			k.nothingLeft(t)
			return
		}
		k.run(t, moment, unix.SIGTERM)
		k.umount(t)
		k.nothingLeft(t)
	})
}

// run mounts, and sends a signal at the moment.
func (k *killing) run(t *testing.T, moment time.Duration, sig syscall.Signal, flags ...string) {
	t.Helper()
	cmd := k.command()
	cmd.Args = append(append(cmd.Args[:2:2], flags...), cmd.Args[2:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(moment)
	_ = cmd.Process.Signal(sig) // it may have ended
	_ = cmd.Wait()
}

// TestKilledServer kills the process in the background while the other waits for
// it, which then cleans up.
func TestKilledServer(t *testing.T) {
	onKilled(t, func(t *testing.T, k *killing, moment time.Duration) {
		if k.runServer(t, moment, false) == nil { // it was mounted before
			k.umount(t)
		}
		k.nothingLeft(t)
	})
}

// TestKilledBoth kills both.
func TestKilledBoth(t *testing.T) {
	onKilled(t, func(t *testing.T, k *killing, moment time.Duration) {
		_ = k.runServer(t, moment, true)
		k.umount(t)
		k.nothingLeft(t)
	})
}

// runServer mounts, and kills the process in the background at the moment, and
// the one that waits for it just before if both, unless that has ended by then.
// It returns how that has.
func (k *killing) runServer(t *testing.T, moment time.Duration, both bool) error {
	t.Helper()
	if len(k.args) == 4 {
		t.Skip("there is none")
	}
	cmd := k.command()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	server := -1
	for server < 0 {
		server = childOf(cmd.Process.Pid, "--foreground") // and not one by which package os tries what the kernel can do
		select {
		case err := <-ended:
			if server >= 0 {
				unix.Close(server)
			}
			return err
		default:
		}
	}
	time.Sleep(moment)
	if both {
		_ = cmd.Process.Kill() // it may have ended
	}
	_ = unix.PidfdSendSignal(server, unix.SIGKILL, nil, 0)
	waitFor(t, server)
	unix.Close(server)
	k.alone(t)
	return <-ended
}

// childOf returns a descriptor of the first child of a process that has a word in
// its command line, -1 if there is none.
func childOf(pid int, word string) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for _, number := range strings.Fields(string(b)) {
			child, err := strconv.Atoi(number)
			if err != nil {
				continue
			}
			fd, err := unix.PidfdOpen(child, 0)
			if err != nil {
				continue
			}
			if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child)); err == nil && bytes.Contains(line, []byte(word)) {
				return fd
			}
			unix.Close(fd)
		}
	}
	return -1
}

// TestKilledParent kills the process that waits for the one in the background,
// which then takes the mount down, or has made it.
func TestKilledParent(t *testing.T) {
	// What a process leaves behind becomes a child of this one.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	onKilled(t, func(t *testing.T, k *killing, moment time.Duration) {
		k.run(t, moment, unix.SIGKILL)
		for {
			child := childOf(os.Getpid(), "") // the server, or the process that waits for its end
			if child < 0 {
				break
			}
			for running := true; running; {
				for _, dir := range k.mounted(t) {
					_ = exec.Command("snapfs", "umount", dir).Run() // it may go by itself
				}
				n, _ := unix.Poll([]unix.PollFd{{Fd: int32(child), Events: unix.POLLIN}}, 10)
				running = n < 1
			}
			if err := unix.Waitid(unix.P_PIDFD, child, nil, unix.WEXITED, nil); err != nil {
				t.Error(err)
			}
			unix.Close(child)
		}
		k.umount(t) // all of what the kernel serves
		k.nothingLeft(t)
	})
}
