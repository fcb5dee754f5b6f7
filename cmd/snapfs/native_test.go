package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// mountNative mounts a snapshot by the kernel for the time of a test, which it
// skips where that is not possible.
func mountNative(t *testing.T, c mountCmd) (mnt string) {
	t.Helper()
	if why := passthrough(); why != nil {
		t.Skipf("no EROFS mounts: %v", why) // the same conditions
	}
	c.Dir, c.Engine = t.TempDir(), engineKernel
	if err := c.Run(&App{Stderr: new(bytes.Buffer), ctx: t.Context()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Unmount(c.Dir, false); err != nil {
			t.Error(err)
		}
	})
	return c.Dir
}

// oddTar writes a tar with every kind of file, and odd names, modes and times.
func oddTar(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	long := strings.Repeat("n", 255)
	at := time.Date(2015, 11, 1, 3, 4, 5, 678_901_234, time.UTC)
	content := map[string]string{"d/one": "1", "d/blocks": strings.Repeat("0123456789", 600), "odd dir/ü\n": "x", "deep/" + long: "y", "suid": "z"}
	for _, h := range []tar.Header{
		{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700, ModTime: at},
		{Name: "d/one", Mode: 0o600, ModTime: time.Date(1950, 1, 1, 0, 0, 0, 5e8, time.UTC)},
		{Name: "d/blocks", Mode: 0o644, ModTime: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Name: "d/empty", Mode: 0o644, ModTime: at},
		{Name: "d/sub/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: at},
		{Name: "d/link", Typeflag: tar.TypeSymlink, Linkname: "sub/../one", Mode: 0o777, ModTime: at},
		{Name: "d/far", Typeflag: tar.TypeSymlink, Linkname: "/none/" + strings.Repeat(long+"/", 10), Mode: 0o777, ModTime: at},
		{Name: "d/hard", Typeflag: tar.TypeLink, Linkname: "d/blocks", Mode: 0o644, ModTime: at},
		{Name: "d/pipe", Typeflag: tar.TypeFifo, Mode: 0o644, ModTime: at},
		{Name: "odd dir/ü\n", Mode: 0o444, ModTime: at},
		{Name: "deep/" + long, Mode: 0o777, ModTime: at},
		{Name: "suid", Mode: 0o4755, Uid: 7, ModTime: at},
	} {
		h.Size, h.Format = int64(len(content[h.Name])), tar.FormatPAX
		err := w.WriteHeader(&h)
		if err == nil {
			_, err = w.Write([]byte(content[h.Name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return writeTemp(t, b.Bytes())
}

func writeTemp(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "snap")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestNative compares what the kernel shows with the tree that it is made of.
func TestNative(t *testing.T) {
	chain, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	odd := oddTar(t)
	id := uint32(70_000)
	cases := []mountCmd{
		{Snap: odd},
		{Snap: odd, Mode: 0o440, UID: &id, GID: &id, AllowOther: true},
		{Snap: chain},
		{Snap: chain, At: "full"},
		{Snap: filepath.Join(filepath.Dir(chain), "snap.0")},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s,at=%s,mode=%o", filepath.Base(c.Snap), c.At, c.Mode), func(t *testing.T) { checkNative(t, c) })
	}
}

// TestRealNative is TestNative for every point of every real chain.
func TestRealNative(t *testing.T) {
	for _, snap := range realchains.All(t) {
		tree, err := space.Open(snap, space.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		for p := range tree.Chain().Points() {
			t.Run(filepath.Base(filepath.Dir(snap))+"/"+p.Name, func(t *testing.T) { checkNative(t, mountCmd{Snap: snap, At: p.Name}) })
		}
	}
}

func checkNative(t *testing.T, c mountCmd) {
	mnt := mountNative(t, c)
	tree, err := space.Open(c.Snap, space.Options{At: c.At})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	opts := c.options(c.Snap)
	perm := opts.Perms()
	want := nativeFiles(t, tree, func(mode iofs.FileMode) iofs.FileMode { return mode.Type() | perm(mode) })
	got := nativeFiles(t, os.DirFS(mnt), func(mode iofs.FileMode) iofs.FileMode { return mode })
	if !c.AllowOther {
		want["."] = strings.Replace(want["."], "dr-xr-xr-x", "dr-x------", 1)
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%q is %.200s, want %.200s", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d names, want %d", len(got), len(want))
	}
	own := func(flag *uint32, own int) uint32 { // of all files
		if flag != nil {
			return *flag
		}
		return uint32(own)
	}
	for name := range got {
		fi, err := os.Lstat(filepath.Join(mnt, name))
		if err != nil {
			t.Fatal(err)
		}
		st := fi.Sys().(*syscall.Stat_t)
		if st.Uid != own(c.UID, os.Getuid()) || st.Gid != own(c.GID, os.Getgid()) {
			t.Errorf("%q belongs to %d:%d", name, st.Uid, st.Gid)
		}
		if err := checkLinks(filepath.Join(mnt, name), st); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(filepath.Join(mnt, "new"), nil, 0o644); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a new file: %v", err)
	}
}

// TestNativeFS is about what io/fs promises. It reads files many times over.
func TestNativeFS(t *testing.T) {
	chain, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mnt := mountNative(t, mountCmd{Snap: chain})
	if err := fstest.TestFS(os.DirFS(mnt), "manifest", "meta", "telemetry/default"); err != nil {
		t.Error(err)
	}
}

// checkLinks compares the links of a directory with the directories in it, as
// programs do to know when they have seen all of them.
func checkLinks(dir string, st *syscall.Stat_t) error {
	if st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return nil
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	want := 2
	for _, e := range list {
		if e.IsDir() {
			want++
		}
	}
	if int(st.Nlink) != want {
		return fmt.Errorf("%s has %d links, want %d", dir, st.Nlink, want)
	}
	return nil
}

// nativeFiles returns all that a tree tells of each file.
func nativeFiles(t *testing.T, tree iofs.FS, mode func(iofs.FileMode) iofs.FileMode) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := iofs.WalkDir(tree, ".", func(name string, d iofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		switch {
		case fi.Mode().IsRegular():
			var b []byte
			b, err = iofs.ReadFile(tree, name)
			content = fmt.Sprint(fi.Size(), " ", string(b))
		case fi.Mode()&iofs.ModeSymlink != 0:
			content, err = iofs.ReadLink(tree, name)
		}
		at := fi.ModTime()
		if at.IsZero() {
			at = time.Unix(0, 0) // no time
		}
		all[name] = fmt.Sprintf("%v %v %s", mode(fi.Mode()), at.UTC(), content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestNativeRefused mounts nothing, and leaves nothing.
func TestNativeRefused(t *testing.T) {
	if why := passthrough(); why != nil {
		t.Skipf("no EROFS mounts: %v", why)
	}
	whole, err := os.ReadFile(oddTar(t))
	if err != nil {
		t.Fatal(err)
	}
	member := bytes.Index(whole, []byte("0123456789"))
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	cut := writeTemp(t, whole[:member+3000])
	full := filepath.Dir(writeTemp(t, nil))
	for _, test := range []struct {
		name string
		cmd  mountCmd
		code int
		text string
	}{
		{"cut", mountCmd{Snap: cut}, exitMountPoint, `"d/blocks": `},
		{"none", mountCmd{Snap: cut + ".none"}, exitOpen, "does not exist"},
		{"process", mountCmd{Snap: cut, ShowControl: true, Foreground: true}, exitUsage, "--foreground, --show-control"},
		{"remove", mountCmd{Snap: cut, Mkdir: true}, exitUsage, "--mkdir"},
		{"mount point", mountCmd{Snap: cut, Dir: full}, exitMountPoint, "not empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := openFiles(t)
			test.cmd.Engine = engineKernel
			if test.cmd.Dir == "" {
				test.cmd.Dir = t.TempDir()
			}
			err := test.cmd.Run(&App{Stderr: new(bytes.Buffer), ctx: t.Context()})
			if err == nil || exitCode(err) != test.code || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v (exit code %d), want %q and %d", err, exitCode(err), test.text, test.code)
			}
			if test.name == "cut" && !strings.Contains(hint.Of(err), "--engine passthrough") {
				t.Errorf("hint %q", hint.Of(err))
			}
			if n := openFiles(t); n > files { // fewer, if something of a test before was closed
				t.Errorf("%d descriptors, before %d", n, files)
			}
			if m := mountsBelow(t, test.cmd.Dir, tmp); len(m) > 0 {
				t.Errorf("mounted: %q", m)
			}
			left, err := filepath.Glob(filepath.Join(tmp, "[^T]*")) // but for what tests make
			if err != nil || len(left) != 0 {
				t.Errorf("left: %q (%v)", left, err)
			}
		})
	}

	// What is only the padding after the last byte is not missed.
	mnt := mountNative(t, mountCmd{Snap: writeTemp(t, whole[:member+6000])})
	if b, err := os.ReadFile(filepath.Join(mnt, "d/blocks")); err != nil || string(b) != strings.Repeat("0123456789", 600) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestNativeNothingLeft unmounts what no process serves, see TestNothingLeft.
func TestNativeNothingLeft(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root mounts a disk")
	}
	disk := newDisk(t)
	mnt := t.TempDir() // not on the disk
	for _, lazy := range []bool{false, true} {
		dir := disk.mount(t)
		t.Setenv("TMPDIR", dir)
		t.Run(fmt.Sprint("lazy=", lazy), func(t *testing.T) {
			if why := passthrough(); why != nil {
				t.Skipf("no EROFS mounts: %v", why)
			}
			c := mountCmd{Snap: filepath.Join(dir, "snap"), Dir: mnt, engineFlags: engineFlags{Engine: engineKernel}}
			if err := c.Run(&App{Stderr: new(bytes.Buffer), ctx: t.Context()}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unmountBelow(t, c.Dir) })
			if m, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir + "/")); err != nil || len(m) != 0 {
				t.Errorf("mounts: %v, %v", m, err)
			}
			f := openShard(t, c.Dir)
			umount := umountCmd{Dir: c.Dir, Lazy: lazy}
			if err := umount.Run(nil); lazy != (err == nil) || !lazy && !errors.Is(err, fs.ErrBusy) {
				t.Errorf("unmount while a file is open: %v", err)
			}
			f.Close()
			if !lazy {
				if err := umount.Run(nil); err != nil {
					t.Error(err)
				}
			}
		})
		disk.unmount(t)
	}
}
