package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	fusefs "github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/restore"
	"github.com/snapfs/snapfs/space"
)

type restoreCmd struct {
	Snap      string            `arg:"" name:"snap" help:"Path of a snapshot, or the directory it is mounted on." predictor:"file"`
	Target    string            `required:"" short:"t" placeholder:"DIR" help:"Directory to restore into; made if it is not there." predictor:"dir"`
	Include   []string          `short:"i" sep:"none" placeholder:"GLOB" help:"Restore only what matches. Repeatable. ** crosses directories; a pattern without a slash matches any element."`
	Exclude   []string          `short:"e" sep:"none" placeholder:"GLOB" help:"Leave out what matches. Repeatable; wins over --include."`
	Overwrite restore.Overwrite `default:"never" placeholder:"WHEN" help:"What to do with files that are already there: never, if-changed, if-newer, always. With never, a file in the way stops the restore before anything is written."`
	Damaged   string            `default:"refuse" enum:"refuse,keep,skip,repair" placeholder:"WHAT" help:"What to do with Bolt files that are not sound: refuse, keep, skip, repair. With refuse, one of them stops the restore before anything is written."`
	DryRun    bool              `short:"n" help:"Print what would be done, and do nothing."`
	JSON      bool              `name:"json" help:"A JSON report; with --dry-run one object a line for each path."`
	Quiet     bool              `short:"q" help:"No progress and no summary."`
	atFlag
	ghostsFlag

	mounted string // the directory that is restored, if the source is a mount
}

func (restoreCmd) Help() string {
	return `Each file is written beside its place, synced, and then moved there, so that no half a file ever has a
final name. Run it again to finish what was interrupted.

Before anything is written, every Bolt file is checked. One that is damaged, such as a copy that was torn while the
server wrote, stops the restore with exit code 14; snapfs bolt check tells more. With --damaged keep such files are
copied byte by byte, with skip they are left out, and with repair a new file is written with all that can be read,
which is all that the backup had if the file is only torn. Repaired files are made in $TMPDIR first. Files that
cannot be read to their end are not checked: they fail when it is their turn, with exit code 21.

Examples:
  snapfs restore /tmp/snap --target /tmp/out                  the newest point
  snapfs restore /tmp/snap --at 0 -t /tmp/out -i 'telemetry'  one database, as of the first incremental
  snapfs restore /mnt/snap --target /tmp/out --dry-run        from a mount; only show the plan
  snapfs restore /tmp/snap -t /tmp/out --damaged repair       sound files out of torn ones`
}

