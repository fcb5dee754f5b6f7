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

// Run does what was planned, once, and reports by part. If it returns an error,
// no target was changed, and nothing is left of the try, unless the error
// matches
//
//   - [ErrResumable], after ctx was cancelled: what was copied so far is kept
//     for the next try;
//   - [ErrPending], if the disk failed amid the renames;
//   - [ErrIncomplete], with [SwapOptions.Partial]: all else is in place.
func (s *Swap) Run(ctx context.Context) ([]Report, error) {
	reports := s.nothing()
	if s.err != nil {
		return reports, s.err
	}
	if s.same {
		for i := range reports {
			r := &reports[i]
			r.Kept, r.Remaining = r.Remaining+s.parts[i].plan.planned.Kept, 0
		}
		return reports, nil
	}
	if err := context.Cause(ctx); err != nil {
		return reports, s.wrap(err)
	}
	o, err := s.begin(ctx)
	if err != nil {
		return reports, s.wrap(err)
	}
	defer o.close()
	partial, err := s.stage(ctx, o, reports)
	if err == nil && partial != nil && o.Discard {
		// The old directories may have what the new ones lack.
		if err = s.keep(o); err != nil {
			err = s.wrap(err)
		}
	}
	if err == nil {
		if err = o.seal(); err != nil {
			err = s.wrap(err)
		}
	}
	switch {
	case err != nil && ctx.Err() != nil && o.commit == nil:
		err = fmt.Errorf("%w: %w", ErrResumable, err)
		return reports, s.wrap(hint.Wrap(err, "run the same command again to go on; to drop what was copied: snapfs restore --recover --target %s", hint.Quote(s.parts[0].Target)))
	case err != nil:
		if uerr := o.undo(); uerr != nil {
			err = errors.Join(err, fmt.Errorf("what was staged cannot be removed: %w", uerr))
		}
		undone := s.nothing()
		for i, r := range reports {
			undone[i].Failed, undone[i].Duration = r.Failed, r.Duration
		}
		return undone, err
	}
	kept, err := o.finish()
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrPending, err)
		return reports, s.wrap(hint.Wrap(err, "snapfs restore --recover --target %s", hint.Quote(s.parts[0].Target)))
	}
	for i, name := range kept {
		reports[i].Aside = name
		reports[i].Discarded = name == "" && o.Discard && o.Parts[i].Aside != ""
	}
	return reports, partial
}

// nothing returns the reports of a run that has done nothing.
func (s *Swap) nothing() []Report {
	reports := make([]Report, len(s.parts))
	for i := range s.parts {
		reports[i] = Report{Target: s.parts[i].Target, Remaining: s.parts[i].plan.planned.Files}
	}
	return reports
}

func (s *Swap) wrap(err error) error { return fmt.Errorf("restore %s: %w", s.parts[0].Target, err) }

// begin makes the directories that hold the targets, and the journals.
func (s *Swap) begin(ctx context.Context) (*operation, error) {
	undone := false
	var targets []string
	for i := range s.parts {
		p := &s.parts[i]
		targets = append(targets, p.target)
		if err := makeParents(p.target, false); err != nil {
			return nil, err
		}
	}
	for _, target := range targets {
		before, err := pending(target)
		if err != nil {
			return nil, err
		}
		if before == nil {
			continue
		}
		switch {
		case before.commit != nil:
			err = hint.Wrap(ErrPending, "snapfs restore --recover --target %s", hint.Quote(target))
		case !slices.Equal(before.targets(), targets) && len(before.Parts) > 1:
			err = before.undo() // it was about others, too
			undone = true
		}
		before.close()
		if err != nil {
			return nil, err
		}
	}
	for i := range s.parts {
		if undone {
			if err := s.plan(ctx, &s.parts[i]); err != nil {
				return nil, err
			}
		}
	}
	o := &operation{step: s.opts.step, plain: s.opts.plain, header: header{Version: journalVersion, Discard: s.opts.DiscardOld}}
	for i := range s.parts {
		p := &s.parts[i]
		h := headerPart{Target: p.target, Empty: p.empty}
		if p.old != nil {
			at, err := openPlace(p.target)
			if err != nil {
				return nil, err
			}
			// What may come into an empty one is not meant to be discarded.
			if h.Aside = s.kept(at); s.opts.DiscardOld && !p.empty {
				h.Aside = at.free(at.old())
			}
			at.close()
		}
		o.Parts = append(o.Parts, h)
	}
	if err := o.begin(); err != nil {
		err = errors.Join(err, o.undo())
		o.close()
		return nil, err
	}
	for i := range s.parts {
		p := &s.parts[i]
		if now, err := o.places[i].ino(o.places[i].stage()); err != nil || now != p.stage {
			o.close()
			return nil, hint.Wrap(ErrBusy, "run it again when the other is done")
		}
	}
	return o, nil
}

