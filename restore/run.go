package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/snapfs/snapfs/internal/hint"
)

// runner carries out a plan.
type runner struct {
	*Plan
	ctx     context.Context // ends by the caller, or by stop
	stop    context.CancelCauseFunc
	root    *os.Root
	noRange atomic.Bool // copy_file_range does not work between these two
	bufs    sync.Pool
	made    []error // for each directory, why it is not there
	atOnce  bool    // small files and directories are synced at the end, with all of their file system

	mu     sync.Mutex
	report Report
	pr     Progress
}

// Run does what the plan says, once. Cancelling ctx stops it soon after the
// read or write under way; the error then wraps the cause.
//
// If the plan cannot go ahead, nothing is written and the error is that of
// [Plan.Err], or [ErrBusy]. If some files could not be restored, the report
// lists them and the error matches [ErrIncomplete] and, if that ended the
// restore, its cause. In any case a file under its final name is whole, and
// the temporary files are gone.
func (p *Plan) Run(ctx context.Context) (Report, error) {
	start := time.Now()
	planned := p.Report()
	report := Report{
		Target: p.name, Kept: planned.Kept, Conflicts: planned.Conflicts, Remaining: planned.Files,
		Skipped: planned.Skipped, Failed: planned.Failed,
	}
	if p.err != nil {
		return report, p.err
	}
	if err := context.Cause(ctx); err != nil {
		return report, fmt.Errorf("restore %s: %w", p.name, err)
	}
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &runner{
		Plan: p, ctx: inner, stop: stop, report: report,
		bufs: sync.Pool{New: func() any { return new([bufSize]byte) }},
		made: make([]error, len(p.dirs)),
		pr:   Progress{Phase: PhaseCopy, TotalFiles: planned.Files, TotalBytes: planned.Bytes},
	}
	err := r.open()
	if err == nil {
		err = r.run(ctx)
		r.root.Close()
	}
	report = r.report
	report.Duration = time.Since(start)
	sortFailures(report.Failed)
	slices.Sort(report.Outside) // workers finish in any order
	switch stopped := context.Cause(inner); {
	case err != nil:
		return report, fmt.Errorf("restore %s: %w", p.name, err)
	case stopped != nil:
		return report, incomplete(&report, stopped, p.opts.staged)
	case len(report.Failed) > 0:
		return report, incomplete(&report, nil, p.opts.staged)
	}
	return report, nil
}

// open makes the target if it is missing, and opens and locks it.
func (r *runner) open() error {
	if r.within != nil {
		var err error
		r.root, err = r.within.OpenRoot(filepath.Base(r.dst))
		return err
	}
	if !r.dirs[0].exists {
		if err := makeParents(r.dst, r.opts.NoSync); err != nil {
			return err
		}
		err := os.Mkdir(r.dst, r.opts.dirPerm(0o777))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err == nil && r.opts.DirMode != 0 {
			if err := os.Chmod(r.dst, r.opts.dirPerm(0)); err != nil {
				return err
			}
		}
		if err := syncParent(r.dst, r.opts.NoSync); err != nil {
			return err
		}
	}
	var err error
	r.root, err = os.OpenRoot(r.dst)
	return err
}

// makeParents makes the directories above name, and makes them last.
func makeParents(name string, noSync bool) error {
	name = filepath.Clean(name)
	was := existing(name)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	for up := filepath.Dir(name); up != was && up != filepath.Dir(up); up = filepath.Dir(up) {
		if err := syncParent(up, noSync); err != nil {
			return err
		}
	}
	return nil
}

// syncParent makes the name of a file last.
func syncParent(name string, noSync bool) error {
	if noSync {
		return nil
	}
	d, err := os.Open(filepath.Dir(filepath.Clean(name)))
	if err != nil {
		return nil // it may be written to, but not read
	}
	defer d.Close()
	return syncFolder(d)
}

