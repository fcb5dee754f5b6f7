package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/restore"
	"github.com/snapfs/snapfs/space"
)

type restoreCmd struct {
	Snap       string            `arg:"" optional:"" name:"snap" help:"Path of a snapshot, or the directory it is mounted on, or a copy of such a directory." predictor:"file"`
	Target     string            `required:"" short:"t" placeholder:"DIR" help:"Directory to restore into; made if it is not there." predictor:"dir"`
	Include    []string          `short:"i" sep:"none" placeholder:"GLOB" help:"Restore only what matches. Repeatable. ** crosses directories; a pattern without a slash matches any element."`
	Exclude    []string          `short:"e" sep:"none" placeholder:"GLOB" help:"Leave out what matches. Repeatable; wins over --include."`
	NewerThan  string            `placeholder:"TIME" help:"Leave out files last changed at or before a time: 2015-11-02, 2015-11-02T03:04:05Z, or the name of a point, which stands for its time."`
	Replace    bool              `help:"Replace the target though it holds something. What is there is kept beside it as NAME.before-TIME."`
	DiscardOld bool              `help:"Remove what was replaced, when all is done."`
	Overwrite  restore.Overwrite `default:"never" placeholder:"WHEN" help:"Without --replace, what to do with files that are already there: never, if-changed, if-newer, always. With never, a file in the way stops the restore before anything is written."`
	Damaged    string            `default:"refuse" enum:"refuse,keep,skip,repair" placeholder:"WHAT" help:"What to do with files that are cut off and Bolt files that are not sound: refuse, keep, skip, repair. With refuse, one of them stops the restore before anything is written."`
	Recover    bool              `help:"Only finish or undo a restore to the target that was interrupted."`
	NoSync     bool              `help:"Leave it to the system when the files get to the disk. Faster; after a power failure some may be empty."`
	Jobs       int               `short:"j" placeholder:"N" help:"Files copied at a time (default: 8)."`
	DryRun     bool              `short:"n" help:"Print what would be done, and do nothing."`
	JSON       bool              `name:"json" help:"A JSON report; with --dry-run one object a line for each path."`
	Quiet      bool              `short:"q" help:"No progress and no summary."`
	atFlag
	ghostsFlag
}

func (restoreCmd) Help() string {
	return `A target that is missing or empty, or that --replace gives up, is made as a whole: the files are written into a
directory beside it and synced, and then the two are exchanged. Until then nothing is changed, and an error undoes all
of it. Ctrl-C leaves what was copied for the next try. After a crash the same command, or --recover, finishes what
had begun or undoes it. Into a target that holds something, files are added one by one, as --overwrite says.

Before anything is written, the chain and every Bolt file are checked. A layer or a file that is cut off, or a Bolt
file that is damaged, such as a copy that was torn while the server wrote, stops the restore with exit code 14; snapfs
info and bolt check tell more. With --damaged keep such files are copied byte by byte, with skip they are left out, and
with repair a new file is written with all that can be read, which is all that the backup had if the file is only
torn. Repaired files are made in $TMPDIR first. What cannot be read to its end is left out with a complaint, and
exit code 21, unless skip says to be silent about it.

Examples:
  snapfs restore /tmp/snap --target /tmp/out                  the newest point
  snapfs restore /tmp/snap --at 0 -t /tmp/out -i 'telemetry'  one database, as of the first incremental
  snapfs restore /mnt/snap --target /tmp/out --dry-run        from a mount; only show the plan
  snapfs restore /tmp/snap -t /tmp/out --replace              keep what is there as /tmp/out.before-…
  snapfs restore /tmp/snap -t /tmp/out --damaged repair       sound files out of torn ones
  snapfs restore --recover -t /tmp/out                        after a crash`
}

// job is a restore that is planned.
type job struct {
	plan *restore.Plan
	swap *restore.Swap // nil if files are put into the target one by one
}

func (j *job) err() error {
	if j.swap != nil {
		return j.swap.Err()
	}
	return j.plan.Err()
}

func (j *job) run(ctx context.Context) (restore.Report, error) {
	if j.swap == nil {
		return j.plan.Run(ctx)
	}
	reports, err := j.swap.Run(ctx)
	return reports[0], err
}

