package fs

import (
	"context"
	"strings"
	"syscall"

	"github.com/snapfs/snapfs/internal/attr"
)

// Prefix is what the names of the attributes of a tree begin with in the mount.
const Prefix = "user.snapfs."

// maxXattrName is the longest name of an extended attribute (XATTR_NAME_MAX).
const maxXattrName = 255

func (n *node) Getxattr(_ context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	name, ok := strings.CutPrefix(name, Prefix)
	if !ok {
		return 0, syscall.ENODATA // asked for security.* at every turn: no Stat
	}
	fi, err := n.stat()
	if err != nil {
		return 0, n.m.fail("getxattr", n.path, err)
	}
	for k, v := range attr.All(fi) {
		if k == name {
			return copyOut(dest, v)
		}
	}
	return 0, syscall.ENODATA
}

func (n *node) Listxattr(_ context.Context, dest []byte) (uint32, syscall.Errno) {
	fi, err := n.stat()
	if err != nil {
		return 0, n.m.fail("listxattr", n.path, err)
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

// copyOut gives s to a caller with room for len(dest) bytes. A caller without
// any asks for the length.
func copyOut(dest []byte, s string) (uint32, syscall.Errno) {
	if len(s) > len(dest) {
		return uint32(len(s)), syscall.ERANGE
	}
	return uint32(copy(dest, s)), 0
}