// run copies everything, and returns an error if the restore was cancelled by
// ctx, the context of the caller, or could not begin.
func (r *runner) run(ctx context.Context) error {
	top, err := r.root.Open(".")
	if err != nil {
		return err
	}
	defer top.Close()
	if err := lock(top); err != nil {
		return hint.Wrap(err, "wait until it is done, or choose another target")
	}
	for _, s := range r.stale {
		if r.dirs[s.dir].needed {
			name := r.dirs[s.dir].join(s.name)
			if !r.opts.staged {
				// It is only litter: if it stays, it harms nothing.
				_ = r.root.Remove(name)
			} else if err := r.root.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	r.atOnce = r.opts.staged && r.syncs() && syncsAtOnce(top)
	r.copyAll()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return r.finish(ctx, top)
}

// syncs reports whether what is written must get to the disk.
func (r *runner) syncs() bool { return !r.opts.NoSync || r.opts.Verify }

// copyAll makes the directories in order and has workers write the files.
func (r *runner) copyAll() {
	work, done := r.workers(r.write)
	defer done()
	var d *folder
	at := int32(-1) // which directory d is
	for i := range r.entries {
		if r.ctx.Err() != nil {
			break
		}
		e := &r.entries[i]
		switch {
		case e.action == ActionMkdir && r.dirs[e.sub].needed:
			r.mkdir(e)
		case e.writes():
			if err := r.made[e.parent]; err != nil {
				r.failed(e, err)
				continue
			}
			if d == nil || at != e.parent {
				d.release()
				at = e.parent
				var err error
				if d, err = openFolder(r.root, r.dirs[at].path); err != nil {
					r.made[at] = err
					r.failed(e, targetError{err})
					continue
				}
			}
			work(e, d)
		}
	}
	d.release()
}

// workers starts what does something with files and the open directories that
// they are in. done waits until all is done.
func (r *runner) workers(do func(*entry, *folder)) (work func(*entry, *folder), done func()) {
	n := r.opts.Workers
	if n <= 0 {
		n = defaultWorkers
	}
	// Small files go in batches: to hand over one costs as much as to write it.
	const batch = 32
	type job struct {
		list []*entry
		d    *folder
	}
	jobs := make(chan job, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for j := range jobs {
				for _, e := range j.list {
					if r.ctx.Err() == nil {
						do(e, j.d)
					}
				}
				j.d.release()
			}
		})
	}
	var next job
	var size int64
	flush := func() {
		if next.d != nil {
			jobs <- next
			next, size = job{}, 0
		}
	}
	work = func(e *entry, d *folder) {
		if d != next.d || len(next.list) == batch || size+e.size > bufSize {
			flush()
			d.refs.Add(1)
			next.d = d
		}
		next.list = append(next.list, e)
		size += e.size
	}
	return work, func() {
		flush()
		close(jobs)
		wg.Wait()
	}
}

func (r *runner) mkdir(e *entry) {
	name := r.path(e)
	err := r.made[e.parent]
	if err == nil {
		err = r.root.Mkdir(name, r.opts.dirPerm(e.mode))
		switch {
		case errors.Is(err, fs.ErrExist):
			var st fs.FileInfo
			if st, err = r.root.Lstat(name); err == nil && !st.IsDir() {
				err = &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
			}
		case err == nil:
			r.report.Dirs++
			r.opts.at("mkdir " + name)
			if r.opts.DirMode != 0 {
				err = r.root.Chmod(name, r.opts.dirPerm(e.mode))
			}
			if o := r.opts.Owner; o != nil && err == nil {
				err = r.root.Lchown(name, o.UID, o.GID)
			}
		}
		if err != nil {
			r.fail(name, targetError{err})
		}
	}
	r.made[e.sub] = err
}

// write writes one file or link and takes note of the outcome.
func (r *runner) write(e *entry, d *folder) {
	name := r.path(e)
	var n int64
	var err error
	if e.mode.Type() == fs.ModeSymlink {
		err = d.symlink(e, r.opts.Owner)
	} else {
		n, err = r.file(e, d, name)
	}
	if err != nil {
		if r.ctx.Err() == nil || !errors.Is(err, context.Cause(r.ctx)) {
			r.failed(e, err)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.action == ActionOverwrite {
		r.report.Overwritten++
	} else {
		r.report.Created++
	}
	r.report.Files++
	r.report.Bytes += n
	r.report.Remaining--
	if e.more != nil && e.more.link != "" && leaves(r.dirs[e.parent].path, e.more.link) {
		r.report.Outside = append(r.report.Outside, name)
	}
	r.pr.Files++
	r.tell(name, 0)
}

// failed takes note of a file that could not be written.
func (r *runner) failed(e *entry, err error) {
	r.mu.Lock()
	r.report.Remaining--
	r.mu.Unlock()
	r.fail(r.path(e), err)
}

// fail takes note of an error, and stops everything if it is one that will
// meet every other file too.
func (r *runner) fail(name string, err error) {
	var t targetError
	target := errors.As(err, &t)
	if target {
		err = t.error
	}
	r.mu.Lock()
	r.report.Failed = append(r.report.Failed, Failure{name, err, target})
	r.mu.Unlock()
	if target && full(err) {
		r.stop(err)
	}
}

// tell reports progress; r.mu is held.
func (r *runner) tell(name string, n int64) {
	r.pr.Path = name
	r.pr.Bytes += n
	if r.opts.Progress != nil {
		r.opts.Progress(r.pr)
	}
}

func (r *runner) progress(name string) func(int64) {
	return func(n int64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tell(name, n)
	}
}
