package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fatih/color"

	"github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/sample"
)

type demoCmd struct {
	Keep string `placeholder:"DIR" help:"Make the chain in DIR and leave it there to play with." predictor:"dir"`
}

func (demoCmd) Help() string {
	return `Makes a small chain in a temporary folder (a full snapshot and three incrementals, with real Bolt files),
mounts it, and shows in a few lines what can be done with it. Everything is removed at the end, unless --keep
says where to leave the chain.

Examples:
  snapfs demo
  snapfs demo --keep /tmp       leaves /tmp/snap, which the examples of most commands use`
}

func (c *demoCmd) Run(a *App) (err error) {
	work, err := os.MkdirTemp("", "snapfs-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	dir := filepath.Join(work, "backup")
	if c.Keep != "" {
		dir = c.Keep
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	snap, err := sample.Chain(dir)
	if err != nil {
		return hint.Wrap(err, "give --keep a folder without a chain in it")
	}
	d := &demo{app: a, snap: snap, mnt: filepath.Join(work, "mnt"), out: filepath.Join(work, "restored")}
	if err := d.run(); err != nil {
		return err
	}
	if c.Keep != "" {
		d.say("The chain is in %s. Try: snapfs info %s", dir, snap)
	}
	return nil
}

// demo is one walk through the program.
type demo struct {
	app            *App
	snap, mnt, out string
}

func (d *demo) run() error {
	d.title("A chain of backups: a full snapshot, and three incrementals. What is in it?")
	if err := d.snapfs("info", d.snap); err != nil {
		return err
	}
	err := d.mounted()
	if errors.Is(err, fs.ErrUnavailable) {
		d.say("This machine cannot mount (%s), so the same without:", firstLine(err))
		if h := hint.Of(err); h != "" {
			d.say("To mount as well: %s", h)
		}
		err = d.unmounted()
	}
	if err != nil {
		return err
	}
	d.title("Next")
	d.say("snapfs mount /path/to/snap /mnt/snap    with a chain of your own; snapfs --help for the rest")
	return nil
}

// mounted shows the mount with the programs that everybody knows.
func (d *demo) mounted() error {
	if err := os.Mkdir(d.mnt, 0o755); err != nil {
		return err
	}
	d.title("Mount it: the newest state of every file, merged from all layers, nothing extracted")
	d.prompt("snapfs mount " + d.snap + " " + d.mnt)
	mount := &mountCmd{Snap: d.snap, Dir: d.mnt}
	if err := mount.background(d.app); err != nil {
		return err
	}
	err := d.tour()
	return errors.Join(err, d.snapfs("umount", d.mnt))
}

func (d *demo) tour() error {
	shard := filepath.Join(d.mnt, ".snapfs/bolt/telemetry/default/1")
	for _, step := range []struct {
		title string
		dir   string
		most  int
	}{
		{"", filepath.Join(d.mnt, "telemetry/default"), 10},
		{"Every point in time is there", filepath.Join(d.mnt, ".snapfs/points"), 10},
		{"Shards are Bolt files: look inside, buckets are directories and keys are files", shard, 10},
		{"One bucket a series, one key a point (its time), the value is the content", filepath.Join(shard, "cpu,host=alpha"), 3},
	} {
		if step.title != "" {
			d.title(step.title)
		}
		if err := d.ls(step.dir, step.most); err != nil {
			return err
		}
	}
	return d.restore(d.mnt)
}

// unmounted shows the same with the commands that need no mount.
func (d *demo) unmounted() error {
	for _, args := range [][]string{
		{"ls", "-l", d.snap, "telemetry/default"},
		{"ls", d.snap, ".snapfs/points"},
		{"bolt", "buckets", d.snap, "telemetry/default/1"},
		{"points", d.snap},
	} {
		if err := d.snapfs(args...); err != nil {
			return err
		}
	}
	return d.restore(d.snap)
}

func (d *demo) restore(from string) error {
	d.title("Get files out, here as they were after the first incremental")
	if err := d.snapfs("restore", from, "--at", "0", "--target", d.out, "--include", "telemetry"); err != nil {
		return err
	}
	return d.ls(filepath.Join(d.out, "telemetry/default"), 10)
}

// snapfs runs one command of the program, after showing it.
func (d *demo) snapfs(args ...string) error {
	d.prompt("snapfs " + strings.Join(args, " "))
	sub := &App{Stdin: d.app.Stdin, Stdout: d.app.Stdout, Stderr: d.app.Stderr, Getenv: d.app.Getenv}
	if code := sub.Run(d.app.ctx, args); code != exitOK {
		return &codeError{nil, code}
	}
	return nil
}

// ls lists a directory with what the system says of it, not this program.
func (d *demo) ls(dir string, most int) error {
	d.prompt("ls " + dir)
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for i, name := range names {
		if i == most {
			d.say("… %d more", len(names)-most)
			break
		}
		d.say("%s", name)
	}
	return nil
}

func (d *demo) title(text string) {
	fmt.Fprintf(d.app.Stdout, "\n%s\n", d.app.paint(text, color.Bold, color.FgCyan))
}

func (d *demo) prompt(text string) {
	fmt.Fprintf(d.app.Stdout, "%s %s\n", d.app.paint("$", color.FgGreen), d.app.paint(text, color.Bold))
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.app.Stdout, format+"\n", args...)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// paint colours text on a terminal, unless NO_COLOR is set.
func (a *App) paint(text string, attrs ...color.Attribute) string {
	c := color.New(attrs...)
	if _, tty := a.terminal(a.Stdout); tty && a.Getenv("NO_COLOR") == "" && a.Getenv("TERM") != "dumb" {
		c.EnableColor()
	} else {
		c.DisableColor()
	}
	return c.Sprint(text)
}
