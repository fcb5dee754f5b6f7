package fs

import (
	"sync"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/snapfs/snapfs/internal/attr"
)

// mostPushed is the size in bytes of the largest files whose content is pushed.
const mostPushed = mostNow

// pushes knows which files get their content put into the kernel's cache when
// they are opened, so that the kernel need not ask for it: for a small file, to be
// asked takes longer than all else.
//
// To push waits for the reads of the file that the kernel has asked for, and there
// may be nobody else to answer them. So it is done only while nobody has the file
// open.
type pushes struct {
	mu     sync.Mutex
	open   map[uint64]int          // handles of files that may be pushed, by inode number
	recent [1 << recentBits]uint64 // inode numbers of files that were, each at its place
}

const recentBits = 14

// place returns where in recent a number is, if it is there.
func (p *pushes) place(ino uint64) *uint64 {
	return &p.recent[ino*0x9e3779b97f4a7c15>>(64-recentBits)] // Fibonacci hashing
}

// begin counts a handle, and reports whether to push.
func (p *pushes) begin(ino uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = map[uint64]int{}
	}
	p.open[ino]++
	place := p.place(ino)
	if p.open[ino] > 1 || *place == ino {
		return false
	}
	*place = ino
	return true
}

// end takes back the count of begin.
func (p *pushes) end(ino uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[ino]--; p.open[ino] == 0 {
		delete(p.open, ino)
	}
}

// forget is for a file that the kernel gives up, with all it has of it.
func (p *pushes) forget(ino uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if place := p.place(ino); *place == ino {
		*place = 0
	}
}

// small reports whether the file may be pushed. It is the same for all handles
// of a node.
func (f *file) small() bool {
	_, ok := f.file.(attr.Extent)
	return ok && f.extent == nil && !f.volatile && f.size > 0 && f.size <= mostPushed
}

// storeOut is the head of the message that puts bytes into the kernel's cache.
type storeOut struct {
	fuse.OutHeader
	fuse.NotifyStoreOut
}

// notifyStore is the number of that message.
const notifyStore = 4

// push puts the content of a file that is being opened into the kernel's cache,
// if it is to be pushed and in memory.
func (x *exchange) push(node, fh uint64) {
	c := x.conn
	f := c.mount.files.get(fh)
	if f == nil || !f.push {
		return
	}
	const head = int(unsafe.Sizeof(storeOut{}))
	x.room(head + int(f.size))
	content := x.out[head:][:f.size]
	n, _ := c.mount.readNow(fh, content, 0)
	if n == 0 {
		return // whoever reads it will be told why, or wait for it
	}
	*message[storeOut](x.out) = storeOut{
		fuse.OutHeader{Length: uint32(head + n), Status: notifyStore},
		fuse.NotifyStoreOut{Nodeid: node, Size: uint32(n)},
	}
	x.send(x.out[:head+n])
	c.guard.counters[opOpen].bytes.Add(uint64(n))
}
