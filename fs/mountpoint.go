package fs

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/hint"
)

// CheckMountPoint returns nil if a tree that is read from files in the
// directories sourceDirs can be mounted on dir: dir is an empty directory, no
// mount of snapfs, is in none of the sourceDirs and has none of them in it. All
// errors are [ErrMountPoint].
func CheckMountPoint(dir string, sourceDirs ...string) error {
	if err := checkMountPoint(dir, sourceDirs); err != nil {
		return &mountError{"mount", dir, err, []error{ErrMountPoint}}
	}
	return nil
}

func checkMountPoint(dir string, sourceDirs []string) error {
	// The table of mounts comes first: it also knows a mount whose server
	// hangs or has died, and reading it cannot block.
	if m, err := findMount(dir); err != nil {
		return err
	} else if m != nil && ours(m) {
		return busyMountPoint(m)
	}
	real, err := resolve(dir)
	switch {
	case errors.Is(err, unix.ENOTCONN):
		return hint.Wrap(errors.New("a FUSE mount is here whose server is gone"), "fusermount3 -u %s", hint.Quote(dir))
	case errors.Is(err, iofs.ErrNotExist):
		return hint.Wrap(unix.ENOENT, "mkdir %s", hint.Quote(dir))
	case err != nil:
		return err
	}
	fi, err := os.Stat(real)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return unix.ENOTDIR
	}
	if err := checkEmpty(real); err != nil {
		return err
	}
	for _, src := range sourceDirs {
		if err := checkOverlap(real, fi, src); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		if err := unix.Access(real, unix.W_OK|unix.X_OK); err != nil {
			return hint.Wrap(fmt.Errorf("ordinary users need write permission: %w", err), "use a directory of your own")
		}
	}
	return nil
}

func busyMountPoint(m *mountinfo.Info) error {
	state := "is already mounted here"
	switch err := probe(m.Mountpoint); {
	case errors.Is(err, unix.ENOTCONN):
		state = "is mounted here, but its server is gone"
	case errors.Is(err, errHung):
		state = "is mounted here, but its server does not answer"
	}
	source := m.Source
	if m.FSType == imageType {
		source = filepath.Base(source) // the rest is a path that was gone at once
	}
	return hint.Wrap(fmt.Errorf("%s %s", source, state), "snapfs umount %s", hint.Quote(m.Mountpoint))
}

var errHung = errors.New("no answer")

// probe asks the server of a mount for something that the kernel does not know
// itself. A request without an answer cannot be taken back: its thread stays
// until the answer comes or the process ends.
func probe(dir string) error {
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(dir, &st)
	}()
	select {
	case err := <-answer:
		if errors.Is(err, unix.ECONNABORTED) { // the server went meanwhile
			return unix.ENOTCONN
		}
		return err
	case <-time.After(time.Second):
		return errHung
	}
}

func checkEmpty(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(1)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return hint.Wrap(fmt.Errorf("not empty: holds %q", names[0]), "use an empty directory")
}

// checkOverlap compares by device and inode, not by name, and so also sees
// through bind mounts and case-insensitive file systems.
func checkOverlap(dir string, dirInfo os.FileInfo, src string) error {
	real, err := resolve(src)
	if err != nil {
		return fmt.Errorf("source %s: %w", src, err)
	}
	srcInfo, err := os.Stat(real)
	if err != nil {
		return fmt.Errorf("source %s: %w", src, err)
	}
	for p := range parents(dir) {
		if fi, err := os.Stat(p); err == nil && os.SameFile(fi, srcInfo) {
			return hint.Wrap(fmt.Errorf("lies inside the folder of the source, %s", src), "mount somewhere else")
		}
	}
	for p := range parents(real) {
		if fi, err := os.Stat(p); err == nil && os.SameFile(fi, dirInfo) {
			return hint.Wrap(fmt.Errorf("contains the folder of the source, %s", src), "mount somewhere else")
		}
	}
	return nil
}

// parents yields the absolute path p and all directories above it.
func parents(p string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for yield(p) && p != "/" {
			p = filepath.Dir(p)
		}
	}
}

// resolve returns the absolute path of dir without symbolic links.
func resolve(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// findMount returns the topmost mount on dir itself, or nil if there is none.
// It does not touch dir, as far as that goes: only its parents are resolved, so
// that a mount without a server is found.
func findMount(dir string) (*mountinfo.Info, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(parent, filepath.Base(abs))
	}
	m, err := topMount(abs)
	if m != nil || err != nil {
		return m, err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil || real == abs {
		return nil, nil // not mounted on; whether it exists is not the question here
	}
	return topMount(real)
}

// topMount returns the last mount on the path, which hides the others.
func topMount(path string) (*mountinfo.Info, error) {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.Mountpoint != path, false
	})
	if err != nil || len(mounts) == 0 {
		return nil, err
	}
	return mounts[len(mounts)-1], nil
}