// kept returns the name for what is kept of a target.
func (s *Swap) kept(at *place) string {
	when := s.opts.Time
	if when.IsZero() {
		when = time.Now()
	}
	return at.free(at.base + keptInfix + when.UTC().Format(keptTime))
}

// keep has the old directories kept that were to be discarded.
func (s *Swap) keep(o *operation) error {
	o.Discard = false
	for i, at := range o.places {
		if o.Parts[i].Aside != "" {
			o.Parts[i].Aside = s.kept(at)
		}
	}
	return o.note(0)
}

func (p *swapPart) base() string { return filepath.Base(p.target) }

// stage fills the staged trees. The first error says that files could not be
// read, and that this is acceptable.
func (s *Swap) stage(ctx context.Context, o *operation, reports []Report) (partial, err error) {
	var done Progress
	for i := range s.parts {
		r := s.parts[i].plan.planned
		done.TotalFiles += r.Files
		done.TotalBytes += r.Bytes
	}
	for i := range s.parts {
		p, at := &s.parts[i], o.places[i]
		if p.wipe {
			if err := at.root.RemoveAll(at.stage()); err != nil {
				return nil, err
			}
		}
		o.at("stage " + p.target)
		perm := p.Options.dirPerm(0o777)
		if p.old != nil && p.Options.DirMode == 0 {
			perm = p.old.Mode().Perm() | 0o700
		}
		if err := at.root.Mkdir(at.stage(), perm); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		p.plan.within = at.root
		p.plan.opts.Progress = func(now Progress) {
			if s.opts.Progress != nil {
				now.Files += done.Files
				now.Bytes += done.Bytes
				now.TotalFiles, now.TotalBytes = done.TotalFiles, done.TotalBytes
				s.opts.Progress(now)
			}
		}
		reports[i], err = p.plan.Run(ctx)
		if err != nil {
			unread := errors.Is(err, ErrIncomplete) && reports[i].Remaining == 0 && reports[i].onlyUnread()
			if !unread || !s.opts.Partial {
				return nil, err
			}
			partial = errors.Join(partial, err)
		}
		if err := p.dress(at); err != nil {
			return nil, err
		}
		done.Files += reports[i].Files
		done.Bytes += reports[i].Bytes
	}
	return partial, nil
}

// dress gives the staged directory itself what the old one had, for it takes
// its place.
func (p *swapPart) dress(at *place) error {
	f, err := at.root.OpenFile(at.stage(), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if p.old != nil && p.Options.DirMode == 0 {
		if err := f.Chmod(p.old.Mode().Perm()); err != nil {
			return err
		}
	}
	if st, ok := oldStat(p.old); ok && p.Options.Owner == nil {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	if p.Options.NoSync {
		return nil
	}
	if err := syncFolder(f); err != nil {
		return err
	}
	return syncFolder(at.dir)
}

func oldStat(old fs.FileInfo) (*syscall.Stat_t, bool) {
	if old == nil {
		return nil, false
	}
	st, ok := old.Sys().(*syscall.Stat_t)
	return st, ok
}
