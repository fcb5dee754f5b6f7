package erofs

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// ErrUnavailable is returned when this process on this machine cannot mount an
// image. The text of the error says why.
var ErrUnavailable = errors.New("no EROFS mounts")

// classed is an error of a class that is no part of the text.
type classed struct{ err, class error }

func (c classed) Error() string   { return c.err.Error() }
func (c classed) Unwrap() []error { return []error{c.err, c.class} }

func unavailable(err error) error { return classed{err, ErrUnavailable} }

// Options of [Mount]. The zero value works.
type Options struct {
	// TempDirs are directories for the image, a temporary file that never has
	// a name (O_TMPFILE). The first that can hold one is taken. If there are none,
	// [os.TempDir] and /var/tmp.
	TempDirs []string

	// Loop has the image and its devices mounted by loop devices also where
	// the kernel mounts files, which is better.
	Loop bool
}

// Image is a mounted image. Its methods may be called concurrently, but for
// Close.
type Image struct {
	root    int // descriptor of the mount
	devices map[*os.File]*device
	count   int // of the extents
}

// Mount makes an image of extents and mounts it. Their files are not to be
// closed as long as the image is used. Extents that no image can hold are left
// out without an error: those of no bytes, those whose offset is no multiple of
// [BlockSize], those whose last block of that size is cut off by the end of
// their file, and those that end behind 2 TiB. The image must be closed.
func Mount(runs iter.Seq[attr.Run], opts Options) (*Image, error) {
	im, ds, err := extents(runs)
	if err != nil {
		return nil, err
	}
	fd, err := mount(place{opts.TempDirs, opts.Loop, ""}, im)
	if err != nil {
		return nil, err
	}
	return &Image{fd, ds.byFile, len(im.inodes) - 2}, nil // without the root and the probe
}

// place says where to mount an image.
type place struct {
	dirs   []string // as in Options
	loop   bool     // as in Options
	source string   // as in TreeOptions; if empty, it is a descriptor of this process
}

// mount mounts an image that it writes into a file in the first of the
// directories that can hold it, and returns the descriptor of the mount. If none
// can, or the kernel mounts no files, it tries again by loop devices.
func mount(p place, im *image) (fd int, err error) {
	if len(p.dirs) == 0 {
		p.dirs = []string{os.TempDir(), "/var/tmp"}
	}
	if err := im.layout(); err != nil {
		return -1, err
	}
	if !p.loop {
		before := queues()
		if fd, err = mountFirst(p, im); err == nil {
			raiseReadAhead(before)
			return fd, nil
		}
		if !errors.Is(err, errPlace) {
			return -1, err
		}
		p.loop = true
	}
	fd, lerr := mountFirst(p, im)
	if lerr != nil && err != nil {
		lerr = fmt.Errorf("%w; %w", err, lerr)
	}
	return fd, lerr
}

// mountFirst mounts in the first directory where that is possible.
func mountFirst(p place, im *image) (fd int, err error) {
	var failed error
	for _, dir := range p.dirs {
		fd, err := mountIn(dir, p, im)
		if err == nil {
			return fd, nil
		}
		if failed != nil {
			err = fmt.Errorf("%w; %w", failed, err)
		}
		failed = err
		if !errors.Is(err, errPlace) {
			break
		}
	}
	return -1, failed
}

// errPlace is the class of errors that have to do with the directory of the
// image.
var errPlace = errors.New("bad place for an image")

// mountIn is mount by means of a file in dir.
func mountIn(dir string, p place, im *image) (fd int, err error) {
	fsys, err := unix.Fsopen("erofs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, unavailable(refused(err))
	}
	defer unix.Close(fsys)
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if err == nil {
		defer f.Close() // the mount holds it
		if !p.loop {
			err = suits(f)
		}
	}
	if err == nil {
		err = im.write(f)
	}
	if err != nil {
		return -1, unavailable(fmt.Errorf("image in %s: %w", dir, classed{err, errPlace}))
	}
	files := []*os.File{f} // that the kernel mounts
	for _, d := range im.devices {
		files = append(files, d.file)
	}
	if p.loop {
		if files, err = loopAll(files); err != nil {
			return -1, unavailable(err)
		}
		defer closeAll(files) // the mount holds them
	}
	path := procPath(files[0].Fd())
	if p.source != "" {
		names, err := named(p.source, path)
		if err != nil {
			return -1, err
		}
		defer unix.Close(names)
		path = procPath(uintptr(names)) + "/" + p.source
	}
	fd, err = attach(fsys, path, files[1:])
	if errors.Is(err, unix.ENOTBLK) {
		err = fmt.Errorf("image in %s: %w", dir, classed{errors.New("the kernel mounts no files (Linux does since 6.12), or none of that file system"), errPlace})
	}
	if err != nil {
		return -1, unavailable(err)
	}
	return fd, nil
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

// suits returns why the kernel does not mount f, if that is known beforehand.
func suits(f *os.File) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC {
		return errors.New("tmpfs cannot hold one")
	}
	return nil
}

// named makes a link to a path, and returns the descriptor of a directory that
// has it under the name source, for the table of mounts to tell. It is a file
// system of its own that nobody sees, and that is gone with the descriptor.
func named(source, path string) (fd int, err error) {
	fsys, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(fsys)
	if err := unix.FsconfigCreate(fsys); err != nil {
		return -1, fmt.Errorf("tmpfs: %w", err)
	}
	fd, err = unix.Fsmount(fsys, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsmount tmpfs: %w", err)
	}
	root, err := os.OpenRoot(procPath(uintptr(fd)))
	if err == nil {
		err = errors.Join(root.MkdirAll(filepath.Dir(source), 0o700), root.Symlink(path, source), root.Close())
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// attach mounts the image with the files of the devices, fsys being what fsopen returned, and
// returns the descriptor of the mount.
func attach(fsys int, image string, devices []*os.File) (int, error) {
	fail := func(op string, err error) (int, error) {
		if text := messages(fsys); text != "" {
			return -1, fmt.Errorf("%s: %w: %s", op, err, text)
		}
		return -1, fmt.Errorf("%s: %w", op, err)
	}
	if err := unix.FsconfigSetString(fsys, "source", image); err != nil {
		return fail("erofs source", err)
	}
	for _, d := range devices {
		if err := unix.FsconfigSetString(fsys, "device", procPath(d.Fd())); err != nil {
			return fail("erofs device "+d.Name(), err)
		}
	}
	if err := unix.FsconfigSetFlag(fsys, "ro"); err != nil {
		return fail("erofs ro", err)
	}
	if err := unix.FsconfigCreate(fsys); err != nil {
		return fail("mount erofs", err)
	}
	fd, err := unix.Fsmount(fsys, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOATIME)
	if err != nil {
		return fail("fsmount erofs", err)
	}
	return fd, nil
}

// procPath returns a path under which the kernel opens the very file behind a
// descriptor, whatever has become of its name.
func procPath(fd uintptr) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

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
func (m *Image) Len() int { return m.count }

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

// Close unmounts the image. Files opened before can be read until they are
// closed.
func (m *Image) Close() error { return unix.Close(m.root) }
