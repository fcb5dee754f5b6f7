package export

import (
	"sync"

	"github.com/snapfs/snapfs/dataset"
)

const (
	// blockSize is when a block is full. A point may make it longer.
	blockSize = 256 << 10
	// maxBlocks bounds the blocks that wait for their turn. What is being
	// written has a few besides, so that it never waits for what comes after.
	maxBlocks  = 96
	headBlocks = 4
)

// block is a run of whole points of one policy.
type block struct {
	policy *dataset.Policy
	data   []byte
	ends   []uint32 // in data, of each point
	series []int    // how many points belong to each series that ends here, or to those before it
	report Report   // what was counted on the way to it
	weight int64    // bytes of shards that were read for it
	err    error    // the end of the export
	last   bool     // of its task

	// done is set if all series up to the one with this key are complete, and
	// nothing of the next one has been read.
	done bool
	key  string
}

// from returns where point i of the block begins.
func (b *block) from(i int) int {
	if i == 0 {
		return 0
	}
	return int(b.ends[i-1])
}

// pool lends blocks to tasks that are worked on at the same time.
type pool struct {
	mu     sync.Mutex
	cond   *sync.Cond
	free   []*block
	used   int
	head   int // number of the task that is being written
	closed bool
}

func newPool() *pool {
	p := &pool{}
	p.cond = sync.NewCond(&p.mu)
	return p
}

// get returns an empty block for a task, nil after close.
func (p *pool) get(task int) *block {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && p.used >= maxBlocks && (task != p.head || p.used >= maxBlocks+headBlocks) {
		p.cond.Wait()
	}
	if p.closed {
		return nil
	}
	p.used++
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b
	}
	return &block{data: make([]byte, 0, blockSize+blockSize/16), ends: make([]uint32, 0, blockSize/64)}
}

// put takes a block back.
func (p *pool) put(b *block) {
	data, ends, series := b.data[:0], b.ends[:0], b.series[:0]
	if cap(data) > 4*blockSize {
		data = nil
	}
	*b = block{data: data, ends: ends, series: series}
	p.mu.Lock()
	p.used--
	p.free = append(p.free, b)
	p.mu.Unlock()
	p.cond.Broadcast()
}

// next begins to write a task.
func (p *pool) next(task int) {
	p.mu.Lock()
	p.head = task
	p.mu.Unlock()
	p.cond.Broadcast()
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cond.Broadcast()
}
