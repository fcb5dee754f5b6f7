package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/snapfs/snapfs/internal/hint"
)

var (
	// ErrPending is returned when an earlier restore of the target was cut off
	// while it swapped directories. [Recover] finishes it.
	ErrPending = errors.New("an interrupted restore is to be finished first")

	// ErrResumable is returned when a restore was cancelled before it changed any
	// target. What was copied is kept, and running it again goes on from there.
	ErrResumable = errors.New("interrupted, the target is as it was")

	// ErrPlace is returned when a target cannot be replaced as a whole because of
	// where it is, such as a mount point. Restoring into it may work.
	ErrPlace = errors.New("cannot be replaced as a whole")
)

// Part is one directory that a [Swap] makes or replaces.
type Part struct {
	Target  string  // need not exist, nor the directory it is in
	Tree    fs.FS   // what it will hold
	Options Options // selection, modes, owner and the like; Overwrite and Progress are not used
}

// SwapOptions says how directories are replaced. With the zero value, only
// those that are missing or empty are.
type SwapOptions struct {
	// Replace allows to replace directories that hold something.
	Replace bool

	// DiscardOld removes what was replaced when all is done and nothing of the
	// trees is missing. Without it, it is kept beside the target as
	// NAME.before-TIME.
	DiscardOld bool

	// Partial puts trees in place although files of them could not be read. They
	// are reported, and the error is [ErrIncomplete].
	Partial bool

	// Time is the TIME of what is kept; the zero time means now.
	Time time.Time

	// Protect lists files and directories that must not lie in a target, nor a
	// target in them: the snapshot itself, for instance.
	Protect []string

	// Progress is called as that of [Options], over all parts.
	Progress func(Progress)

	step  func(string)
	plain bool // as on a file system that cannot exchange two names
}

// Swap replaces directories by trees: all of them or none. The trees are
// staged beside their targets and written to disk; then each is exchanged with
// what is there by renaming. Whenever that is stopped, by kill -9 or a power
// failure, running it again or [Recover] finishes it or undoes it.
type Swap struct {
	opts  SwapOptions
	parts []swapPart
	same  bool // all targets hold what they should already
	err   error
}

type swapPart struct {
	Part
	target string      // resolved
	old    fs.FileInfo // what is there; nil if nothing is
	empty  bool
	plan   *Plan
	stage  uint64 // inode of what an interrupted restore left; 0 if nothing
	wipe   bool   // that is of no use
}

// NewSwap plans to replace the target of each part, and writes nothing. Trees
// are used until Run returns. Errors are those of [NewPlan], and [ErrPlace];
// what forbids to go ahead is told by [Swap.Err].
func NewSwap(ctx context.Context, parts []Part, opts SwapOptions) (*Swap, error) {
	if len(parts) == 0 || len(parts) > maxParts {
		return nil, fmt.Errorf("restore of %d directories: %w", len(parts), fs.ErrInvalid)
	}
	s := &Swap{opts: opts, parts: make([]swapPart, len(parts))}
	for i, p := range parts {
		s.parts[i].Part = p
		if err := s.parts[i].look(); err != nil {
			return nil, fmt.Errorf("restore %s: %w", p.Target, err)
		}
	}
	if err := s.checkPlaces(); err != nil {
		return nil, err
	}
	for i := range s.parts {
		if err := s.plan(ctx, &s.parts[i]); err != nil {
			return nil, err
		}
	}
	s.err = s.check()
	if s.err != nil {
		return s, nil
	}
	var err error
	s.same, err = s.unchanged(ctx)
	return s, err
}

