package fs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

// TestUser mounts as an ordinary user does, with fusermount3.
func TestUser(t *testing.T) {
	wantFUSE(t)
	if os.Geteuid() != 0 {
		t.Skip("is what all tests do as an ordinary user")
	}
	const nobody = 65534
	if bin, err := helper(); err != nil {
		missing(t, "%v", err)
	} else if fi, err := os.Stat(bin); err != nil || fi.Mode()&os.ModeSetuid == 0 {
		missing(t, "%s is not setuid", bin)
	}
	if fi, err := os.Stat(devFuse); err != nil || fi.Mode().Perm()&0006 != 0006 {
		missing(t, "%s is not open to all users: chmod 666 %s", devFuse, devFuse)
	}
	copied, dir := copyBinary(t)
	if err := os.Chmod(dir, 0755); err != nil {
		t.Fatal(err)
	}
	asNobody := func(args ...string) *exec.Cmd {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), childEnv+"=serve")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}

	out, err := asNobody(copied, dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "permission denied") || !strings.Contains(string(out), "hint: use a directory of your own") {
		t.Errorf("mount on a directory of root: %v, %s", err, out)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if conf, err := os.Open(fuseConf); err == nil && !allowsOther(conf) {
		out, err := asNobody(copied, dir, "allow_other").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "allow_other is not allowed") || !strings.Contains(string(out), "hint: as root, add a line with the word user_allow_other to /etc/fuse.conf") {
			t.Errorf("allow_other: %v, %s", err, out)
		}
		conf.Close()
	}

	server := start(t, asNobody(copied, dir))
	m, err := findMount(dir)
	if err != nil || m == nil || m.FSType != "fuse.snapfs" || m.Source != "child" {
		t.Fatalf("mounted: %+v, %v", m, err)
	}
	for _, want := range []string{"ro", "nosuid", "nodev", "user_id=65534", "default_permissions"} {
		if !strings.Contains(","+m.Options+","+m.VFSOptions+",", ","+want+",") {
			t.Errorf("no %s in %s,%s", want, m.Options, m.VFSOptions)
		}
	}
	if out, err := asNobody("ls", "-ln", dir).CombinedOutput(); err != nil || !strings.Contains(string(out), "65534 65534") {
		t.Errorf("ls: %v, %s", err, out)
	}
	if out, err := asNobody("cat", dir+"/db/rp with space/3").CombinedOutput(); err != nil || string(out) != "three\n" {
		t.Errorf("cat: %v, %s", err, out)
	}
	// Without allow_other nobody else may look, not even root.
	if _, err := os.ReadDir(dir); !errors.Is(err, os.ErrPermission) {
		t.Errorf("root: %v", err)
	}

	hold := asNobody(copied, "cwd", dir+"/db")
	hold.Env = append(os.Environ(), childEnv+"=hold")
	held := start(t, hold)
	for _, want := range []string{fmt.Sprintf("pid %d", held.Process.Pid), "detached"} {
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		server.waitFor(t, want)
	}
	if m, err := findMount(dir); m != nil || err != nil {
		t.Errorf("still mounted: %v, %v", m, err)
	}
	held.stop()
	if err := server.Wait(); err != nil {
		t.Errorf("server: %v", err)
	}
}

// TestAllowOther looks at a mount of root as another user.
func TestAllowOther(t *testing.T) {
	wantFUSE(t)
	if os.Geteuid() != 0 {
		t.Skip("ordinary users may not")
	}
	for _, allow := range []bool{false, true} {
		_, dir := copyBinary(t)
		tree := sampleTree()
		tree["private"] = &fstest.MapFile{Data: []byte("x"), Mode: 0600}
		s, err := Mount(dir, tree, Options{AllowOther: allow})
		if err != nil {
			t.Fatal(err)
		}
		cat := func(name string) bool {
			cmd := exec.Command("cat", filepath.Join(dir, name))
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			return cmd.Run() == nil
		}
		if got := cat("manifest"); got != allow {
			t.Errorf("allow_other=%v: a file for all can be read: %v", allow, got)
		}
		if cat("private") {
			t.Errorf("allow_other=%v: a private file can be read", allow)
		}
		if err := s.Unmount(); err != nil {
			t.Fatal(err)
		}
		s.Wait()
	}
}
