package fs

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// Backing opens runs of bytes of files on disk as files by themselves, such as
// [github.com/snapfs/snapfs/erofs.Image] does. Its methods are called
// concurrently.
type Backing interface {
	// Open opens the size bytes of f at off as a file. f is what the tree has
	// as [attr.Extent]. The error matches [io/fs.ErrNotExist] if Backing does
	// not have this run: it is then read as if there were no Backing.
	Open(f *os.File, off, size int64) (*os.File, error)

	// Probe opens any file, to see whether the kernel takes files of this kind.
	Probe() (*os.File, error)
}

// stackDepth is how many file systems may be on top of each other in a mount
// with a Backing, the mount itself included: it, EROFS, and the disk. It is the
// most that Linux allows, so that the mount cannot be a layer of an overlayfs.
const stackDepth = 2

// backed is the part of a file that has to do with passthrough.
type backed struct {
	n      *node
	extent attr.Extent // nil if the file is always read through the server
	plain  bool        // counts in openNode.plain, else in openNode.passed
	file   *os.File    // what the kernel reads; nil if another handle opened it
}

// openNode tells how a node is open by files that could be passthrough. The
// kernel refuses to have it open both ways.
type openNode struct {
	plain, passed int   // handles
	id            int32 // of what the kernel reads; 0 if passed is 0
}

// back returns the id of what the kernel shall read instead of asking for the
// file, of the node n, or 0. Whether the file may be handed to the kernel
// depends on nothing but the file; a node that is open without has to stay so.
func (f *file) back(n *node) (id int32) {
	f.n = n
	if f.m.backing != nil && f.size >= f.m.minBacked {
		f.extent, _ = f.file.(attr.Extent)
	}
	if f.extent == nil {
		return 0
	}
	o := &f.m.open
	o.mu.Lock()
	defer o.mu.Unlock()
	on := o.add(&f.backed)
	if on.id == 0 && on.plain == 0 && f.m.passthrough.Load() {
		err := f.register(on)
		if err != nil && !errors.Is(err, iofs.ErrNotExist) && !f.m.backingFailed.Swap(true) {
			f.m.log.Warn("a file is read through the server; further ones are not reported", "path", f.path, "cause", err)
		}
	}
	if f.plain = on.id == 0; f.plain {
		on.plain++
	} else {
		on.passed++
	}
	return on.id
}

// register opens what the kernel shall read, and tells the kernel.
func (f *file) register(on *openNode) error {
	under, off, ok := f.extent.Extent()
	if !ok {
		return iofs.ErrNotExist
	}
	file, err := f.m.backing.Open(under, off, f.size)
	if err != nil {
		return err
	}
	id, err := f.m.conn.pass(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	on.id, f.backed.file = id, file
	return nil
}

// release ends what back began.
func (f *file) release() error {
	if f.extent == nil {
		return nil
	}
	var errs []error
	o := &f.m.open
	o.mu.Lock()
	defer o.mu.Unlock()
	on := o.nodes[f.n.ino]
	if f.plain {
		on.plain--
	} else if on.passed--; on.passed == 0 {
		errs = append(errs, f.m.conn.unpass(on.id))
		on.id = 0
	}
	o.remove(&f.backed)
	if f.backed.file != nil {
		errs = append(errs, f.backed.file.Close())
	}
	return errors.Join(errs...)
}

// passthroughState is the part of a mount that has to do with passthrough.
type passthroughState struct {
	conn          *conn
	passthrough   atomic.Bool // the kernel takes files of the backing
	backingFailed atomic.Bool // has been logged
	open          openFiles
}

// errNoBacking is the reason if nobody asked for passthrough.
var errNoBacking = errors.New("not asked for")

// probe turns passthrough on if the kernel takes files of the backing, and says
// why if not.
func (m *mount) probe() error {
	if m.backing == nil {
		return errNoBacking
	}
	if m.conn.flags.Load()&fuse.CAP_PASSTHROUGH == 0 {
		return errors.New("this kernel has no FUSE passthrough, which came with Linux 6.9")
	}
	f, err := m.backing.Probe()
	if err != nil {
		return err
	}
	defer f.Close()
	id, err := m.conn.pass(f)
	if err != nil {
		return fmt.Errorf("the kernel does not take files of an image: %w", err)
	}
	if err := m.conn.unpass(id); err != nil {
		return err
	}
	m.passthrough.Store(true)
	return nil
}

// What ioctl(2) wants to know of /dev/fuse.
const (
	backingOpen  = 0x4010e501
	backingClose = 0x4004e502
)

// pass tells the kernel of a file that it may read by itself, and returns the
// number that it has for it.
func (c *conn) pass(f *os.File) (id int32, err error) {
	m := fuse.BackingMap{Fd: int32(f.Fd())}
	n, err := c.ioctl(backingOpen, unsafe.Pointer(&m))
	return int32(n), err
}

// unpass undoes pass.
func (c *conn) unpass(id int32) error {
	_, err := c.ioctl(backingClose, unsafe.Pointer(&id))
	return err
}

func (c *conn) ioctl(request uintptr, arg unsafe.Pointer) (n uintptr, err error) {
	raw, err := c.dev.SyscallConn() // which knows when the descriptor is closed
	if err != nil {
		return 0, err
	}
	var no unix.Errno
	err = raw.Control(func(fd uintptr) { n, _, no = unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg)) })
	if err == nil && no != 0 {
		err = no
	}
	return n, err
}
