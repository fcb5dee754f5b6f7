package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/snapfs/snapfs/internal/attr"
)

// mount is what all nodes of one mount share.
type mount struct {
	tree iofs.FS
	settings
	passthroughState
}

// node is a file, directory or link that the kernel knows. A file that was
// reached by two paths and has one identity is one node, with the path it was
// reached by first.
type node struct {
	fusefs.Inode
	m    *mount
	path string // in the tree; "." is the root

	plain atomic.Int32 // open handles that could have been passthrough and are not
}

var (
	_ fusefs.NodeLookuper       = (*node)(nil)
	_ fusefs.NodeGetattrer      = (*node)(nil)
	_ fusefs.NodeReadlinker     = (*node)(nil)
	_ fusefs.NodeOpener         = (*node)(nil)
	_ fusefs.NodeOpendirHandler = (*node)(nil)
	_ fusefs.NodeGetxattrer     = (*node)(nil)
	_ fusefs.NodeListxattrer    = (*node)(nil)
	_ fusefs.NodeStatfser       = (*node)(nil)
)

// newRoot returns the node for the root of the tree.
func newRoot(tree iofs.FS, s settings) *node {
	return &node{m: &mount{tree: tree, settings: s}, path: "."}
}

// fuseOptions returns what go-fuse has to know to serve the nodes.
func (s *settings) fuseOptions() *fusefs.Options {
	return &fusefs.Options{
		EntryTimeout:    &s.cache,
		NegativeTimeout: &s.cache,
		// No AttrTimeout: go-fuse would put it where a node wants none, as
		// it cannot tell 0 from "not set". See cacheTime.
		NullPermissions: true, // a mode of 0 is a mode
		RootStableAttr:  &fusefs.StableAttr{Ino: rootIno},
	}
}

// stat describes the node itself; links are not followed.
func (n *node) stat() (iofs.FileInfo, error) {
	return iofs.Lstat(n.m.tree, n.path)
}

func (n *node) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	fi, err := n.stat()
	if err != nil {
		return n.m.fail("getattr", n.path, err)
	}
	n.m.attr(fi, n.StableAttr().Ino, &out.Attr)
	n.m.linkSize(n.path, fi, &out.Attr)
	out.SetTimeout(n.m.cacheTime(fi))
	return 0
}

// cacheTime returns how long the attributes of a file are valid. The kernel
// rounds anything but 0 up to a tick of its clock.
func (m *mount) cacheTime(fi iofs.FileInfo) time.Duration {
	if attr.IsVolatile(fi) {
		return 0
	}
	return m.cache
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	p := join(n.path, name)
	if !iofs.ValidPath(p) || strings.Contains(name, "/") {
		return nil, syscall.ENOENT // such as one that is not UTF-8: no tree has that
	}
	fi, err := iofs.Lstat(n.m.tree, p)
	if err != nil {
		return nil, n.m.fail("lookup", p, err)
	}
	return n.child(ctx, name, fi, out), 0
}

// child returns the inode for the entry name of the directory n, and fills out
// with its attributes.
func (n *node) child(ctx context.Context, name string, fi iofs.FileInfo, out *fuse.EntryOut) *fusefs.Inode {
	p := join(n.path, name)
	id := fusefs.StableAttr{Mode: typeBits(fi.Mode()), Ino: ino(p, fi)}
	n.m.attr(fi, id.Ino, &out.Attr)
	n.m.linkSize(p, fi, &out.Attr)
	out.SetAttrTimeout(n.m.cacheTime(fi))
	if known := n.GetChild(name); known != nil && known.StableAttr() == id {
		return known
	}
	// If another directory holds a node with this identity, go-fuse takes
	// that one and drops ours.
	return n.NewInode(ctx, &node{m: n.m, path: p}, id)
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

func (n *node) Readlink(context.Context) ([]byte, syscall.Errno) {
	target, err := iofs.ReadLink(n.m.tree, n.path)
	if err != nil {
		return nil, n.m.fail("readlink", n.path, err)
	}
	// The kernel has room for a page with a NUL at its end, and takes an
	// empty target for a broken reply.
	if target == "" || len(target) >= syscall.PathMax {
		return nil, n.m.fail("readlink", n.path, errLink)
	}
	return []byte(target), 0
}

var errLink = errors.New("link target is empty or longer than a path may be")

func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	*out = fuse.StatfsOut{Bsize: blockSize, Frsize: blockSize, NameLen: 255}
	if n.m.totals != nil {
		files, bytes := n.m.totals()
		out.Files = uint64(max(files, 0))
		out.Blocks = (uint64(max(bytes, 0)) + blockSize - 1) / blockSize
	}
	return 0
}
