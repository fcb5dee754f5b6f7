package fs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/hint"
)

// Unmount ends the snapfs mount on dir, whichever process serves it. If it is
// the kernel that does, the mount beside it, see [Beside], ends as well. If lazy,
// the mount point is free at once, and files that are open stay readable until
// they are closed. Errors are [ErrNotMounted], [ErrBusy], or those of the
// system.
func Unmount(dir string, lazy bool) error {
	m, err := findMount(dir)
	if err != nil {
		return &mountError{"unmount", dir, err, nil}
	}
	if m == nil || !ours(m) {
		return &mountError{"unmount", dir, ErrNotMounted, []error{ErrMountPoint}}
	}
	beside, err := besideImage(m)
	if err != nil {
		return &mountError{"unmount", dir, err, nil}
	}
	if err := unmount(dir, m, lazy); err != nil || beside == nil {
		return err
	}
	if err := unmount(beside.Mountpoint, beside, lazy); !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil // it was taken down a moment ago
}

// unmount ends the mount m, which was found on dir.
func unmount(dir string, m *mountinfo.Info, lazy bool) (err error) {
	if lazy {
		err = detach(m.Mountpoint)
	} else {
		err = unmountRetry(m.Mountpoint)
	}
	switch {
	case errors.Is(err, unix.EBUSY):
		return &mountError{"unmount", dir, withHolders(dir), []error{ErrMountPoint, unix.EBUSY}}
	case err != nil:
		return &mountError{"unmount", dir, err, nil}
	}
	return nil
}

// withHolders returns ErrBusy with a hint who it may be.
func withHolders(dir string) error {
	holders := Holders(dir)
	if len(holders) == 0 {
		return hint.Wrap(ErrBusy, "close the files, or: snapfs umount --lazy %s", hint.Quote(dir))
	}
	const most = 5
	var b strings.Builder
	for i, h := range holders {
		if i == most {
			fmt.Fprintf(&b, "; and %d more", len(holders)-most)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(h.String())
	}
	return hint.Wrap(ErrBusy, "used by %s; end them, or: snapfs umount --lazy %s", &b, hint.Quote(dir))
}

// unmountRetry unmounts, patient with files that were closed a moment ago: the
// kernel may still be busy with them.
func unmountRetry(dir string) error {
	delay := 5 * time.Millisecond
	for {
		err := detachFlags(dir, false)
		if delay > 100*time.Millisecond || !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(delay)
		delay *= 2
	}
}

// detach unmounts lazily.
func detach(dir string) error { return detachFlags(dir, true) }

func detachFlags(dir string, lazy bool) error {
	if os.Geteuid() == 0 {
		flags := unix.UMOUNT_NOFOLLOW
		if lazy {
			flags |= unix.MNT_DETACH
		}
		return os.NewSyscallError("umount", unix.Unmount(dir, flags))
	}
	bin, err := helper()
	if err != nil {
		return err
	}
	flag := "-u"
	if lazy {
		flag = "-uz"
	}
	cmd := exec.Command(bin, flag, "--", dir)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	err = helperError(bin, out, err)
	// The text is all that the helper tells.
	if bytes.Contains(bytes.ToLower(out), []byte(unix.EBUSY.Error())) {
		err = errors.Join(err, unix.EBUSY)
	}
	return err
}

// Unmount takes the tree off its mount point. It is no error if that has
// happened. It does not wait for the end of service, see [Server.Wait]. If files
// are in use the error is [ErrBusy], and the tree stays mounted. A mount of an
// image beside it is left alone.
func (s *Server) Unmount() error { return s.unmount(false) }

// Detach takes the tree off its mount point at once. Files that are open are
// served until they are closed.
func (s *Server) Detach() error { return s.unmount(true) }

func (s *Server) unmount(lazy bool) error {
	select {
	case <-s.done:
		return nil // and the number of the device may be another mount's by now
	default:
	}
	m, err := findMount(s.dir)
	if err != nil {
		return &mountError{"unmount", s.dir, err, nil}
	}
	if m == nil || unix.Mkdev(uint32(m.Major), uint32(m.Minor)) != s.dev {
		return nil // detached, and perhaps another is mounted here
	}
	return Unmount(s.dir, lazy)
}
