package erofs

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"math"
	"slices"
	"time"
)

// BlockSize is what the offset of an extent must be a multiple of, in bytes. It
// is the block of a tar, and the smallest that EROFS has.
const BlockSize = 1 << blockBits

// image is what an image is to hold: a tree of inodes. The first is the root,
// and what is in one directory stands together, in the order of the names, in
// which the kernel looks for them.
type image struct {
	uid, gid uint32
	inodes   []inode
	devices  []*device

	start  []uint64 // of each inode in the image, in slots
	blocks uint64   // of the whole image
}

// inode is a file or directory.
type inode struct {
	name    string
	mode    fs.FileMode // type and permissions
	sec     int64       // the time
	nsec    int32
	device  int32 // by its number, from 1, with the contents; 0: they are in the image
	off     int64 // of the contents in the device
	size    int64 // of the contents, set by layout if they are in the image
	content string
	parent  int32 // the directory; the root is in itself
	first   int32 // of a directory: where those in it begin
	count   int32
	links   uint32 // set by layout, as is block
	block   uint32 // of the contents in the image
}

// at sets the time. That of files without one is 1970.
func (n *inode) at(t time.Time) {
	if !t.IsZero() {
		n.sec, n.nsec = t.Unix(), int32(t.Nanosecond())
	}
}

var errTooLarge = errors.New("the image would be too large")

// layout finds out where everything is going to be: behind the table of devices
// the inodes, then what else is in the image.
func (im *image) layout() error {
	pos := roundUp(superOffset+superSize+deviceSize*uint64(len(im.devices)), slotSize)
	im.start = make([]uint64, len(im.inodes))
	for i := range im.inodes {
		n := &im.inodes[i]
		if left := BlockSize - pos%BlockSize; left < inodeSize {
			pos += left // not in two blocks
		}
		im.start[i] = pos / slotSize
		pos += roundUp(uint64(n.sizeOf()), slotSize)
		n.links = 1
		switch {
		case n.mode.IsDir():
			n.links = 2
			n.size = im.list(i, func(entry) {})
		case n.device == 0:
			n.size = int64(len(n.content))
		}
	}
	if im.start[0] > math.MaxUint16 || len(im.inodes) > math.MaxInt32 {
		return errTooLarge
	}
	im.blocks = roundUp(pos, BlockSize) / BlockSize
	for i := range im.inodes {
		n := &im.inodes[i]
		if n.mode.IsDir() && i > 0 {
			im.inodes[n.parent].links++
		}
		if n.device > 0 {
			continue
		}
		n.block = uint32(im.blocks)
		if im.blocks += roundUp(uint64(n.size), BlockSize) / BlockSize; im.blocks > math.MaxUint32 {
			return errTooLarge
		}
	}
	return nil
}

// sizeOf returns how long an inode is in the image, with its chunks.
func (n *inode) sizeOf() int64 {
	if n.device == 0 {
		return inodeSize
	}
	return inodeSize + indexSize*chunks(n.size)
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }

// entry is a name in a directory.
type entry struct {
	name  string
	inode int32
	block bool // a block of the directory begins with it
}

// list calls f for each name in directory i, in order, and returns the size of
// the directory.
func (im *image) list(i int, f func(entry)) (size int64) {
	n := &im.inodes[i]
	used := 0 // of the block
	add := func(name string, inode int32) {
		need := entrySize + len(name)
		e := entry{name, inode, used == 0}
		if used+need > BlockSize {
			size += BlockSize
			used, e.block = 0, true
		}
		used += need
		f(e)
	}
	dots := []entry{{name: ".", inode: int32(i)}, {name: "..", inode: n.parent}}
	for c := n.first; c < n.first+n.count; c++ {
		for len(dots) > 0 && dots[0].name < im.inodes[c].name {
			add(dots[0].name, dots[0].inode)
			dots = dots[1:]
		}
		add(im.inodes[c].name, c)
	}
	for _, d := range dots {
		add(d.name, d.inode)
	}
	return size + int64(used)
}

// write writes the image, for which layout was called. No name is longer than
// 255 bytes.
func (im *image) write(to io.Writer) error {
	w := &writer{w: bufio.NewWriterSize(to, 1<<20)}
	head := make([]byte, superOffset+superSize)
	superblock(head[superOffset:], uint64(len(im.inodes)), im.blocks, im.start[0], len(im.devices))
	w.write(head)
	slot := make([]byte, deviceSize)
	for _, d := range im.devices {
		le.PutUint32(slot[64:], d.blocks())
		w.write(slot)
	}
	var b []byte
	for i := range im.inodes {
		w.pad(im.start[i] * slotSize)
		n := &im.inodes[i]
		b = slices.Grow(b[:0], int(n.sizeOf()))[:n.sizeOf()]
		n.put(b, uint32(i), im.uid, im.gid)
		w.write(b)
	}
	for i := range im.inodes {
		n := &im.inodes[i]
		if n.device > 0 || n.size == 0 {
			continue
		}
		w.pad(uint64(n.block) * BlockSize)
		if n.mode.IsDir() {
			im.writeDir(w, i)
		} else {
			w.writeString(n.content)
		}
	}
	w.pad(im.blocks * BlockSize)
	return errors.Join(w.err, w.w.Flush())
}

// writeDir writes the names in directory i.
func (im *image) writeDir(w *writer, i int) {
	var entries []entry // of one block
	flush := func() {
		at := entrySize * len(entries)
		var b [entrySize]byte
		for _, e := range entries {
			le.PutUint64(b[:], im.start[e.inode])
			le.PutUint16(b[8:], uint16(at))
			b[10] = typeOf(im.inodes[e.inode].mode).entry
			w.write(b[:])
			at += len(e.name)
		}
		for _, e := range entries {
			w.writeString(e.name)
		}
		entries = entries[:0]
	}
	im.list(i, func(e entry) {
		if e.block && len(entries) > 0 {
			flush()
			w.pad(roundUp(w.pos, BlockSize))
		}
		entries = append(entries, e)
	})
	flush()
}

// writer writes a file from front to back. The first error ends it.
type writer struct {
	w   *bufio.Writer
	pos uint64
	err error
}

func (w *writer) done(n int, err error) {
	w.pos += uint64(n)
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) write(b []byte)       { w.done(w.w.Write(b)) }
func (w *writer) writeString(s string) { w.done(io.WriteString(w.w, s)) }

var zeros [BlockSize]byte

// pad writes zeros up to pos, which is less than two blocks away.
func (w *writer) pad(pos uint64) {
	for w.err == nil && w.pos < pos {
		w.write(zeros[:min(pos-w.pos, BlockSize)])
	}
}
