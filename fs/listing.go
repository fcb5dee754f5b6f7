package fs

import (
	"sync"
	"sync/atomic"
)

// listings are the open directories of which the tree wants to give names only,
// by node. There attributes come with a listing only once somebody has looked up
// a file while the directory was open, as ls -l does after each name: who lists a
// million keys should not pay for a node of each.
type listings struct {
	mu   sync.Mutex
	open map[uint64]*listing
}

type listing struct {
	handles int // guarded by listings.mu
	asked   atomic.Bool
}

// begin counts a handle of a directory.
func (l *listings) begin(id uint64) *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[uint64]*listing{}
	}
	of := l.open[id]
	if of == nil {
		of = &listing{}
		l.open[id] = of
	}
	of.handles++
	return of
}

// end takes back the count of begin.
func (l *listings) end(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of := l.open[id]; of != nil {
		if of.handles--; of.handles == 0 {
			delete(l.open, id)
		}
	}
}

// ask notes that a file of a directory was looked up.
func (l *listings) ask(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of := l.open[id]; of != nil {
		of.asked.Store(true)
	}
}
