package fs

import (
	"math"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/snapfs/snapfs/internal/attr"
)

// node is a file, directory or link that the kernel knows. A file that was
// reached by two paths and has one identity is one node, with the path that the
// tree finds it at, or else the one it was reached by first. It shares its
// strings: with its directory, and with the tree where that has the name in memory.
type node struct {
	dir     string // path of the directory it is in; of a directory, its own
	name    string // in dir; of a directory ""
	ino     uint64
	mode    uint32 // type bits
	lookups uint32 // that the kernel has not taken back; guarded by nodes.mu
}

// path returns the path in the tree; "." is the root.
func (n *node) path() string {
	if n.name == "" {
		return n.dir
	}
	return join(n.dir, n.name)
}

// nodes are the nodes by the number that the kernel has for them: the inode
// number, or one that follows if that is taken by a file of another type.
//
// There may be millions. Those that the tree finds by their inode number are in
// no table: to know the number is to know the node, and there is nothing to
// forget.
type nodes struct {
	finder attr.Finder // nil if the tree is none
	mu     sync.RWMutex
	byID   map[uint64]*node // the others
}

func newNodes(root *node, finder attr.Finder) nodes {
	return nodes{finder: finder, byID: map[uint64]*node{fuse.FUSE_ROOT_ID: root}}
}

// find returns where the tree finds the file with an inode number, or "".
func (t *nodes) find(ino uint64) string {
	if t.finder == nil {
		return ""
	}
	return t.finder.Find(ino)
}

// get returns the node with a number that the kernel was told. It is nil if
// there is none, which is a mistake of the kernel.
func (t *nodes) get(id uint64) *node {
	if path := t.find(id); path != "" {
		return &node{dir: ".", name: path, ino: id}
	}
	return t.table(id)
}

// table returns the node with a number in the table, nil if it is not there.
func (t *nodes) table(id uint64) *node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[id]
}

// enter returns the number of the node with the identity of n, which is added
// if there is none, and counts that the kernel learns of it once more.
func (t *nodes) enter(n node) (id uint64) {
	if n.mode != syscall.S_IFDIR && t.find(n.ino) != "" {
		return n.ino
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id = n.ino; ; id++ {
		if !usable(id) || t.find(id) != "" {
			continue
		}
		known := t.byID[id]
		if known == nil {
			known = &n
			t.byID[id] = known
		}
		if known.ino == n.ino && known.mode == n.mode {
			if known.lookups < math.MaxUint32 {
				known.lookups++ // and else it is not forgotten any more
			}
			return id
		}
	}
}

// forget takes back that the kernel learned of a node, count times. The root
// stays.
func (t *nodes) forget(id, count uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID[id]
	if n == nil || n.lookups == math.MaxUint32 || id == fuse.FUSE_ROOT_ID {
		return
	}
	if count < uint64(n.lookups) {
		n.lookups -= uint32(count)
		return
	}
	delete(t.byID, id)
}

// handles are what is open, by the number that the kernel has for it.
type handles[T any] struct {
	mu   sync.RWMutex
	open []*T
	free []uint32
}

func (h *handles[T]) add(v *T) (fh uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if last := len(h.free) - 1; last >= 0 {
		fh = uint64(h.free[last])
		h.free = h.free[:last]
		h.open[fh] = v
		return fh
	}
	h.open = append(h.open, v)
	return uint64(len(h.open) - 1)
}

// get returns nil if fh is not open, which is a mistake of the kernel.
func (h *handles[T]) get(fh uint64) *T {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if fh >= uint64(len(h.open)) {
		return nil
	}
	return h.open[fh]
}

// remove is get, and makes the number free.
func (h *handles[T]) remove(fh uint64) *T {
	h.mu.Lock()
	defer h.mu.Unlock()
	if fh >= uint64(len(h.open)) || h.open[fh] == nil {
		return nil
	}
	v := h.open[fh]
	h.open[fh] = nil
	h.free = append(h.free, uint32(fh))
	return v
}
