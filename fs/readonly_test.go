package fs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMountReadOnly(t *testing.T) { onEngines(t, testMountReadOnly) }

func testMountReadOnly(t *testing.T, mount mounter) {
	tree := sampleTree()
	s := mount(t, tree, Options{})
	at := func(name string) string { return filepath.Join(s.Dir(), name) }
	file, dir := at("manifest"), at("db")
	open := func(name string, flags int) error {
		fd, err := unix.Open(name, flags, 0644)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	for what, err := range map[string]error{
		"create":             open(at("new"), unix.O_CREAT|unix.O_WRONLY),
		"create in dir":      open(at("db/new"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR),
		"tmpfile":            open(dir, unix.O_TMPFILE|unix.O_RDWR),
		"open O_RDWR":        open(file, unix.O_RDWR),
		"open O_WRONLY":      open(file, unix.O_WRONLY),
		"open O_APPEND":      open(file, unix.O_WRONLY|unix.O_APPEND),
		"open O_TRUNC":       open(file, unix.O_RDONLY|unix.O_TRUNC),
		"truncate":           unix.Truncate(file, 0),
		"mkdir":              unix.Mkdir(at("new"), 0755),
		"unlink":             unix.Unlink(file),
		"rmdir":              unix.Rmdir(at("emptydir")),
		"rename":             unix.Rename(file, at("new")),
		"rename over":        unix.Rename(file, at("empty")),
		"symlink":            unix.Symlink("x", at("new")),
		"link":               unix.Link(file, at("new")),
		"chmod":              unix.Chmod(file, 0600),
		"chown":              unix.Lchown(file, 1, 1),
		"utimes":             unix.UtimesNanoAt(unix.AT_FDCWD, file, []unix.Timespec{{}, {}}, 0),
		"mknod":              unix.Mknod(at("new"), unix.S_IFIFO|0600, 0),
		"setxattr":           unix.Setxattr(file, "user.x", []byte("y"), 0),
		"setxattr of ours":   unix.Setxattr(file, Prefix+"layer", []byte("y"), 0),
		"removexattr":        unix.Removexattr(file, "user.x"),
		"access for writing": unix.Access(file, unix.W_OK),
	} {
		wantErrno(t, what, err, unix.EROFS)
	}
	compareTrees(t, s.Dir(), tree)

	if n := s.Counters()["write"].Count; n != 0 {
		t.Errorf("the kernel let %d through", n)
	}

	// Behind the option "ro" stands the guard. Only root can take the option
	// away.
	if os.Geteuid() != 0 {
		return
	}
	if err := errors.Join(
		unix.Mount("", s.Dir(), "", unix.MS_REMOUNT|unix.MS_BIND, ""),
		unix.Mount("", s.Dir(), "", unix.MS_REMOUNT, ""),
	); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"mkdir":    unix.Mkdir(at("new"), 0755),
		"unlink":   unix.Unlink(file),
		"chmod":    unix.Chmod(file, 0600),
		"setxattr": unix.Setxattr(file, "user.x", []byte("y"), 0),
		"open":     open(file, unix.O_RDWR),
	} {
		wantErrno(t, what+" after remounting", err, unix.EROFS)
	}
	if c := s.Counters(); c["write"].Count != 4 || c["open"].Errors != 1 {
		t.Errorf("refused %+v, want 4, and %+v, want 1", c["write"], c["open"])
	}
	compareTrees(t, s.Dir(), tree)
}

// TestReadCalls makes the calls that a read-only file system answers as well.
func TestReadCalls(t *testing.T) {
	s := testMount(t, sampleTree(), Options{})
	f, err := os.Open(filepath.Join(s.Dir(), "db/default/1"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	const size = bigSize
	if off, err := unix.Seek(fd, 5, unix.SEEK_DATA); off != 5 || err != nil {
		t.Errorf("next data: %d, %v", off, err)
	}
	if off, err := unix.Seek(fd, 5, unix.SEEK_HOLE); off != size || err != nil {
		t.Errorf("next hole: %d, %v", off, err)
	}
	_, err = unix.Seek(fd, size, unix.SEEK_DATA)
	wantErrno(t, "data at the end", err, unix.ENXIO)
	if err := f.Sync(); err != nil {
		t.Errorf("fsync: %v", err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("flock: %v", err)
	}
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lock); err != nil {
		t.Errorf("fcntl lock: %v", err)
	}
	var stx unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, f.Name(), 0, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &stx); err != nil || stx.Size != size {
		t.Errorf("statx: %d, %v", stx.Size, err)
	}
	if err := unix.Access(f.Name(), unix.R_OK); err != nil {
		t.Errorf("access: %v", err)
	}
	_, err = unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	wantErrno(t, "ioctl", err, unix.ENOTTY)

	direct, err := unix.Open(f.Name(), unix.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(direct)
	got, want := make([]byte, 1<<16), make([]byte, 1<<16)
	n, err := unix.Pread(direct, got, size/4096*4096)
	if n != size%4096 || err != nil {
		t.Errorf("direct read: %d, %v", n, err)
	}
	if _, err := f.ReadAt(want[:size%4096], size/4096*4096); err != nil || !bytes.Equal(got[:size%4096], want[:size%4096]) {
		t.Errorf("direct read differs: %v", err)
	}
}