func (c *restoreCmd) Run(a *App) (err error) {
	src, done, err := c.source()
	if err != nil {
		return err
	}
	defer done()
	bar := a.progress(c.Quiet || c.JSON || c.DryRun)
	var tmp repairs
	defer func() { err = errors.Join(err, tmp.Close()) }()
	plan, damaged, err := c.plan(a, src, bar, &tmp)
	if plan == nil {
		return err
	}
	if c.DryRun {
		bar.finish()
		a.tellDamage(damaged)
		return errors.Join(c.print(a, plan), cmp.Or(err, plan.Err()))
	}
	report := restore.Report{Target: c.Target, Remaining: plan.Report().Files}
	if err == nil {
		a.tellDamage(damaged)
		report, err = plan.Run(a.ctx)
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
	var refused *codeError
	if errors.As(err, &refused) {
		return err
	}
	for _, f := range report.Failed {
		a.complain(errors.New(f.String()))
	}
	for _, s := range report.Skipped {
		fmt.Fprintf(a.Stderr, "snapfs: skipped %s: %s\n", s.Path, s.Reason)
	}
	if !c.Quiet && !errors.Is(err, restore.ErrConflict) && !errors.Is(err, restore.ErrSpace) {
		fmt.Fprintln(a.Stderr, summary(report))
	}
	return err
}

// plan makes the plan, and finds out what is damaged. Repaired files are in tmp.
// With a plan, the error says why it must not be carried out.
func (c *restoreCmd) plan(a *App, src fs.FS, bar *progress, tmp *repairs) (*restore.Plan, []damagedFile, error) {
	skipped := map[string]bool{}
	opts := restore.Options{
		Include: c.Include, Exclude: c.Exclude, Overwrite: c.Overwrite,
		Progress: bar.update,
		Filter: func(p string, e fs.DirEntry) bool {
			return p != space.Control && !skipped[p] && c.wantsMounted(src, p, e)
		},
	}
	plan, err := restore.NewPlan(a.ctx, c.Target, src, opts)
	if err != nil {
		return nil, nil, err
	}
	// What is in the way may be what skip leaves out, or was repaired before.
	if plan.Err() != nil && c.Damaged != "skip" && c.Damaged != "repair" {
		return plan, nil, nil
	}
	var list []damagedFile
	if t, ok := src.(*space.Tree); ok && t.Chain() == nil {
		list, err = c.bare(t)
	} else {
		list, err = a.findDamage(src, plan, bar.update)
	}
	if err != nil || len(list) == 0 {
		return plan, nil, err
	}
	for i := range list {
		list[i].Action = c.Damaged
		skipped[list[i].Path] = c.Damaged == "skip"
	}
	switch c.Damaged {
	case "refuse":
		return plan, list, damageError(c.Target, list)
	case "keep":
		return plan, list, nil
	case "repair":
		if src, err = tmp.repairAll(a, src, list, bar.update); err != nil {
			return nil, nil, err
		}
	}
	plan, err = restore.NewPlan(a.ctx, c.Target, src, opts)
	return plan, list, err
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

// source opens a snapshot, or a directory that one is mounted on.
func (c *restoreCmd) source() (src fs.FS, done func(), err error) {
	st, err := os.Stat(c.Snap)
	if err != nil || !st.IsDir() {
		t, err := snapArg{c.Snap}.open(space.Options{At: c.At, Ghosts: c.Ghosts})
		if err != nil {
			return nil, nil, err
		}
		return t, func() { t.Close() }, nil
	}
	status := filepath.Join(c.Snap, space.Control, "status.json")
	if _, err := os.Stat(status); err != nil {
		return nil, nil, isDirError(c.Snap)
	}
	dir := c.Snap
	if c.At != "" && c.At != chain.Latest {
		if dir, err = mountedPoint(dir, c.At); err != nil {
			return nil, nil, err
		}
	}
	c.mounted = dir
	return os.DirFS(dir), func() {}, nil
}

// wantsMounted applies --ghosts to a file of a mount, which tells by an extended
// attribute whether it is one. A snapshot was opened with what is wanted.
func (c *restoreCmd) wantsMounted(src fs.FS, p string, e fs.DirEntry) bool {
	if _, ok := src.(*space.Tree); ok || c.Ghosts == chain.Show || !e.Type().IsRegular() {
		return true
	}
	size, err := unix.Getxattr(filepath.Join(c.mounted, filepath.FromSlash(p)), fusefs.Prefix+"ghost", nil)
	return (err == nil && size > 0) == (c.Ghosts == chain.Only)
}

// mountedPoint returns the directory of a point within a mount.
func mountedPoint(dir, at string) (string, error) {
	points := filepath.Join(dir, space.Control, "points")
	if !filepath.IsLocal(at) || filepath.Base(at) != at {
		return "", fmt.Errorf("%q: %w", at, chain.ErrNoPoint)
	}
	p := filepath.Join(points, at)
	if _, err := os.Stat(p); err == nil {
		return p, nil
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		t, err = time.Parse(chain.TimeName, at)
	}
	if err != nil {
		return "", hint.Wrap(fmt.Errorf("%q: %w", at, chain.ErrNoPoint), "ls %s", points)
	}
	// The names sort as the times do. Of equal times the later layer is meant,
	// whose name has a suffix.
	times := filepath.Join(dir, space.Control, "times")
	entries, err := os.ReadDir(times)
	if err != nil {
		return "", err
	}
	best := ""
	for _, e := range entries {
		if len(e.Name()) < len(chain.TimeName) {
			continue
		}
		when, err := time.Parse(chain.TimeName, e.Name()[:len(chain.TimeName)])
		if err == nil && !when.After(t) {
			best = e.Name()
		}
	}
	if best == "" {
		return "", hint.Wrap(fmt.Errorf("%q: %w", at, chain.ErrNoPoint), "ls %s", times)
	}
	return filepath.Join(times, best), nil
}

// print writes the plan.
func (c *restoreCmd) print(a *App, plan *restore.Plan) error {
	out := bufio.NewWriter(a.Stdout)
	for s := range plan.Steps() {
		if c.JSON {
			if err := a.printLine(s); err != nil {
				return err
			}
			continue
		}
		reason := ""
		if s.Reason != "" {
			reason = "  (" + s.Reason + ")"
		}
		fmt.Fprintf(out, "%-9s %12s  %s%s\n", s.Action, a.size(s.Size), s.Path, reason)
	}
	return out.Flush()
}

func summary(r restore.Report) string {
	text := fmt.Sprintf("restored %s, %s to %s", plural(int64(r.Files), "file"), plural(r.Bytes, "byte"), r.Target)
	if r.Kept > 0 {
		text += fmt.Sprintf("; %d already there", r.Kept)
	}
	if n := len(r.Failed); n > 0 {
		text += fmt.Sprintf("; %d failed", n)
	}
	return text
}

// progress is a bar on a terminal, and a line now and then elsewhere.
type progress struct {
	app   *App
	width int // of the terminal; 0 if there is none
	quiet bool
	bar   *progressbar.ProgressBar
	phase restore.Phase
	last  time.Time // of the last line
}

// lineEvery is how long it takes until a line says that there is progress.
const lineEvery = 10 * time.Second

func (a *App) progress(quiet bool) *progress {
	width, _ := a.terminal(a.Stderr)
	return &progress{app: a, width: width, quiet: quiet, last: time.Now()}
}

func (p *progress) update(r restore.Progress) {
	text := map[restore.Phase]string{restore.PhaseCheck: "checking", restore.PhaseCopy: "restoring"}[r.Phase]
	switch {
	case p.quiet:
	case p.width == 0:
		if time.Since(p.last) >= lineEvery {
			p.last = time.Now()
			fmt.Fprintf(p.app.Stderr, "%s: %d of %s, %d of %s\n", text, r.Files, plural(int64(r.TotalFiles), "file"), r.Bytes, plural(r.TotalBytes, "byte"))
		}
	default:
		if p.bar == nil || p.phase != r.Phase {
			p.finish()
			p.phase = r.Phase
			p.bar = p.app.byteBar(r.TotalBytes, text, progressbar.OptionShowCount())
		}
		_ = p.bar.Set64(r.Bytes) // a bar that cannot be drawn is no reason to stop
	}
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
