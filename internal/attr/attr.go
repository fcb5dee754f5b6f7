// Package attr names what a browsable tree can tell about its files beyond
// what io/fs has words for. All of it is optional: a tree offers a power by
// implementing the interface on [io/fs.FileInfo.Sys] or on the open file, and a
// door (the mount, restore, the command line) uses it where it finds it.
package attr

import (
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"iter"
	"os"
)

// Inoder is implemented by FileInfo.Sys of a file with an identity of its own:
// two paths with one number are one file, whose bytes never differ. A tree
// makes the number with [MemberIno] or [PathIno], so that it is the same each
// time.
type Inoder interface {
	Ino() uint64
}

// Finder is implemented by a tree that finds files again by their numbers, so
// that nobody has to remember where they are.
type Finder interface {
	// Find returns the path of a regular file or link whose Inoder has the
	// number ino, or "". It need not know all of them, but knows one always or
	// never. What it finds is in memory, as [Memory] says.
	Find(ino uint64) (path string)
}

// Memory is implemented by a tree that has some of its directories in memory.
type Memory interface {
	// InMemory reports whether the directory called dir, and the files right in
	// it, are described, listed and opened without a wait for anything. To
	// read the files may take one.
	InMemory(dir string) bool
}

// Names is implemented by a tree that makes some of its files on the way, such
// as those of Bolt keys, of which there may be millions.
type Names interface {
	// NamesOnly reports whether the directory called dir is better listed
	// without describing each file, unless somebody asks for that.
	NamesOnly(dir string) bool
}

// Lister is implemented by FileInfo.Sys of a file with attributes: facts such
// as the layer and offset it was read from. Names are without the prefix
// "user.snapfs." under which the mount shows them, in a fixed order.
type Lister interface {
	Attrs() iter.Seq2[string, string]
}

// Volatile is implemented by FileInfo.Sys of a file whose content is made anew
// for each open and may differ the next time. No door caches it.
type Volatile interface {
	Volatile() bool
}

// Extent is implemented by an open file whose content is one run of bytes of a
// file on disk: the content is the [io/fs.FileInfo.Size] bytes of f at off. f
// is only borrowed, is valid while the open file is, and must not be closed or
// moved. ok is false if the content is not one run.
//
// FileInfo.Sys may implement it as well. Then nothing was opened, and opening
// the file may still fail, in which case what lies there is not its content; f
// is valid as long as the tree.
type Extent interface {
	Extent() (f *os.File, off int64, ok bool)
}

// Steady is implemented by an open file that is an [Extent], if what is on disk may
// be written to.
type Steady interface {
	// Changed returns an error if it was, after somebody had looked at what is
	// there. Then the bytes are not the content any more, nor may those be that
	// were read from the extent before the call.
	Changed() error
}

// Run is a run of bytes of a file on disk.
type Run struct {
	File *os.File // only borrowed, as in [Extent]
	Off  int64
	Size int64 // bytes
}

// Ino returns the number of a file, and whether it has one.
func Ino(fi fs.FileInfo) (uint64, bool) {
	if s, ok := fi.Sys().(Inoder); ok {
		return s.Ino(), true
	}
	return 0, false
}

// All returns the attributes of a file; there may be none.
func All(fi fs.FileInfo) iter.Seq2[string, string] {
	if s, ok := fi.Sys().(Lister); ok {
		return s.Attrs()
	}
	return func(func(string, string) bool) {}
}

// IsVolatile reports whether the content of a file may change.
func IsVolatile(fi fs.FileInfo) bool {
	s, ok := fi.Sys().(Volatile)
	return ok && s.Volatile()
}

// MemberIno returns the inode number of the archive member whose header is at
// off, a multiple of 512, in a layer, counted from 0. Numbers of members are
// distinct, and below 1<<62.
func MemberIno(layer int, off int64) uint64 {
	return memberIno | uint64(layer&(MaxLayers-1))<<48 | uint64(off>>9)&(1<<48-1)
}

const memberIno = 1 << 61

// MaxLayers is how many layers [MemberIno] tells apart.
const MaxLayers = 1 << 12

// Member returns what MemberIno made the number of, and whether it did.
func Member(ino uint64) (layer int, off int64, ok bool) {
	return int(ino >> 48 & (MaxLayers - 1)), int64(ino&(1<<48-1)) << 9, ino>>60 == memberIno>>60
}

// PathIno returns the inode number for anything that is known by a number to
// start from, such as the inode of the file that holds it, and a name in there.
// Numbers are distinct from those of [MemberIno], and from each other but for
// one chance in 2^62.
func PathIno(seed uint64, name string) uint64 {
	var buf [128]byte
	b := binary.LittleEndian.AppendUint64(buf[:0], seed)
	b = append(b, name...)
	sum := sha256.Sum256(b)
	return 1<<62 | binary.LittleEndian.Uint64(sum[:])>>2
}
