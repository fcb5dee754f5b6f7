package fs

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"sync/atomic"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

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
	plain  bool        // counts in n.plain
	file   *os.File    // what the kernel reads; nil if another handle opened it
}

var _ fusefs.FilePassthroughFder = (*file)(nil)

// back sets whether the file, of the node n, may be handed to the kernel. That
// depends on nothing but the file, since the kernel refuses to have one inode
// open both ways.
func (f *file) back(n *node) {
	f.n = n
	if f.m.backing != nil && !f.volatile && f.size >= f.m.minBacked {
		f.extent, _ = f.file.(attr.Extent)
	}
	if f.extent != nil {
		f.m.open.add(&f.backed)
	}
}

// PassthroughFd returns the descriptor that the kernel shall read from. go-fuse
// asks one at a time, when it answers an open of an inode that is not open for
// passthrough by another handle. Being open without, it has to stay so.
func (f *file) PassthroughFd() (int, bool) {
	if f.extent == nil {
		return -1, false
	}
	if f.m.passthrough.Load() && f.n.plain.Load() == 0 {
		switch file, err := f.openBacking(); {
		case err == nil:
			f.backed.file = file
			return int(file.Fd()), true
		case !errors.Is(err, iofs.ErrNotExist) && !f.m.backingFailed.Swap(true):
			f.m.log.Warn("a file is read through the server; further ones are not reported", "path", f.path, "cause", err)
		}
	}
	f.plain = true
	f.n.plain.Add(1)
	return -1, false
}

func (f *file) openBacking() (*os.File, error) {
	on, off, ok := f.extent.Extent()
	if !ok {
		return nil, iofs.ErrNotExist
	}
	return f.m.backing.Open(on, off, f.size)
}

// release ends what back and PassthroughFd began.
func (b *backed) release() error {
	if b.plain {
		b.n.plain.Add(-1)
	}
	if b.extent != nil {
		b.n.m.open.remove(b)
	}
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

// passthroughState is the part of a mount that has to do with passthrough.
type passthroughState struct {
	passthrough   atomic.Bool // the kernel takes files of the backing
	backingFailed atomic.Bool // has been logged
	open          openFiles
}

// errNoBacking is the reason if nobody asked for passthrough.
var errNoBacking = errors.New("not asked for")

// probe turns passthrough on if the kernel takes files of the backing, and says
// why if not.
func (m *mount) probe(server *fuse.Server) error {
	if m.backing == nil {
		return errNoBacking
	}
	if server.KernelSettings().Flags64()&fuse.CAP_PASSTHROUGH == 0 {
		return errors.New("this kernel has no FUSE passthrough, which came with Linux 6.9")
	}
	f, err := m.backing.Probe()
	if err != nil {
		return err
	}
	defer f.Close()
	id, errno := server.RegisterBackingFd(&fuse.BackingMap{Fd: int32(f.Fd())})
	if errno != 0 {
		return fmt.Errorf("the kernel does not take files of an image: %w", errno)
	}
	if errno := server.UnregisterBackingFd(id); errno != 0 {
		return errno
	}
	m.passthrough.Store(true)
	return nil
}
