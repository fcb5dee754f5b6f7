package export

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/snapfs/snapfs/dataset"
)

const (
	// taskWeight is how many bytes of shards a task has at least, unless there
	// is no more in the policy, and taskParts how many parts at most.
	taskWeight = 1 << 20
	taskParts  = 4096
	// maxTasks bounds the tasks that wait to be worked on or written.
	maxTasks = 64
)

// position is a place in the order of an export: after a series.
type position struct {
	Database string
	Policy   string
	Key      string
}

// sink takes the points of an export in their order. It is used by one
// goroutine.
type sink interface {
	// write takes a block, which it must not keep.
	write(ctx context.Context, b *block) error
}

// task is what one worker does at a time: parts of series that follow each
// other in the order, all of one policy.
type task struct {
	number int
	policy *dataset.Policy
	parts  []part
	report Report // errors from before it
	weight int64  // bytes of shards, as Progress counts them
	done   int64  // those of series before it that an earlier run wrote
	out    chan *block
}

type part struct {
	series *dataset.Series
	dataset.Part
	last bool // of its series
}

// run gives all points after a position, nil for all, to a sink, and adds to the
// report what it counts.
func run(ctx context.Context, set *dataset.Set, o *Options, after *position, s sink, report *Report) error {
	ctx, cancel := context.WithCancel(ctx)
	p := newPool()
	stop := context.AfterFunc(ctx, p.close)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		p.close()
		wg.Wait()
		stop()
	}()
	order, work := make(chan *task, maxTasks), make(chan *task, maxTasks)
	wg.Go(func() {
		defer close(order)
		defer close(work)
		n := 0
		plan(set, o, after, func(t *task) bool {
			t.number = n
			n++
			// There is room for all blocks that the pool has.
			t.out = make(chan *block, maxBlocks+headBlocks)
			for _, c := range []chan *task{order, work} {
				select {
				case c <- t:
				case <-ctx.Done():
					return false
				}
			}
			return true
		})
	})
	for range o.Workers {
		wg.Go(func() {
			e := &encoder{o: o}
			for t := range work {
				if !e.task(t, p) {
					return
				}
			}
		})
	}
	progress := Progress{}
	for _, sh := range set.Shards() {
		if o.Filter.MatchShard(sh) {
			progress.TotalBytes += sh.Size
		}
	}
	if after != nil {
		progress.Before = weightBefore(set, o, after)
		progress.Bytes = progress.Before
	}
	progress.Points = report.Points
	points := 0 // of the current series, before the current block
	for {
		var t *task
		select {
		case t = <-order:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if t == nil {
			return nil
		}
		p.next(t.number)
		progress.Before += t.done
		progress.Bytes += t.done
		for last := false; !last; {
			var b *block
			select {
			case b = <-t.out:
			case <-ctx.Done():
				return ctx.Err()
			}
			last = b.last
			report.add(&b.report)
			from := -points
			for _, n := range b.series {
				if n > from {
					report.Series++
				}
				from = n
			}
			points = len(b.ends) - from
			err := b.err
			if err == nil {
				err = s.write(ctx, b)
			}
			progress.Points += int64(len(b.ends))
			progress.Bytes += b.weight
			p.put(b)
			if err != nil {
				return err
			}
			if o.Progress != nil {
				o.Progress(progress)
			}
		}
	}
}

// weightBefore returns the bytes of the shards of policies before a position.
func weightBefore(set *dataset.Set, o *Options, after *position) int64 {
	var sum int64
	for p := range set.Policies(o.Filter) {
		if p.Compare(after.Database, after.Policy) < 0 {
			for _, sh := range p.Shards {
				sum += sh.Size
			}
		}
	}
	return sum
}

// plan yields the tasks in their order.
func plan(set *dataset.Set, o *Options, after *position, yield func(*task) bool) {
	var done int64 // weight of series that an earlier run wrote
	for policy := range set.Policies(o.Filter) {
		cmp := 1
		if after != nil {
			cmp = policy.Compare(after.Database, after.Policy)
		}
		if cmp < 0 {
			continue
		}
		// Two passes, so that the series are never all in memory.
		count := map[*dataset.Shard]int64{}
		for s, err := range policy.Series(o.Filter) {
			if err == nil {
				for sh := range s.InShards() {
					count[sh]++
				}
			}
		}
		t := &task{policy: &policy}
		fresh := cmp > 0
		for s, err := range policy.Series(o.Filter) {
			if err != nil {
				if fresh { // else the run before has counted it
					t.report.Unreadable++
					t.report.fail(err)
				}
				continue
			}
			if !fresh && s.Key <= after.Key {
				done += weigh(s.InShards(), count)
				continue
			}
			fresh = true
			parts := set.Parts(s, o.Filter)
			for j, one := range parts {
				t.parts = append(t.parts, part{&s, one, j == len(parts)-1})
				t.done, done = t.done+done, 0
				t.weight += weigh(slices.Values(one.Shards), count)
				if t.weight >= o.taskWeight || len(t.parts) >= taskParts {
					if !yield(t) {
						return
					}
					t = &task{policy: &policy}
				}
			}
		}
		if len(t.parts) > 0 || t.report.Unreadable > 0 {
			if !yield(t) {
				return
			}
		}
	}
}

// task encodes the points of a task. It returns false if the export ended.
func (e *encoder) task(t *task, p *pool) bool {
	b := p.get(t.number)
	if b == nil {
		return false
	}
	b.policy, b.report = t.policy, t.report
	weight := t.weight
	ship := func(last bool) bool {
		b.last = last
		if last {
			b.weight = weight
		}
		t.out <- b
		// Else who writes it may wait until this worker's time is over, while
		// more blocks are made, and none is in a cache any more.
		runtime.Gosched()
		if last {
			return true
		}
		if b = p.get(t.number); b == nil {
			return false
		}
		b.policy = t.policy
		return true
	}
	for i := range t.parts {
		part := &t.parts[i]
		if i == 0 || t.parts[i-1].last {
			e.begin(part.series)
		}
		for point, err := range part.Points {
			if err != nil {
				b.report.Unreadable++
				b.report.fail(err)
				continue
			}
			n := len(b.data)
			if b.data, err = e.point(b.data, point, &b.report); err != nil {
				b.err = err
				ship(true)
				return false
			}
			if len(b.data) == n {
				continue
			}
			b.report.Points++
			b.ends = append(b.ends, uint32(len(b.data)))
			if len(b.data) >= blockSize && !ship(false) {
				return false
			}
		}
		if part.last {
			b.series = append(b.series, len(b.ends))
		}
	}
	if n := len(t.parts); n > 0 && t.parts[n-1].last {
		b.done, b.key = true, t.parts[n-1].series.Key
	}
	return ship(true)
}
