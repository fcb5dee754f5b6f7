package fs

import (
	iofs "io/fs"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/snapfs/snapfs/internal/attr"
)

// Prefix is what the names of the attributes of a tree begin with in the mount.
const Prefix = "user.snapfs."

// maxXattrName is the longest name of an extended attribute (XATTR_NAME_MAX).
const maxXattrName = 255

func (m *mount) GetXAttr(_ <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	name, ok := strings.CutPrefix(name, Prefix)
	if !ok {
		return 0, fuse.ENODATA // asked for security.* at every turn: no Stat
	}
	fi, st := m.statNode("getxattr", h.NodeId)
	if st != fuse.OK {
		return 0, st
	}
	for k, v := range attr.All(fi) {
		if k == name {
			return copyOut(dest, v)
		}
	}
	return 0, fuse.ENODATA
}

func (m *mount) ListXAttr(_ <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	fi, st := m.statNode("listxattr", h.NodeId)
	if st != fuse.OK {
		return 0, st
	}
	var b strings.Builder
	for k := range attr.All(fi) {
		if k == "" || len(Prefix)+len(k) > maxXattrName || strings.Contains(k, "\x00") {
			continue // could not be asked for
		}
		b.WriteString(Prefix)
		b.WriteString(k)
		b.WriteByte(0)
	}
	return copyOut(dest, b.String())
}

// statNode describes the file of a node.
func (m *mount) statNode(op string, id uint64) (iofs.FileInfo, fuse.Status) {
	n := m.nodes.get(id)
	if n == nil {
		return nil, errStale
	}
	path := n.path()
	fi, err := m.stat(path)
	if err != nil {
		return nil, m.fail(op, path, err)
	}
	return fi, fuse.OK
}

// copyOut gives s to a caller with room for len(dest) bytes. A caller without
// any asks for the length.
func copyOut(dest []byte, s string) (uint32, fuse.Status) {
	if len(s) > len(dest) {
		return uint32(len(s)), fuse.ERANGE
	}
	return uint32(copy(dest, s)), fuse.OK
}
