package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/repair"
	"github.com/snapfs/snapfs/restore"
)

// compactedFile is a Bolt file that was rewritten, which made it smaller.
type compactedFile struct {
	Path   string `json:"path"`
	Before int64  `json:"before"` // bytes
	After  int64  `json:"after"`
}

// compactAll rewrites the sound Bolt files of a plan, and returns tree with
// those in it that became smaller, which last until r is closed. The damaged
// ones are left alone: if they were repaired, they were rewritten by that.
func (r *repairs) compactAll(a *App, tree fs.FS, plan *restore.Plan, damaged []damagedFile, progress func(restore.Progress)) (fs.FS, []compactedFile, error) {
	var steps []restore.Step
	for s := range plan.Steps() {
		sound := !slices.ContainsFunc(damaged, func(d damagedFile) bool { return d.Path == s.Path })
		if s.Mode.IsRegular() && s.Size > 0 && s.Action != restore.ActionFail && sound {
			steps = append(steps, s)
		}
	}
	if err := r.temp(); err != nil {
		return nil, nil, err
	}
	if err := roomFor(r.dir, totalSize(steps)); err != nil {
		return nil, nil, err
	}
	made := make([]int64, len(steps)) // sizes of those that are smaller
	name := func(i int) string { return filepath.Join(r.dir, fmt.Sprintf("compact-%d", i)) }
	err := checkSteps(a.ctx, steps, progress, func(ctx context.Context, i int) error {
		s := steps[i]
		return withSource(ctx, tree, s.Path, func(db *boltview.DB, class boltview.Class, err error) error {
			if err != nil || class != boltview.ClassA {
				return nil
			}
			report, err := repair.Bolt(ctx, name(i), db, repair.Options{Mode: 0o600, NoSync: true})
			if err != nil {
				return fmt.Errorf("compact %s: %w", s.Path, err)
			}
			if report.Losses > 0 || report.Size >= s.Size {
				return os.Remove(name(i)) // it would take room, and time to remove at the end
			}
			made[i] = report.Size
			return nil
		})
	})
	if err != nil {
		return nil, nil, err
	}
	files := map[string]string{}
	var list []compactedFile
	for i, s := range steps {
		if made[i] > 0 {
			files[s.Path] = name(i)
			list = append(list, compactedFile{s.Path, s.Size, made[i]})
		}
	}
	if len(files) == 0 {
		return tree, nil, nil
	}
	tree, err = repair.Overlay(tree, files)
	return tree, list, err
}

// roomFor returns an error if a directory has too little room for so many bytes.
func roomFor(dir string, n int64) error {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil || st.Bavail >= uint64(n)/uint64(max(st.Bsize, 1))+1 {
		return nil
	}
	err := fmt.Errorf("compact: %w in %s: up to %d bytes needed, %d free", restore.ErrSpace, filepath.Dir(dir), n, st.Bavail*uint64(st.Bsize))
	return hint.Wrap(err, "set TMPDIR to a directory with more room")
}

// saved says what compacting has saved.
func saved(list []compactedFile) string {
	var before, after int64
	for _, c := range list {
		before += c.Before
		after += c.After
	}
	return fmt.Sprintf("compacted %s: %s to %s bytes, %.0f %% saved",
		plural(int64(len(list)), "Bolt file"), humanize.Comma(before), humanize.Comma(after), 100*float64(before-after)/float64(before))
}
