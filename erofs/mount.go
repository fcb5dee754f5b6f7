package erofs

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// ErrUnavailable is returned when this process on this machine cannot mount an
// image. The text of the error says why.
var ErrUnavailable = errors.New("no EROFS mounts")

// unavailable is an error of the class ErrUnavailable.
type unavailable struct{ error }

func (u unavailable) Unwrap() []error { return []error{u.error, ErrUnavailable} }

// readAheadKB is how far the kernel may read ahead in an extent.
const readAheadKB = "4096"

// Options of [Mount]. The zero value works.
type Options struct {
	// TempDirs are directories for the image, a temporary file without a
	// name. The first that can hold one is taken. If there are none,
	// [os.TempDir] and /var/tmp.
	TempDirs []string
}

// Image is a mounted image. Its methods may be called concurrently, but for
// Close.
type Image struct {
	root    int // descriptor of the mount
	devices map[*os.File]*device
}

// Mount makes an image of the extents and mounts it. Their files are not to be
// closed as long as the image is used. Extents that no image can
// hold are left out without an error: those of no bytes, those whose offset is
// no multiple of [BlockSize], those whose last block of that size is cut off by
// the end of their file, and those that end behind 2 TiB. The image must be
// closed.
func Mount(extents iter.Seq[attr.Run], opts Options) (*Image, error) {
	fsys, err := unix.Fsopen("erofs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, unavailable{refused(err)}
	}
	defer unix.Close(fsys)
	devices, order, err := group(extents)
	if err != nil {
		return nil, err
	}
	f, err := tempFile(opts.TempDirs)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the mount holds it
	if err := write(f, order); err != nil {
		return nil, err
	}
	fd, err := attach(fsys, f, order)
	if err != nil {
		return nil, unavailable{err}
	}
	m := &Image{root: fd, devices: devices}
	m.raiseReadAhead()
	return m, nil
}

// refused says what the error of fsopen means.
func refused(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		err = fmt.Errorf("%w: it takes root with CAP_SYS_ADMIN", err)
	case errors.Is(err, unix.ENODEV):
		err = fmt.Errorf("%w: this kernel has no EROFS", err)
	}
	return fmt.Errorf("fsopen erofs: %w", err)
}

// tempFile opens a file without a name for the image.
func tempFile(dirs []string) (*os.File, error) {
	if len(dirs) == 0 {
		dirs = []string{os.TempDir(), "/var/tmp"}
	}
	var failed error
	for _, dir := range dirs {
		f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) { // by the file system, or the kernel
			if f, err = os.CreateTemp(dir, "snapfs-*.erofs"); err == nil {
				err = os.Remove(f.Name())
			}
		}
		if err == nil {
			if err = suits(f); err == nil {
				return f, nil
			}
		}
		if f != nil {
			f.Close()
		}
		failed = errors.Join(failed, fmt.Errorf("image in %s: %w", dir, err))
	}
	return nil, unavailable{failed}
}

// suits returns why the kernel does not mount f, if that is known beforehand.
func suits(f *os.File) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC {
		return errors.New("tmpfs cannot hold one; set TMPDIR to a directory on disk")
	}
	return nil
}

// attach mounts the image with the devices, fsys being what fsopen returned, and
// returns the descriptor of the mount.
func attach(fsys int, image *os.File, devices []*device) (int, error) {
	fail := func(op string, err error) (int, error) {
		if text := messages(fsys); text != "" {
			return -1, fmt.Errorf("%s: %w: %s", op, err, text)
		}
		return -1, fmt.Errorf("%s: %w", op, err)
	}
	if err := unix.FsconfigSetString(fsys, "source", procPath(image)); err != nil {
		return fail("erofs source", err)
	}
	for _, d := range devices {
		if err := unix.FsconfigSetString(fsys, "device", procPath(d.file)); err != nil {
			return fail("erofs device "+d.file.Name(), err)
		}
	}
	if err := unix.FsconfigSetFlag(fsys, "ro"); err != nil {
		return fail("erofs ro", err)
	}
	if err := unix.FsconfigCreate(fsys); err != nil {
		if errors.Is(err, unix.ENOTBLK) {
			err = fmt.Errorf("%w: this kernel does not mount files, as Linux does since 6.12, or not of that file system", err)
		}
		return fail("mount erofs", err)
	}
	fd, err := unix.Fsmount(fsys, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOATIME)
	if err != nil {
		return fail("fsmount erofs", err)
	}
	return fd, nil
}

// procPath returns a path under which the kernel opens the very file, whatever
// has become of its name.
func procPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// messages returns what the kernel has to say about a mount that failed.
func messages(fd int) string {
	var all []string
	buf := make([]byte, 1024)
	for range 8 {
		n, err := unix.Read(fd, buf)
		if err != nil || n <= 0 {
			break
		}
		all = append(all, strings.TrimSpace(strings.TrimPrefix(string(buf[:n]), "e ")))
	}
	return strings.Join(all, "; ")
}

// Len returns the number of extents in the image.
func (m *Image) Len() int {
	n := 0
	for _, d := range m.devices {
		n += d.count
	}
	return n
}

// Open opens an extent of the image. The error matches [fs.ErrNotExist] if it
// is none.
func (m *Image) Open(f *os.File, off, size int64) (*os.File, error) {
	d := m.devices[f]
	if d == nil || off%BlockSize != 0 {
		return nil, fs.ErrNotExist
	}
	return m.open(d.name(off, size), f.Name())
}

// Probe opens an empty file of the image, to try what can be done with the
// files of this image.
func (m *Image) Probe() (*os.File, error) { return m.open(probeName, probeName) }

func (m *Image) open(name, shown string) (*os.File, error) {
	fd, err := unix.Openat(m.root, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: shown, Err: err}
	}
	return os.NewFile(uintptr(fd), shown), nil
}

// raiseReadAhead lets the kernel read further ahead in extents than 128 KiB. It
// works without.
func (m *Image) raiseReadAhead() {
	var st unix.Stat_t
	if unix.Fstat(m.root, &st) == nil {
		name := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
		_ = os.WriteFile(name, []byte(readAheadKB), 0)
	}
}

// Close unmounts the image. Files opened before can be read until they are
// closed.
func (m *Image) Close() error { return unix.Close(m.root) }
