package fs

import (
	iofs "io/fs"
	"math"
	"path"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/snapfs/snapfs/internal/attr"
)

const (
	rootIno   = 1
	blockSize = 4096 // st_blksize and f_bsize
)

// attr fills out with what fi tells. It is the one place where a FileInfo
// becomes a struct stat.
func (m *mount) attr(fi iofs.FileInfo, ino uint64, out *fuse.Attr) {
	*out = fuse.Attr{
		Ino:     ino,
		Size:    uint64(max(fi.Size(), 0)),
		Mode:    typeBits(fi.Mode()) | m.perm(fi.Mode()),
		Nlink:   1, // also for directories: find(1) then counts no subdirectories
		Blksize: blockSize,
		Owner:   fuse.Owner{Uid: m.uid, Gid: m.gid},
	}
	out.Blocks = (out.Size + 511) / 512
	if t := fi.ModTime(); !t.IsZero() {
		out.SetTimes(&t, &t, &t)
	}
}

// Perms returns a function that returns the permission bits that a mount shows
// for a file of a mode.
func (o *Options) Perms() func(mode iofs.FileMode) iofs.FileMode {
	s := o.settings()
	return func(mode iofs.FileMode) iofs.FileMode { return iofs.FileMode(s.perm(mode)) }
}

// perm returns the permission bits to show for a file of the mode.
func (s *settings) perm(mode iofs.FileMode) uint32 {
	switch {
	case mode&iofs.ModeSymlink != 0:
		return 0777 // as on every Linux file system; never checked
	case mode.IsDir() && s.dirMode != 0:
		return uint32(s.dirMode)
	case !mode.IsDir() && s.fileMode != 0:
		return uint32(s.fileMode)
	}
	return uint32(mode.Perm() &^ 0222)
}

// typeBits returns the type of a file as in st_mode.
func typeBits(mode iofs.FileMode) uint32 {
	switch mode.Type() {
	case iofs.ModeDir:
		return syscall.S_IFDIR
	case iofs.ModeSymlink:
		return syscall.S_IFLNK
	case iofs.ModeNamedPipe:
		return syscall.S_IFIFO
	case iofs.ModeSocket:
		return syscall.S_IFSOCK
	case iofs.ModeDevice:
		return syscall.S_IFBLK
	case iofs.ModeDevice | iofs.ModeCharDevice:
		return syscall.S_IFCHR
	}
	return syscall.S_IFREG
}

// ino returns the inode number of the file name in the directory dir. Directories are known by
// their path alone, as a directory must not be in two places. Other files have
// the number that the tree gives them, which makes two paths one inode with
// one set of cached pages.
func ino(dir, name string, fi iofs.FileInfo) uint64 {
	if !fi.IsDir() {
		if n, ok := attr.Ino(fi); ok && usable(n) {
			return n
		}
	}
	return pathIno(join(dir, name))
}

// pathIno returns the number for a path that has none of its own.
func pathIno(name string) uint64 {
	if name == "." {
		return rootIno
	}
	return attr.PathIno(rootIno, name)
}

// usable reports whether n is not one of the reserved numbers: 0 says "none",
// 1 is the root, and go-fuse keeps the last.
func usable(n uint64) bool {
	return n > rootIno && n < math.MaxUint64
}

// join returns the path of name in the directory dir.
func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// parentIno returns the number of the directory that holds the directory name.
func parentIno(name string) uint64 {
	return pathIno(path.Dir(name))
}
