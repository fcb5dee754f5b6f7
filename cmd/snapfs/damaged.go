package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/repair"
	"github.com/snapfs/snapfs/restore"
)

// damagedFile is a file that is cut off or a Bolt file that is not sound, and
// what restore does with it.
type damagedFile struct {
	Path    string         `json:"path"`
	Class   boltview.Class `json:"class,omitempty"`   // none if it cannot be opened
	Problem string         `json:"problem,omitempty"` // why not
	Action  string         `json:"action"`            // refuse, keep, skip, repair, fail
	Report  *repair.Report `json:"repaired,omitempty"`

	cut bool // it cannot be read to its end
}

// String returns the path and the class.
func (d damagedFile) String() string {
	if d.Problem != "" {
		return fmt.Sprintf("%s (%s)", nameOf(d.Path), d.Problem)
	}
	return fmt.Sprintf("%s (class %s)", nameOf(d.Path), string(d.Class))
}

// watched is a source that ends with a context, and remembers whether it could
// be read.
type watched struct {
	ctx context.Context
	r   io.ReaderAt
	err error
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	err := w.ctx.Err()
	n := 0
	if err == nil {
		n, err = w.r.ReadAt(p, off)
	}
	if n < len(p) && w.err == nil {
		w.err = err
	}
	return n, err
}

// withSource opens a file of a tree as a Bolt file, by the tree that has the
// most to be saved, and calls do. It does nothing with other files, nor with
// one that cannot be read, which is not for it to tell.
func withSource(ctx context.Context, src fs.FS, name string, do func(db *boltview.DB, class boltview.Class, err error) error) error {
	f, err := src.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	fi, err := f.Stat()
	r, ok := f.(io.ReaderAt)
	if err != nil || !ok || !fi.Mode().IsRegular() {
		return nil
	}
	w := &watched{ctx: ctx, r: r}
	db, class, err := repair.Source(w, fi.Size())
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case w.err != nil, errors.Is(err, boltview.ErrNotBolt):
		return nil
	}
	return do(db, class, err)
}

