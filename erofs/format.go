package erofs

import (
	"encoding/binary"
	"io/fs"
	"math/bits"
)

// What of the format is used:
// https://erofs.docs.kernel.org/en/latest/core_ondisk.html. All inodes are of
// the extended form, all contents are flat or one chunk after the other, and
// numbers of inodes count from the start of the image.
const (
	magic           = 0xe0f5e1e2
	superOffset     = 1024 // of the superblock
	superSize       = 128
	deviceSize      = 128 // of an entry in the table of devices, which follows
	inodeSize       = 64
	indexSize       = 8 // of a chunk
	slotSize        = 32
	entrySize       = 12 // in a directory, before the name
	chunkedFile     = 0x4
	deviceTable     = 0x8
	blockBits       = 9
	maxChunkBits    = 31 // blocks of a chunk
	extended        = 1
	flat            = 0 << 1
	chunked         = 4 << 1
	chunkHasIndexes = 0x20
)

var le = binary.LittleEndian

// superblock fills b with the superblock.
func superblock(b []byte, inodes, blocks, root uint64, devices int) {
	le.PutUint32(b, magic)
	b[12] = blockBits
	le.PutUint16(b[14:], uint16(root))
	le.PutUint64(b[16:], inodes)
	le.PutUint32(b[36:], uint32(blocks))
	features := uint32(chunkedFile)
	if devices > 0 {
		features |= deviceTable
	}
	le.PutUint32(b[80:], features)
	le.PutUint16(b[86:], uint16(devices))
	le.PutUint16(b[88:], (superOffset+superSize)/deviceSize)
}

// chunkBits returns the logarithm of the blocks of a chunk, the least for which
// one chunk holds the file, as far as that goes.
func chunkBits(size int64) uint {
	return min(uint(bits.Len64(uint64(size-1)>>blockBits)), maxChunkBits)
}

// chunks returns how many chunks a file has.
func chunks(size int64) int64 {
	if size <= 0 {
		return 0
	}
	return (size-1)>>(blockBits+chunkBits(size)) + 1
}

// put fills b with the inode, and with the table of its chunks.
func (n *inode) put(b []byte, number uint32, uid, gid uint32) {
	clear(b)
	format, where := uint16(extended|flat), n.block
	if n.device > 0 {
		format, where = extended|chunked, uint32(chunkBits(n.size))|chunkHasIndexes
	}
	le.PutUint16(b, format)
	le.PutUint16(b[4:], unixMode(n.mode))
	le.PutUint64(b[8:], uint64(n.size))
	le.PutUint32(b[16:], where)
	le.PutUint32(b[20:], number)
	le.PutUint32(b[24:], uid)
	le.PutUint32(b[28:], gid)
	le.PutUint64(b[32:], uint64(n.sec))
	le.PutUint32(b[40:], uint32(n.nsec))
	le.PutUint32(b[44:], n.links)
	if n.device == 0 {
		return
	}
	for i := range chunks(n.size) {
		index := b[inodeSize+i*indexSize:]
		le.PutUint16(index[2:], uint16(n.device))
		le.PutUint32(index[4:], uint32(n.off/BlockSize+i<<chunkBits(n.size)))
	}
}

// unixMode returns a mode as in st_mode.
func unixMode(mode fs.FileMode) uint16 {
	return typeOf(mode).bits | uint16(mode.Perm())
}

// fileType is the type of a file as in st_mode, and as in a directory.
type fileType struct {
	bits  uint16
	entry byte
}

func typeOf(mode fs.FileMode) fileType {
	switch mode.Type() {
	case fs.ModeDir:
		return fileType{0o040000, 2}
	case fs.ModeSymlink:
		return fileType{0o120000, 7}
	case fs.ModeNamedPipe:
		return fileType{0o010000, 5}
	case fs.ModeSocket:
		return fileType{0o140000, 6}
	case fs.ModeDevice:
		return fileType{0o060000, 4}
	case fs.ModeDevice | fs.ModeCharDevice:
		return fileType{0o020000, 3}
	}
	return fileType{0o100000, 1}
}
