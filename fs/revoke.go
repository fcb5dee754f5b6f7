package fs

import (
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// openFiles are the open files that the kernel may read by itself.
type openFiles struct {
	mu    sync.Mutex
	files map[*backed]struct{}
	nodes map[uint64]*openNode // by inode number
}

// add adds an open file, and returns how its node is open; o.mu is held.
func (o *openFiles) add(b *backed) *openNode {
	if o.files == nil {
		o.files, o.nodes = map[*backed]struct{}{}, map[uint64]*openNode{}
	}
	o.files[b] = struct{}{}
	on := o.nodes[b.n.ino]
	if on == nil {
		on = &openNode{}
		o.nodes[b.n.ino] = on
	}
	return on
}

// remove undoes add; o.mu is held.
func (o *openFiles) remove(b *backed) {
	delete(o.files, b)
	if on := o.nodes[b.n.ino]; on.plain == 0 && on.passed == 0 {
		delete(o.nodes, b.n.ino)
	}
}

// on returns the nodes with open files whose content lies in f, by inode number.
func (o *openFiles) on(f *os.File) map[uint64]*node {
	o.mu.Lock()
	defer o.mu.Unlock()
	nodes := map[uint64]*node{}
	for b := range o.files {
		if under, _, ok := b.extent.Extent(); ok && under == f {
			nodes[b.n.ino] = b.n
		}
	}
	return nodes
}

// Revoke makes the files that are open, and that the kernel reads from f by
// itself, fail with EIO from now on. It is for the time when f is found to have
// changed: the server is not asked about them, and could not say. What a process
// has mapped stays readable, as f is. Revoked files do not open again while the
// kernel knows them; others are up to the tree. Revoke returns the number of
// files that fail.
func (s *Server) Revoke(f *os.File) int {
	count := 0
	for _, n := range s.mount.open.on(f) {
		if s.revoke(n) {
			count++
		} else {
			s.log.Warn("an open file could not be revoked, and is read as its source is now", "path", n.path())
		}
	}
	return count
}

// revoke has the kernel give up the inode of a node, as it does when a file
// turns out to be of another type than it was: it takes that for a server that
// reuses numbers, and fails whatever holds the inode.
func (s *Server) revoke(n *node) bool {
	s.guard.revoked.Store(n.ino, struct{}{})
	defer s.guard.revoked.Delete(n.ino)
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, filepath.Join(s.dir, n.path()), unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st)
	return err == unix.EIO
}