func (c *restoreCmd) Run(a *App) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	if c.Recover {
		return c.recover(a, false)
	}
	if !c.DryRun {
		if err := c.recover(a, true); err != nil {
			return err
		}
	}
	src, err := c.source(a)
	if err != nil {
		return err
	}
	defer src.close()
	if err := restore.Apart(c.Target, src.protect); err != nil {
		return err
	}
	bar := a.progress(c.Quiet || c.JSON || c.DryRun)
	var tmp repairs
	defer func() { err = errors.Join(err, tmp.Close()) }()
	job, damaged, err := c.plan(a, src, bar, &tmp)
	if job == nil {
		bar.finish()
		return err
	}
	if c.DryRun {
		bar.finish()
		a.tellDamage(damaged)
		return errors.Join(c.print(a, job.plan), cmp.Or(err, job.err()))
	}
	report := restore.Report{Target: c.Target, Remaining: job.plan.Report().Files}
	if err == nil {
		a.tellDamage(damaged)
		if job.swap != nil && job.swap.Resumes() && job.err() == nil && !c.Quiet {
			fmt.Fprintf(a.Stderr, "snapfs: going on with what an interrupted restore has copied\n")
		}
		report, err = job.run(a.ctx)
	}
	bar.finish()
	if c.JSON {
		jerr := a.printJSON(struct {
			restore.Report
			Damaged []damagedFile `json:"damaged,omitempty"`
		}{report, damaged})
		if jerr != nil {
			return jerr
		}
		return err
	}
	return c.tell(a, job, report, err)
}

// check looks at the flags alone.
func (c *restoreCmd) check() error {
	usage := func(text string) error { return &codeError{errors.New(text), exitUsage} }
	switch {
	case c.Recover && c.Snap != "":
		return usage("--recover needs no snapshot: it reads nothing")
	case c.Recover:
		return nil
	case c.Snap == "":
		return usage("expected \"<snap>\"")
	case c.Replace && c.Overwrite != restore.Never:
		return usage("--replace and --overwrite exclude each other: one replaces the whole directory, the other single files in it")
	case c.DiscardOld && !c.Replace:
		return usage("--discard-old is for --replace")
	case c.Jobs < 0:
		return usage("--jobs must not be negative")
	}
	return nil
}

// recover ends what an interrupted restore of the target has left. With resume,
// what it has copied is left for this one.
func (c *restoreCmd) recover(a *App, resume bool) error {
	r, err := restore.Recover(c.Target, resume)
	switch {
	case err != nil:
		return err
	case c.JSON && !resume:
		if r == nil {
			r = &restore.Recovery{}
		}
		return a.printJSON(r)
	case r == nil && !resume:
		if !c.Quiet {
			fmt.Fprintf(a.Stderr, "%s: no restore was interrupted, nothing to do\n", c.Target)
		}
		return nil
	case r == nil, r.Kept:
		return nil
	}
	for _, t := range r.Targets {
		if r.Finished {
			a.warn("%s: an interrupted restore is finished now: the new directory is in place", t)
		} else {
			a.warn("%s: an interrupted restore is undone: what it had copied is removed, and nothing else had been changed", t)
		}
	}
	for _, name := range r.Aside {
		fmt.Fprintf(a.Stderr, "what was there before is kept as %s\n", name)
	}
	return nil
}

// plan makes the plan, and finds out what is damaged. Repaired files are in tmp.
// With a job, the error says why it must not be carried out.
func (c *restoreCmd) plan(a *App, src *restoreSource, bar *progress, tmp *repairs) (*job, []damagedFile, error) {
	newer, err := c.newer(src)
	if err != nil {
		return nil, nil, err
	}
	skipped := map[string]bool{}
	opts := restore.Options{
		Include: c.Include, Exclude: c.Exclude, NewerThan: newer, Overwrite: c.Overwrite,
		Workers: c.Jobs, NoSync: c.NoSync, Progress: bar.update,
		Filter: func(p string, e fs.DirEntry) bool {
			return p != space.Control && !skipped[p] && src.wants(p, e)
		},
	}
	if err := src.whole(c.Damaged); err != nil {
		return nil, nil, err
	}
	job, err := c.newJob(a.ctx, src, src.tree, opts)
	if err != nil {
		return nil, nil, err
	}
	// What is in the way may be what skip leaves out, or was repaired before.
	if job.err() != nil && c.Damaged != "skip" && c.Damaged != "repair" {
		return job, nil, nil
	}
	var list []damagedFile
	if src.snap != nil && src.snap.Chain() == nil {
		list, err = c.bare(src.snap)
	} else {
		list, err = a.findDamage(src.tree, job.plan, bar.update)
	}
	if err != nil || len(list) == 0 {
		return job, nil, err
	}
	for i := range list {
		list[i].Action = c.Damaged
		if list[i].cut && c.Damaged != "refuse" && c.Damaged != "skip" {
			list[i].Action = "fail" // when it is its turn
		}
		skipped[list[i].Path] = c.Damaged == "skip"
	}
	tree := src.tree
	switch c.Damaged {
	case "refuse":
		return job, list, damageError(c.Target, list)
	case "keep":
		return job, list, nil
	case "repair":
		if tree, err = tmp.repairAll(a, tree, list, bar.update); err != nil {
			return nil, nil, err
		}
	}
	job, err = c.newJob(a.ctx, src, tree, opts)
	return job, list, err
}

