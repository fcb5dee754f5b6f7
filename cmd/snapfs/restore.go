package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/restore"
	"github.com/snapfs/snapfs/space"
)

type restoreCmd struct {
	Snap       string            `arg:"" optional:"" name:"snap" help:"Path of a snapshot, or the directory it is mounted on, or a copy of such a directory." predictor:"file"`
	Target     string            `short:"t" placeholder:"DIR" help:"Directory to restore into; made if it is not there." predictor:"dir"`
	Include    []string          `short:"i" sep:"none" placeholder:"GLOB" help:"Restore only what matches. Repeatable. ** crosses directories; a pattern without a slash matches any element."`
	Exclude    []string          `short:"e" sep:"none" placeholder:"GLOB" help:"Leave out what matches. Repeatable; wins over --include."`
	NewerThan  string            `placeholder:"TIME" help:"Leave out files last changed at or before a time: 2015-11-02, 2015-11-02T03:04:05Z, or the name of a point, which stands for its time."`
	Replace    bool              `help:"Replace the target, or the directories of a server, though it holds something. What is there is kept beside it as NAME.before-TIME."`
	DiscardOld bool              `help:"Remove what was replaced, when all is done and no file is missing."`
	Overwrite  restore.Overwrite `default:"never" placeholder:"WHEN" help:"Without --replace, what to do with files that are already there: never, if-changed, if-newer, always. With never, a file in the way stops the restore before anything is written."`
	Damaged    string            `default:"refuse" enum:"refuse,keep,skip,repair" placeholder:"WHAT" help:"What to do with files that are cut off and Bolt files that are not sound: refuse, keep, skip, repair. With refuse, one of them stops the restore before anything is written."`
	Compact    bool              `help:"Rewrite each sound Bolt file, without its free pages, and say what that saves."`
	Verify     bool              `help:"Read every file back from the disk and compare its SHA-256."`
	Report     string            `placeholder:"FILE" help:"Write down what was restored, from which layer and offset, with SHA-256, as JSON." type:"path" predictor:"file"`
	Recover    bool              `help:"Only finish or undo a restore to the target that was interrupted."`
	NoSync     bool              `help:"Leave it to the system when the files get to the disk. Faster; after a power failure some may be empty."`
	Jobs       int               `short:"j" placeholder:"N" help:"Files copied at a time (default: 8)."`
	DryRun     bool              `short:"n" help:"Print what would be done, and do nothing."`
	JSON       bool              `name:"json" help:"A JSON report; with --dry-run one object a line for each path."`
	Quiet      bool              `short:"q" help:"No progress and no summary."`
	Meta       string            `default:"keep" enum:"keep,prune" placeholder:"WHAT" help:"What the metadata know in the end: keep leaves them as they are, prune makes them know only what --db, --rp and --shard select."`
	Owner      string            `placeholder:"USER[:GROUP]" help:"Who owns what is written, by name or number."`
	Mode       octal             `placeholder:"MODE" help:"Permission bits of files, octal; 0600 for a server."`
	DirMode    octal             `placeholder:"MODE" help:"Permission bits of directories, octal; 0700 for a server."`
	atFlag
	ghostsFlag
	shardFlags
	serverFlags

	owner *restore.Owner // of --owner
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
torn. Repaired and compacted files are made in $TMPDIR first; the manifest keeps telling the sizes that they had, and
of files that are not restored. What cannot be read to its end is left out with a
complaint, and exit code 21, unless skip says to be silent about it.

With --config, or --meta-dir and --data-dir, the snapshot becomes the directories that an InfluxDB 0.9 server starts
from: shards in one, and in the other a raft store that holds the metadata. (--broker-dir and --data-dir for a release
candidate, 0.9.0-rc16 to rc31.) The server must not run. Start one of the release that wrote the snapshot, or a later
one of 0.9. It has to find the address in the raft store that it takes for its own: up to 0.9.2 that is its host name
resolved, from 0.9.3 on the host name as configured. The snapshot tells which it was; --node-address says otherwise.
A server that knows no leader, or refuses writes with HTTP 500, has found the wrong one.

Examples:
  snapfs restore /tmp/snap --target /tmp/out                  the newest point
  snapfs restore /tmp/snap --at 0 -t /tmp/out -i 'telemetry'  one database, as of the first incremental
  snapfs restore /mnt/snap --target /tmp/out --dry-run        from a mount; only show the plan
  snapfs restore /tmp/snap -t /tmp/out --replace              keep what is there as /tmp/out.before-…
  snapfs restore /tmp/snap -t /tmp/out --damaged repair       sound files out of torn ones
  snapfs restore --recover -t /tmp/out                        after a crash
  snapfs restore /tmp/snap --config /etc/influxdb/influxdb.conf --owner influxdb
                                                              what the old server starts from`
}

// aim is a directory that is restored.
type aim struct {
	dir  string
	tree fs.FS
	keep func(p string, e fs.DirEntry) bool // which paths of tree; nil for all
	made bool                               // the tree is made here: it is whole, and is taken whole
}

// job is a restore that is planned: of one directory, or of several as one.
type job struct {
	aims      []aim
	plans     []*restore.Plan
	swap      *restore.Swap // nil if files are put into the target one by one
	damaged   []damagedFile
	compacted []compactedFile
}

func (j *job) err() error {
	if j.swap != nil {
		return j.swap.Err()
	}
	return j.plans[0].Err()
}

func (j *job) run(ctx context.Context) ([]restore.Report, error) {
	if j.swap == nil {
		r, err := j.plans[0].Run(ctx)
		return []restore.Report{r}, err
	}
	return j.swap.Run(ctx)
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
	var tmp repairs
	defer func() { err = errors.Join(err, tmp.Close()) }()
	aims, addr, err := c.aims(a, src, &tmp)
	if err != nil {
		return err
	}
	for _, at := range aims {
		if err := restore.Apart(at.dir, src.protect); err != nil {
			return err
		}
	}
	var out *reportFile
	if c.Report != "" && !c.DryRun {
		if out, err = c.createReport(src, aims); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, out.close()) }()
	}
	bar := a.progress(c.Quiet || c.JSON || c.DryRun)
	job, err := c.plan(a, src, slices.Clone(aims), bar, &tmp)
	if job == nil {
		bar.finish()
		return err
	}
	if c.DryRun {
		bar.finish()
		a.tellDamage(job.damaged)
		return errors.Join(c.print(a, job), cmp.Or(err, job.err()))
	}
	var reports []restore.Report
	for i, p := range job.plans {
		reports = append(reports, restore.Report{Target: aims[i].dir, Remaining: p.Report().Files})
	}
	if err == nil {
		a.tellDamage(job.damaged)
		if job.swap != nil && job.swap.Resumes() && job.err() == nil && !c.Quiet {
			fmt.Fprintf(a.Stderr, "snapfs: going on with what an interrupted restore has copied\n")
		}
		reports, err = job.run(a.ctx)
	}
	bar.finish()
	if out != nil && (err == nil || errors.Is(err, restore.ErrIncomplete) && reports[0].Files+reports[0].Kept > 0) {
		if werr := out.write(src, aims, job, reports, c.Verify); werr != nil {
			return errors.Join(err, werr)
		}
	}
	if c.JSON {
		return cmp.Or(c.printReports(a, job, reports, addr), err)
	}
	return c.tell(a, job, reports, addr, err)
}

// check looks at the flags alone.
func (c *restoreCmd) check() error {
	usage := func(text string) error { return usageError(errors.New(text)) }
	switch {
	case c.Target == "" && !c.server():
		return usage("missing flags: --target=DIR, or --config=FILE")
	case c.Target != "" && c.server():
		return usage("--target is for the files of a snapshot, --config and the directories of a server for a server: one or the other")
	case c.Recover && c.Snap != "":
		return usage("--recover needs no snapshot: it reads nothing")
	case c.Recover:
		return nil
	case c.Snap == "":
		return usage("expected \"<snap>\"")
	case c.Replace && c.Overwrite != restore.Never:
		return usage("--replace and --overwrite exclude each other: one replaces the whole directory, the other single files in it")
	case c.server() && c.Overwrite != restore.Never:
		return usageError(hint.Wrap(errors.New("--overwrite: the files of two servers do not mix"), "--replace puts new directories in the place of the old ones"))
	case c.DiscardOld && !c.Replace:
		return usage("--discard-old is for --replace")
	case c.Jobs < 0:
		return usage("--jobs must not be negative")
	case c.Meta == "prune" && c.all():
		return usage("--meta prune: nothing is selected by --db, --rp or --shard")
	}
	if _, err := c.filter(); err != nil {
		return err
	}
	var err error
	if c.owner, err = parseOwner(c.Owner); err != nil {
		return err
	}
	return mayGive(c.owner)
}

// recover ends what an interrupted restore of the target has left. With resume,
// what it has copied is left for this one.
func (c *restoreCmd) recover(a *App, resume bool) error {
	dirs, err := c.dirs()
	if err != nil {
		return err
	}
	if c.server() {
		if err := unlocked(a, dirs...); err != nil {
			return err
		}
	}
	var found *restore.Recovery
	for _, dir := range dirs {
		r, err := restore.Recover(dir, resume)
		if err != nil {
			return err
		}
		found = cmp.Or(found, r) // the first is about the others, too
	}
	return c.tellRecovery(a, dirs, found, resume)
}

// options returns what the flags say about writing an aim.
func (c *restoreCmd) options(at aim) restore.Options {
	opts := restore.Options{
		Overwrite: c.Overwrite, Workers: c.Jobs, NoSync: c.NoSync,
		Verify: c.Verify, Hash: c.Report != "",
		FileMode: fs.FileMode(c.Mode), DirMode: fs.FileMode(c.DirMode), Owner: c.owner,
	}
	if !at.made {
		opts.Include, opts.Exclude = c.Include, c.Exclude
	}
	return opts
}

// plan makes the plan, and finds out what is damaged in the first of the aims,
// which is the only one that a snapshot is in. Repaired files are in tmp. With a
// job, the error says why it must not be carried out.
func (c *restoreCmd) plan(a *App, src *restoreSource, aims []aim, bar *progress, tmp *repairs) (*job, error) {
	newer, err := c.newer(src)
	if err != nil {
		return nil, err
	}
	skipped := map[string]bool{}
	var opts []restore.Options
	for _, at := range aims {
		o := c.options(at)
		o.Progress = bar.update
		if !at.made {
			o.NewerThan = newer
			o.Filter = func(p string, e fs.DirEntry) bool { return !skipped[p] && (at.keep == nil || at.keep(p, e)) }
		}
		opts = append(opts, o)
	}
	if err := src.whole(c.Damaged); err != nil {
		return nil, err
	}
	job, err := c.newJob(a.ctx, src, aims, opts)
	if err != nil {
		return nil, err
	}
	if empty(job.plans[0]) && len(c.Include) > 0 && newer.IsZero() {
		return nil, usageError(hint.Wrap(errors.New("--include and --exclude select nothing"), "snapfs ls -R tells what there is"))
	}
	// What is in the way may be what skip leaves out, or was rewritten before.
	if job.err() != nil && c.Damaged != "skip" && c.Damaged != "repair" && !c.Compact {
		return job, nil
	}
	var list []damagedFile
	if src.snap != nil && src.snap.Chain() == nil {
		list, err = c.bare(src.snap)
	} else {
		list, err = a.findDamage(aims[0].tree, job.plans[0], bar.update)
	}
	if err != nil {
		return job, err
	}
	for i := range list {
		list[i].Action = c.Damaged
		if list[i].cut && c.Damaged != "refuse" && c.Damaged != "skip" {
			list[i].Action = "fail" // when it is its turn
		}
		skipped[list[i].Path] = c.Damaged == "skip"
	}
	job.damaged = list
	if len(list) > 0 && c.Damaged == "refuse" {
		return job, damageError(aims[0].dir, list)
	}
	again := len(list) > 0 && c.Damaged == "skip"
	if len(list) > 0 && c.Damaged == "repair" {
		again = true
		if aims[0].tree, err = tmp.repairAll(a, aims[0].tree, list, bar.update); err != nil {
			return nil, err
		}
	}
	var compacted []compactedFile
	if c.Compact {
		if aims[0].tree, compacted, err = tmp.compactAll(a, aims[0].tree, job.plans[0], list, bar.update); err != nil {
			return nil, err
		}
	}
	if !again && len(compacted) == 0 {
		return job, nil
	}
	if job, err = c.newJob(a.ctx, src, aims, opts); err == nil {
		job.damaged, job.compacted = list, compacted
	}
	return job, err
}

// empty reports whether a plan is about no file and no directory at all.
func empty(p *restore.Plan) bool {
	for range p.Steps() {
		return false
	}
	return true
}

// newJob plans to replace the targets, or, where that cannot be or is not wanted,
// to put files into the one that there is.
func (c *restoreCmd) newJob(ctx context.Context, src *restoreSource, aims []aim, opts []restore.Options) (*job, error) {
	if c.Replace || c.server() || !c.holds() {
		var parts []restore.Part
		for i, at := range aims {
			parts = append(parts, restore.Part{Target: at.dir, Tree: at.tree, Options: opts[i]})
		}
		swap, err := restore.NewSwap(ctx, parts, restore.SwapOptions{
			Replace: c.Replace, DiscardOld: c.DiscardOld, Partial: c.Damaged != "refuse", Protect: src.protect, Progress: opts[0].Progress,
		})
		if err == nil {
			return &job{aims: aims, plans: swap.Plans(), swap: swap}, nil
		}
		if c.Replace || c.server() || !errors.Is(err, restore.ErrPlace) {
			return nil, err
		}
	}
	plan, err := restore.NewPlan(ctx, aims[0].dir, aims[0].tree, opts[0])
	if err != nil {
		return nil, err
	}
	return &job{aims: aims, plans: []*restore.Plan{plan}}, nil
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
