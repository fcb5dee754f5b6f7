package fs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// A snapshot may have two mounts: one that the kernel serves by itself, from an
// image of EROFS, and one that a process serves, beside it. Nothing holds them
// together but that the source of the former names the ID of the latter, which
// the kernel never gives to another mount.

const (
	imageType   = "erofs"
	imagePrefix = "snapfs-"
	maxSource   = 128 // bytes of a name
)

// ImageSource returns the end of the source of a mount of
// an image that [Unmount] takes for one of snapfs: two names with a slash in
// between. The first has the ID of the mount that belongs to it, see
// [Server.ID], or 0; the second is for people.
func ImageSource(id uint64, name string) string {
	if len(name) > maxSource {
		name = strings.ToValidUTF8(name[:maxSource], "")
	}
	return imagePrefix + strconv.FormatUint(id, 10) + "/" + name
}

// imageID returns the ID in the source of a mount. It is ok if the mount is one
// of an image of snapfs.
func imageID(m *mountinfo.Info) (id uint64, ok bool) {
	s, ok := strings.CutPrefix(filepath.Base(filepath.Dir(m.Source)), imagePrefix)
	if !ok || m.FSType != imageType {
		return 0, false
	}
	id, err := strconv.ParseUint(s, 10, 64)
	return id, err == nil
}

// served reports whether a process serves the mount.
func served(m *mountinfo.Info) bool { return m.FSType == "fuse."+fsType }

// ours reports whether a mount is one of snapfs.
func ours(m *mountinfo.Info) bool {
	_, image := imageID(m)
	return image || served(m)
}

// mountStat is what the kernel knows of a mount by itself.
type mountStat struct{ unix.Statx_t }

// statMount asks no server.
func statMount(path string) (st mountStat, err error) {
	flags := unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT | unix.AT_SYMLINK_NOFOLLOW
	err = unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_MNT_ID_UNIQUE, &st.Statx_t)
	return st, os.NewSyscallError("statx", err)
}

// id returns the ID of the mount, 0 if the kernel tells none (Linux does since
// 6.8).
func (st *mountStat) id() uint64 {
	if st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return 0
	}
	return st.Mnt_id
}

// uniqueID returns the ID of the mount at a path, 0 if there is none.
func uniqueID(path string) uint64 {
	st, err := statMount(path)
	if err != nil {
		return 0
	}
	return st.id()
}

// findBeside returns the first mount that belongs says of that it belongs to a
// mount, nil if there is none.
func findBeside(belongs func(*mountinfo.Info) bool) (*mountinfo.Info, error) {
	all, err := mountinfo.GetMounts(nil)
	if i := slices.IndexFunc(all, belongs); i >= 0 {
		return all[i], nil
	}
	return nil, err
}

// besideImage returns the mount that a process serves beside the one of an
// image.
func besideImage(image *mountinfo.Info) (*mountinfo.Info, error) {
	id, ok := imageID(image)
	if !ok || id == 0 {
		return nil, nil
	}
	return findBeside(func(m *mountinfo.Info) bool { return served(m) && uniqueID(m.Mountpoint) == id })
}

// besideServed returns the mount of an image that has the mount with the ID
// beside it.
func besideServed(id uint64) (*mountinfo.Info, error) {
	if id == 0 {
		return nil, nil
	}
	return findBeside(func(m *mountinfo.Info) bool {
		other, ok := imageID(m)
		return ok && other == id
	})
}

// Beside returns where a process serves the snapshot that the kernel serves at
// dir, "" if nowhere.
func Beside(dir string) string {
	m, err := findMount(dir)
	if m == nil || err != nil {
		return ""
	}
	if m, err = besideImage(m); m == nil || err != nil {
		return ""
	}
	return m.Mountpoint
}

// ID returns a number that no other mount has or will have, 0 if the kernel has
// none.
func (s *Server) ID() uint64 { return s.id }

// UnmountBeside takes down the mount of an image that has the mount with an ID
// beside it, and that one with it. It is no error if there is none.
func UnmountBeside(id uint64) error {
	image, err := besideServed(id)
	if image == nil {
		return err
	}
	return unmountAny(image.Mountpoint)
}

// UnmountDead takes down the mount at dir if its server is gone, and with beside
// the one of an image beside it.
func UnmountDead(dir string, beside bool) error {
	m, err := findMount(dir)
	if m == nil || err != nil || !served(m) || !errors.Is(probe(m.Mountpoint), unix.ENOTCONN) {
		return err
	}
	if beside {
		err = UnmountBeside(uniqueID(m.Mountpoint))
	}
	return errors.Join(err, unmountAny(m.Mountpoint))
}

// unmountAny takes down what is mounted at dir, unless somebody else does so at
// the same time.
func unmountAny(dir string) error {
	err := Unmount(dir, true)
	if errors.Is(err, ErrNotMounted) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