// cutOff returns why a file cannot be read to its end; nil if it can, or if it
// does not tell where that is.
func cutOff(src fs.FS, s restore.Step) error {
	if s.Size == 0 {
		return nil
	}
	f, err := src.Open(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, ok := f.(io.ReaderAt)
	if !ok {
		return nil
	}
	if n, err := r.ReadAt(make([]byte, 1), s.Size-1); n == 0 {
		return err
	}
	return nil
}

// findDamage goes through the files of a plan and returns those that are cut
// off, and the Bolt files that are not sound, in the order of the plan.
func (a *App) findDamage(src fs.FS, plan *restore.Plan, progress func(restore.Progress)) ([]damagedFile, error) {
	var steps []restore.Step
	for s := range plan.Steps() {
		if s.Mode.IsRegular() && s.Action != restore.ActionFail {
			steps = append(steps, s)
		}
	}
	found := make([]*damagedFile, len(steps))
	err := checkSteps(a.ctx, steps, progress, func(ctx context.Context, i int) error {
		s := steps[i]
		if err := cutOff(src, s); err != nil {
			found[i] = &damagedFile{Path: s.Path, Problem: causeOf(err), cut: true}
			return ctx.Err()
		}
		return withSource(ctx, src, s.Path, func(_ *boltview.DB, class boltview.Class, err error) error {
			switch {
			case err != nil:
				found[i] = &damagedFile{Path: s.Path, Problem: err.Error()}
			case class != boltview.ClassA:
				found[i] = &damagedFile{Path: s.Path, Class: class}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	var list []damagedFile
	for _, d := range found {
		if d != nil {
			list = append(list, *d)
		}
	}
	return list, nil
}

// checkSteps calls do with the number of each step, several at a time, until one
// fails. After each it tells how far it is.
func checkSteps(ctx context.Context, steps []restore.Step, progress func(restore.Progress), do func(ctx context.Context, i int) error) error {
	p := restore.Progress{Phase: restore.PhaseCheck, TotalFiles: len(steps), TotalBytes: totalSize(steps)}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	// Small files go in batches: to hand over one costs as much as to check it.
	const most, large = 64, 1 << 20
	for lo, hi := 0, 0; lo < len(steps); lo = hi {
		for size := int64(0); hi < len(steps) && hi-lo < most && (hi == lo || size+steps[hi].Size <= large); hi++ {
			size += steps[hi].Size
		}
		g.Go(func() error {
			for i := lo; i < hi; i++ {
				err := do(ctx, i)
				mu.Lock()
				p.Path = steps[i].Path
				p.Files++
				p.Bytes += steps[i].Size
				progress(p)
				mu.Unlock()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// totalSize returns the bytes of the files of some steps.
func totalSize(steps []restore.Step) (n int64) {
	for _, s := range steps {
		n += s.Size
	}
	return n
}

// damageError is the error of a restore that damage keeps from beginning.
func damageError(target string, list []damagedFile) error {
	const shown = 3
	var first []string
	for _, d := range list[:min(shown, len(list))] {
		first = append(first, d.String())
	}
	text := strings.Join(first, ", ")
	if more := len(list) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	what := "Bolt file"
	if slices.ContainsFunc(list, func(d damagedFile) bool { return d.cut }) {
		what = "file"
	}
	err := fmt.Errorf("restore %s: %s damaged, nothing was written: %s", target, plural(int64(len(list)), what), text)
	return &codeError{hint.Wrap(err, "--damaged keep copies them as they are, skip leaves them out, repair writes sound files with all that can be read"), exitDamage}
}

// repairs are repaired and compacted files, in a temporary directory.
type repairs struct{ dir string }

// Close removes them.
func (r *repairs) Close() error {
	if r.dir == "" {
		return nil
	}
	return os.RemoveAll(r.dir)
}

// temp makes the directory, once.
func (r *repairs) temp() (err error) {
	if r.dir == "" {
		if r.dir, err = os.MkdirTemp("", "snapfs-repair-"); err != nil {
			err = hint.Wrap(err, "set TMPDIR to a directory that is there and has room")
		}
	}
	return err
}

// file writes a file with a name that is no number, which lasts until r is
// closed.
func (r *repairs) file(name string, data []byte) (string, error) {
	if err := r.temp(); err != nil {
		return "", err
	}
	name = filepath.Join(r.dir, name)
	return name, os.WriteFile(name, data, 0o600)
}

// repairAll repairs the files of list, notes what came of it in there, and
// returns src with the repaired files in it, which last until r is closed.
func (r *repairs) repairAll(a *App, src fs.FS, list []damagedFile, progress func(restore.Progress)) (fs.FS, error) {
	if err := r.temp(); err != nil {
		return nil, err
	}
	files := map[string]string{}
	for i, d := range list {
		if !d.cut {
			files[d.Path] = filepath.Join(r.dir, fmt.Sprint(i))
		}
	}
	var mu sync.Mutex
	p := restore.Progress{Phase: restore.PhaseCheck, TotalFiles: len(files)}
	g, ctx := errgroup.WithContext(a.ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range list {
		d := &list[i]
		if d.cut {
			continue
		}
		g.Go(func() error {
			err := withSource(ctx, src, d.Path, func(db *boltview.DB, _ boltview.Class, err error) error {
				if err == nil {
					d.Report = new(repair.Report)
					*d.Report, err = repair.Bolt(ctx, files[d.Path], db, repair.Options{Mode: 0o600, NoSync: true})
				}
				return err
			})
			if err == nil && d.Report == nil {
				err = errors.New("it cannot be read any more")
			}
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				err = fmt.Errorf("%s: cannot be repaired, nothing was written: %w", nameOf(d.Path), err)
				return hint.Wrap(err, "--damaged keep or skip, or leave it out: --exclude")
			}
			mu.Lock()
			defer mu.Unlock()
			p.Path = d.Path
			p.Files++
			p.Bytes += d.Report.Size
			p.TotalBytes = max(p.TotalBytes, p.Bytes)
			progress(p)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return repair.Overlay(src, files)
}

// causeOf returns the text of an error that is shown behind its path.
func causeOf(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

// tellDamage says what was done with damaged files.
func (a *App) tellDamage(list []damagedFile) {
	for _, d := range list {
		switch {
		case d.Action == "keep":
			a.warn("%s: copied as it is", d)
		case d.Action == "skip":
			a.warn("%s: left out", d)
		case d.Report != nil:
			text := fmt.Sprintf("%s: repaired, %s in %s", d, plural(d.Report.Keys, "value"), plural(d.Report.Buckets, "bucket"))
			if d.Report.Losses > 0 {
				text += fmt.Sprintf("; %s lost: %s", plural(d.Report.Losses, "part"), strings.Join(d.Report.Lost[:min(3, len(d.Report.Lost))], "; "))
			}
			a.warn("%s", text)
		}
	}
}
