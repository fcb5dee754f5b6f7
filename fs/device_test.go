package fs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnavailable takes away what mounting needs, in a mount namespace of its
// own, and looks at what the user is told.
func TestUnavailable(t *testing.T) {
	wantFUSE(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can take things away")
	}
	for _, tool := range []string{"unshare", "setpriv", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, "%v", err)
		}
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		missing(t, "no mount namespace: %v: %s", err, out)
	}
	exe, dir := copyBinary(t)
	if strings.HasPrefix(exe, "/dev/") {
		t.Skipf("%s goes with the devices; TMPDIR=/tmp has another place", exe)
	}
	const (
		nobody = ` exec setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"`
		dev    = `mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3;`
	)
	for _, tt := range []struct {
		name   string
		script string // takes something away, and runs "$@", which is the binary and the mount point
		want   []string
	}{
		{"no device", dev + `exec "$@"`,
			[]string{"/dev/fuse: no such file", "hint: modprobe fuse"}},
		{"device of root", dev + `mknod -m 600 /dev/fuse c 10 229;` + nobody,
			[]string{"/dev/fuse: permission denied", "hint: as root: chmod 666 /dev/fuse"}},
		{"no helper", dev + `mknod -m 666 /dev/fuse c 10 229; : >/dev/no; chmod 644 /dev/no
			for f in fusermount3 fusermount; do
				if [ -e /usr/bin/$f ]; then mount --bind /dev/no /usr/bin/$f; fi
			done;` + nobody,
			[]string{"fusermount3 not found", "hint: install it: apt install fuse3"}},
		{"root of a container", `exec setpriv --bounding-set -sys_admin -- "$@"`,
			[]string{"operation not permitted", "hint: mounting needs CAP_SYS_ADMIN"}},
		{"helper says why", dev + `mknod -m 666 /dev/fuse c 10 229; chmod 1777 "$2";` + nobody,
			[]string{"fusermount3: mountpoint", "not owned by user"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("unshare", "-m", "sh", "-e", "-c", tt.script, "sh", exe, dir)
			cmd.Env = append(os.Environ(), childEnv+"=serve")
			cmd.Dir = "/"
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("it mounted")
			}
			for _, want := range tt.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in: %s", want, out)
				}
			}
		})
	}
}

// copyBinary copies the test binary to where every user can run it, and makes a
// directory to mount on that every user can write to. Both are in a folder that
// is removed with the test; t.TempDir would be closed to other users.
func copyBinary(t *testing.T) (exe, dir string) {
	t.Helper()
	base, err := os.MkdirTemp("", "snapfs-user")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	exe, dir = filepath.Join(base, "fs.test"), filepath.Join(base, "mnt")
	if out, err := exec.Command("cp", self, exe).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, err := range []error{os.Chmod(base, 0755), os.Chmod(exe, 0755), os.Mkdir(dir, 0777), os.Chmod(dir, 0777)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return exe, dir
}