// look finds out what is at the target.
func (p *swapPart) look() error {
	var err error
	if p.target, err = resolve(p.Target); err != nil {
		return err
	}
	st, err := os.Lstat(p.target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !st.IsDir() {
		err := fmt.Errorf("%w: %s is there", ErrConflict, kind(st.Mode().Type()))
		return hint.Wrap(err, "the target must be a directory, or not exist")
	}
	p.old = st
	f, err := os.Open(p.target)
	if err != nil {
		return err
	}
	defer f.Close()
	names, _ := f.Readdirnames(1)
	p.empty = len(names) == 0
	return nil
}

// plan plans to fill the staged tree of a part.
func (s *Swap) plan(ctx context.Context, p *swapPart) error {
	p.stage, p.wipe = 0, false
	opts := p.Options
	opts.Overwrite, opts.staged, opts.step = mirror, true, s.opts.step
	dst := filepath.Join(filepath.Dir(p.target), "."+filepath.Base(p.target)+stageSuffix)
	if st, err := os.Lstat(dst); err == nil {
		p.stage = inode(st)
		sys, ok := st.Sys().(*syscall.Stat_t)
		p.wipe = !st.IsDir() || !ok || int(sys.Uid) != os.Geteuid()
	}
	for {
		name := dst
		if p.wipe {
			name = dst + ".none" // as if nothing were there
		}
		var err error
		if p.plan, err = newPlan(ctx, p.Target, name, p.Tree, opts); err != nil {
			return err
		}
		p.plan.dst = dst
		if p.wipe || !errors.Is(p.plan.Err(), ErrConflict) {
			return nil
		}
		p.wipe = true // what was staged is of another kind
	}
}

// check returns why the swap must not go ahead.
func (s *Swap) check() error {
	var failed []Failure
	for i := range s.parts {
		p := &s.parts[i]
		if p.old != nil && !p.empty && !s.opts.Replace {
			err := fmt.Errorf("restore %s: %w: the directory is not empty", p.Target, ErrConflict)
			return hint.Wrap(err, "choose another target, or --replace it: what is there is kept as %s%s…", filepath.Base(p.target), keptInfix)
		}
		if errors.Is(p.plan.Err(), ErrConflict) {
			return p.plan.Err()
		}
		failed = append(failed, p.plan.planned.Failed...)
	}
	if len(failed) > 0 && !s.opts.Partial {
		var lines []string
		for _, f := range failed[:min(shown, len(failed))] {
			lines = append(lines, f.String())
		}
		return fmt.Errorf("restore %s: %w, nothing was written: %d cannot be read: %s",
			s.parts[0].Target, ErrIncomplete, len(failed), list(lines, len(failed)))
	}
	plans := make([]*Plan, len(s.parts))
	for i := range s.parts {
		plans[i] = s.parts[i].plan
	}
	return checkSpace(plans)
}

// unchanged reports whether all targets hold their trees already.
func (s *Swap) unchanged(ctx context.Context) (bool, error) {
	for i := range s.parts {
		if p := &s.parts[i]; p.old == nil || p.empty {
			return false, nil
		}
	}
	for i := range s.parts {
		p := &s.parts[i]
		opts := p.Options
		opts.Overwrite, opts.probe, opts.Progress = mirror, true, s.opts.Progress
		now, err := newPlan(ctx, p.Target, p.target, p.Tree, opts)
		if err != nil {
			return false, err
		}
		if now.changes() {
			return false, nil
		}
	}
	return true, nil
}

// Err returns why Run would change nothing: an error that matches
// [ErrConflict], [ErrSpace], [ErrIncomplete] or EROFS; nil if it would go ahead.
func (s *Swap) Err() error { return s.err }

// Unchanged reports whether all targets hold exactly their trees already, so
// that Run has nothing to do.
func (s *Swap) Unchanged() bool { return s.same }

// Resumes reports whether an earlier, interrupted restore has left files that
// Run will use.
func (s *Swap) Resumes() bool {
	return slices.ContainsFunc(s.parts, func(p swapPart) bool { return p.stage != 0 && !p.wipe })
}

// Plans returns what is staged, by part. They must not be run.
func (s *Swap) Plans() []*Plan {
	var all []*Plan
	for i := range s.parts {
		all = append(all, s.parts[i].plan)
	}
	return all
}
