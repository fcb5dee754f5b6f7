package fs

import (
	"errors"
	iofs "io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/snapfs/snapfs/internal/attr"
)

// mount answers the kernel's requests from the tree. What it does not implement
// of the protocol, the guard does not let through.
type mount struct {
	fuse.RawFileSystem
	tree   iofs.FS
	memory attr.Memory // nil if the tree is none
	names  attr.Names  // likewise
	settings
	passthroughState
	nodes  nodes
	files  handles[file]
	dirs   handles[dir]
	pushes pushes

	listings listings
}

func newMount(tree iofs.FS, s settings) *mount {
	finder, _ := tree.(attr.Finder)
	memory, _ := tree.(attr.Memory)
	names, _ := tree.(attr.Names)
	return &mount{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		tree:          tree,
		memory:        memory,
		names:         names,
		settings:      s,
		nodes:         newNodes(&node{dir: ".", ino: rootIno, mode: syscall.S_IFDIR}, finder),
	}
}

func (m *mount) String() string { return fsType }

// stat describes the file itself; links are not followed.
func (m *mount) stat(path string) (iofs.FileInfo, error) {
	return iofs.Lstat(m.tree, path)
}

func (m *mount) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := m.nodes.get(in.NodeId)
	if n == nil {
		return errStale
	}
	path := n.path()
	fi, err := m.stat(path)
	if err != nil {
		return m.fail("getattr", path, err)
	}
	m.attr(fi, n.ino, &out.Attr)
	m.linkSize(path, fi, &out.Attr)
	out.SetTimeout(m.cacheTime(fi))
	return fuse.OK
}

// inMemory reports whether requests for a node, but for reading it, take no time
// worth speaking of.
func (m *mount) inMemory(id uint64) bool {
	if m.memory == nil {
		return false
	}
	n := m.nodes.table(id)
	return n == nil || m.memory.InMemory(n.dir) // nil: found by its number, or not there
}

// errStale answers for nodes, and errHandle for handles, that are not there.
const (
	errStale  = fuse.Status(syscall.ESTALE)
	errHandle = fuse.Status(syscall.EBADF)
)

// cacheTime returns how long the attributes of a file are valid. The kernel
// rounds anything but 0 up to a tick of its clock.
func (m *mount) cacheTime(fi iofs.FileInfo) time.Duration {
	if attr.IsVolatile(fi) {
		return 0
	}
	return m.cache
}

func (m *mount) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	n := m.nodes.get(h.NodeId)
	if n == nil {
		return errStale
	}
	path := join(n.path(), name)
	var fi iofs.FileInfo
	err := error(iofs.ErrNotExist) // such as one that is not UTF-8: no tree has that
	if name != "." && iofs.ValidPath(path) && !strings.Contains(name, "/") {
		fi, err = m.stat(path)
	}
	if err != nil {
		st := m.fail("lookup", path, err)
		if st == fuse.ENOENT {
			// No node, kept like one.
			*out = fuse.EntryOut{}
			out.SetEntryTimeout(m.cache)
			st = fuse.OK
		}
		return st
	}
	m.listings.ask(h.NodeId)
	m.child(n.path(), name, fi, out)
	return fuse.OK
}

// child fills out with the entry name of the directory dir, a file that fi
// describes, and counts that the kernel learns of it.
func (m *mount) child(dir, name string, fi iofs.FileInfo, out *fuse.EntryOut) {
	n := node{dir: dir, name: name, ino: ino(dir, name, fi), mode: typeBits(fi.Mode())}
	if fi.IsDir() {
		n.dir, n.name = join(dir, name), ""
	}
	m.attr(fi, n.ino, &out.Attr)
	if fi.Mode()&iofs.ModeSymlink != 0 {
		m.linkSize(n.path(), fi, &out.Attr)
	}
	out.SetAttrTimeout(m.cacheTime(fi))
	out.SetEntryTimeout(m.cache)
	out.NodeId, out.Generation = m.nodes.enter(n), 0
}

func (m *mount) Forget(id, count uint64) {
	m.pushes.forget(id)
	m.nodes.forget(id, count)
}

// linkSize sets the size of a link to the length of its target, as lstat(2)
// promises, where the tree does not say.
func (m *mount) linkSize(name string, fi iofs.FileInfo, out *fuse.Attr) {
	if fi.Mode()&iofs.ModeSymlink == 0 || out.Size != 0 {
		return
	}
	if target, err := iofs.ReadLink(m.tree, name); err == nil {
		out.Size = uint64(len(target))
	}
}

func (m *mount) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	n := m.nodes.get(h.NodeId)
	if n == nil {
		return nil, errStale
	}
	path := n.path()
	target, err := iofs.ReadLink(m.tree, path)
	if err != nil {
		return nil, m.fail("readlink", path, err)
	}
	// The kernel has room for a page with a NUL at its end, and takes an
	// empty target for a broken reply.
	if target == "" || len(target) >= syscall.PathMax {
		return nil, m.fail("readlink", path, errLink)
	}
	return []byte(target), fuse.OK
}

var errLink = errors.New("link target is empty or longer than a path may be")

func (m *mount) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Bsize: blockSize, Frsize: blockSize, NameLen: 255}
	if m.totals != nil {
		files, bytes := m.totals()
		out.Files = uint64(max(files, 0))
		out.Blocks = (uint64(max(bytes, 0)) + blockSize - 1) / blockSize
	}
	return fuse.OK
}

// Ioctl answers that there is none.
func (m *mount) Ioctl(<-chan struct{}, *fuse.IoctlIn, []byte, *fuse.IoctlOut, []byte) fuse.Status {
	return fuse.Status(syscall.ENOTTY)
}