// newJob plans to replace the target, or, where that cannot be or is not wanted,
// to put files into it.
func (c *restoreCmd) newJob(ctx context.Context, src *restoreSource, tree fs.FS, opts restore.Options) (*job, error) {
	if c.Replace || !c.holds() {
		swap, err := restore.NewSwap(ctx, []restore.Part{{Target: c.Target, Tree: tree, Options: opts}}, restore.SwapOptions{
			Replace: c.Replace, DiscardOld: c.DiscardOld, Partial: c.Damaged != "refuse", Protect: src.protect, Progress: opts.Progress,
		})
		if err == nil {
			return &job{swap.Plans()[0], swap}, nil
		}
		if c.Replace || !errors.Is(err, restore.ErrPlace) {
			return nil, err
		}
	}
	plan, err := restore.NewPlan(ctx, c.Target, tree, opts)
	if err != nil {
		return nil, err
	}
	return &job{plan: plan}, nil
}

// holds reports whether the target holds something, or is where somebody is,
// so that it had better stay the directory that it is.
func (c *restoreCmd) holds() bool {
	st, err := os.Stat(c.Target)
	if err != nil {
		return false
	}
	if here, err := os.Stat("."); err == nil && os.SameFile(st, here) {
		return true
	}
	f, err := os.Open(c.Target)
	if err != nil {
		return true
	}
	defer f.Close()
	names, _ := f.Readdirnames(1)
	return len(names) > 0
}

// bare is about a Bolt file that is itself the source: what is restored are its
// keys, as they are read.
func (c *restoreCmd) bare(t *space.Tree) ([]damagedFile, error) {
	db, err := t.Bolt(".")
	if err != nil {
		return nil, err
	}
	class := db.Class()
	if class == boltview.ClassA {
		return nil, nil
	}
	if c.Damaged == "skip" || c.Damaged == "repair" {
		err := fmt.Errorf("%s: --damaged %s is for Bolt files in a snapshot, and this is one itself", c.Snap, c.Damaged)
		return nil, &codeError{hint.Wrap(err, "--damaged keep restores the keys that can be read; snapfs bolt repair writes a sound file"), exitUsage}
	}
	return []damagedFile{{Path: c.Snap, Class: class}}, nil
}

// tell prints how a restore went, and returns the error that remains.
func (c *restoreCmd) tell(a *App, job *job, report restore.Report, err error) error {
	var refused *codeError
	if errors.As(err, &refused) {
		return err
	}
	if errors.Is(err, restore.ErrResumable) {
		return err
	}
	for _, f := range report.Failed {
		a.complain(errors.New(f.String()))
	}
	for _, s := range report.Skipped {
		fmt.Fprintf(a.Stderr, "snapfs: skipped %s: %s\n", s.Path, s.Reason)
	}
	undone := job.swap != nil && err != nil && report.Aside == "" && report.Remaining > 0
	if c.Quiet || undone || errors.Is(err, restore.ErrConflict) || errors.Is(err, restore.ErrSpace) {
		return err
	}
	if job.swap != nil && job.swap.Unchanged() {
		fmt.Fprintf(a.Stderr, "%s holds all of it already: %s, nothing to do\n", c.Target, plural(int64(report.Kept), "file"))
		return err
	}
	fmt.Fprintln(a.Stderr, summary(report))
	switch {
	case report.Aside != "":
		fmt.Fprintf(a.Stderr, "what was there before is kept as %s\n", c.asTyped(report.Aside))
	case report.Discarded:
		fmt.Fprintln(a.Stderr, "what was there before is removed")
	}
	return err
}

// asTyped shortens the path of something beside the target to what the user
// would type.
func (c *restoreCmd) asTyped(name string) string {
	if st, err := os.Lstat(c.Target); err == nil && st.IsDir() && !filepath.IsAbs(c.Target) && !slices.Contains([]string{".", ".."}, filepath.Base(c.Target)) {
		return filepath.Join(filepath.Dir(c.Target), filepath.Base(name))
	}
	return name
}
