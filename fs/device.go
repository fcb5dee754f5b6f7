package fs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/hint"
)

const (
	devFuse     = "/dev/fuse"
	fuseConf    = "/etc/fuse.conf"
	fsType      = "snapfs" // "fuse.snapfs" in /proc/mounts
	maxRead     = 1 << 20  // bytes per request; the most the kernel takes by default
	hintInstall = "install it: apt install fuse3 (or dnf, apk, pacman: fuse3)"
)

// attach mounts a new FUSE connection on dir and returns its descriptor. This
// is done here and not by go-fuse so that the reason of fusermount3, which it
// only prints, becomes part of the error.
func attach(dir string, o *Options) (fd int, err error) {
	if err := checkDevice(); err != nil {
		return -1, err
	}
	if os.Geteuid() != 0 {
		return attachHelper(dir, o)
	}
	fd, err = attachDirect(dir, o)
	if errors.Is(err, unix.EPERM) {
		// Root without CAP_SYS_ADMIN, as in most containers. A helper that
		// is setuid is no better off there, but may be a special one.
		if fd, herr := attachHelper(dir, o); herr == nil {
			return fd, nil
		}
		err = hint.Wrap(unavailable{err}, "mounting needs CAP_SYS_ADMIN; for a container: --cap-add SYS_ADMIN --device %s", devFuse)
	}
	return fd, err
}

// unavailable is an error of the class ErrUnavailable.
type unavailable struct{ error }

func (u unavailable) Unwrap() []error { return []error{u.error, ErrUnavailable} }

func checkDevice() error {
	err := unix.Access(devFuse, unix.R_OK|unix.W_OK)
	switch {
	case errors.Is(err, unix.ENOENT):
		return hint.Wrap(unavailable{fmt.Errorf("%s: %w", devFuse, err)}, "modprobe fuse; for a container: --device %s", devFuse)
	case err != nil:
		return hint.Wrap(unavailable{fmt.Errorf("%s: %w", devFuse, err)}, "as root: chmod 666 %s", devFuse)
	}
	return nil
}

// attachDirect mounts as root does, with mount(2).
func attachDirect(dir string, o *Options) (int, error) {
	fd, err := unix.Open(devFuse, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return -1, hint.Wrap(unavailable{fmt.Errorf("open %s: %w", devFuse, err)}, "modprobe fuse")
	}
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", devFuse, err)
	}
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d,default_permissions",
		fd, unix.S_IFDIR, os.Geteuid(), os.Getegid(), maxRead)
	if o.AllowOther {
		data += ",allow_other"
	}
	flags := uintptr(unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV)
	if err := unix.Mount(o.source(), dir, "fuse."+fsType, flags, data); err != nil {
		return -1, errors.Join(os.NewSyscallError("mount", err), unix.Close(fd))
	}
	return fd, nil
}

func (o *Options) source() string {
	if o.Source == "" {
		return fsType
	}
	return o.Source
}

// attachHelper mounts as an ordinary user does, through fusermount3. It mounts
// for us and sends the descriptor over a socket.
func attachHelper(dir string, o *Options) (int, error) {
	bin, err := helper()
	if err != nil {
		return -1, err
	}
	if o.AllowOther && os.Getuid() != 0 {
		if err := checkAllowOther(); err != nil {
			return -1, err
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	remote := os.NewFile(uintptr(pair[1]), "fusermount")

	options := []string{
		"ro", "nosuid", "nodev", "default_permissions",
		fmt.Sprintf("max_read=%d", maxRead),
		"subtype=" + fsType,
		"fsname=" + escapeOption(o.source()),
	}
	if o.AllowOther {
		options = append(options, "allow_other")
	}
	cmd := exec.Command(bin, "-o", strings.Join(options, ","), "--", dir)
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3", "LC_ALL=C")
	cmd.ExtraFiles = []*os.File{remote} // its descriptor 3
	out, err := cmd.CombinedOutput()
	remote.Close()
	if err != nil {
		return -1, helperError(bin, out, err)
	}
	return receive(pair[0])
}

// helper returns the program that mounts and unmounts for ordinary users.
func helper() (string, error) {
	for _, name := range []string{"fusermount3", "fusermount"} {
		for _, try := range []string{name, "/usr/bin/" + name, "/bin/" + name} {
			if bin, err := exec.LookPath(try); err == nil {
				return bin, nil
			}
		}
	}
	return "", hint.Wrap(unavailable{errors.New("fusermount3 not found, and only root can do without it")}, hintInstall)
}

// helperError says what the helper said.
func helperError(bin string, out []byte, err error) error {
	text, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if text == "" {
		return fmt.Errorf("%s: %w", bin, err)
	}
	return errors.New(text) // it begins with "fusermount3: "
}

// escapeOption quotes what would end a mount option.
func escapeOption(s string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(s)
}

// receive takes a descriptor from a socket.
func receive(socket int) (int, error) {
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("recvmsg", err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return -1, errors.New("fusermount3 sent no descriptor")
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.New("fusermount3 sent no descriptor")
	}
	return fds[0], nil
}

func checkAllowOther() error {
	conf, err := os.ReadFile(fuseConf)
	if err == nil && allowsOther(bytes.NewReader(conf)) {
		return nil
	}
	return hint.Wrap(ErrAllowOther,
		"as root, add a line with the word user_allow_other to %s", fuseConf)
}

// allowsOther reports whether a fuse.conf lets ordinary users set allow_other.
func allowsOther(conf io.Reader) bool {
	s := bufio.NewScanner(conf)
	for s.Scan() {
		if strings.TrimSpace(s.Text()) == "user_allow_other" {
			return true
		}
	}
	return false
}
