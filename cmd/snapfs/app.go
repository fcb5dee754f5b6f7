package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"
	"golang.org/x/term"

	"github.com/snapfs/snapfs/internal/hint"
)

// App is the program with everything that it reads from and writes to.
type App struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string

	ctx   context.Context
	model *kong.Application
	told  bool // whether a waiting parent knows how a mount went
}

const description = `Mount, browse and restore InfluxDB 0.9 snapshots.

A snapshot is a chain of tar files as "influxd backup" wrote them: snap, snap.0, snap.1, … Name the first; the
others are found. Any other tar and any Bolt file work as well. Nothing is ever written to them, and only backup
adds to a chain.`

// cli is the command line, in the order in which help lists it.
type cli struct {
	Info   infoCmd   `cmd:"" group:"look" help:"Tell what a snapshot is and holds."`
	Points pointsCmd `cmd:"" group:"look" help:"List the points in time of a chain."`
	Ls     lsCmd     `cmd:"" group:"look" help:"List files."`
	Tree   treeCmd   `cmd:"" group:"look" help:"List files as a tree."`
	Find   findCmd   `cmd:"" group:"look" help:"Find files by name, content, time and size."`
	Cat    catCmd    `cmd:"" group:"look" help:"Write files to standard output."`
	Stat   statCmd   `cmd:"" group:"look" help:"Tell what is known of a file, and how to extract it with dd."`
	Du     duCmd     `cmd:"" group:"look" help:"Tell what takes how much."`
	Browse browseCmd `cmd:"" group:"look" help:"Browse a snapshot on the whole screen."`
	Mount  mountCmd  `cmd:"" group:"look" help:"Mount a snapshot as a directory."`
	Umount umountCmd `cmd:"" group:"look" aliases:"unmount" help:"Take a mount down."`
	Bolt   boltCmd   `cmd:"" group:"look" help:"Look into Bolt files in place."`

	Databases    databasesCmd    `cmd:"" group:"data" help:"List databases and retention policies."`
	Measurements measurementsCmd `cmd:"" group:"data" help:"List measurements."`
	Series       seriesCmd       `cmd:"" group:"data" help:"List series."`
	Fields       fieldsCmd       `cmd:"" group:"data" help:"List fields and their types."`
	Tags         tagsCmd         `cmd:"" group:"data" help:"List tags and their values."`
	Plot         plotCmd         `cmd:"" group:"data" help:"Draw a series as a chart."`

	Log  logCmd  `cmd:"" group:"past" help:"Tell the history of a chain, or of a file."`
	Diff diffCmd `cmd:"" group:"past" help:"Tell what differs between two points in time."`
	Why  whyCmd  `cmd:"" group:"past" help:"Tell why a copy of a file is the one that is shown."`

	Doctor doctorCmd `cmd:"" group:"check" help:"Find snapshots, tell what is wrong with them, and what can be had."`
	Verify verifyCmd `cmd:"" group:"check" help:"Check a snapshot, to every page and every point."`
	Seal   sealCmd   `cmd:"" group:"check" help:"Note what the bytes of a snapshot are, to find later which have changed."`

	Restore restoreCmd `cmd:"" group:"out" help:"Copy the files of a snapshot into a directory, or bring a server back."`
	Export  exportCmd  `cmd:"" group:"out" help:"Write points as line protocol, CSV, JSON Lines or Parquet, or send them to a server."`
	Flatten flattenCmd `cmd:"" group:"out" help:"Make one full snapshot of a chain."`
	Prune   pruneCmd   `cmd:"" group:"out" help:"Say which bytes of a chain nothing needs."`

	Backup         backupCmd         `cmd:"" group:"take" help:"Take a backup of a server, or of a directory of Bolt files."`
	ServeSnapshots serveSnapshotsCmd `cmd:"" group:"take" help:"Answer requests for snapshots, from a directory or a chain."`

	Demo       demoCmd                   `cmd:"" group:"more" help:"Show all of it on a small chain made for the purpose."`
	Version    versionCmd                `cmd:"" group:"more" help:"Print the version."`
	Completion kongcompletion.Completion `cmd:"" group:"more" help:"Print the code for tab completion in bash, zsh or fish."`
	Man        manCmd                    `cmd:"" group:"more" help:"Print the manual page."`

	Bench benchCmd `cmd:"" hidden:"" help:"Measure snapfs beside other ways to read an archive."`
}

// groups returns the titles of the groups of commands.
func groups() kong.Option {
	return kong.ExplicitGroups([]kong.Group{
		{Key: "look", Title: "Look at files:"},
		{Key: "data", Title: "Look at data:"},
		{Key: "past", Title: "Compare points in time:"},
		{Key: "check", Title: "Check:"},
		{Key: "out", Title: "Get it out:"},
		{Key: "take", Title: "Take backups:"},
		{Key: "more", Title: "More:"},
	})
}

// exited is what kong's exit becomes, so that only main exits.
type exited int

// Run parses the arguments, runs a command, and returns the exit code. Errors
// have been printed to Stderr by then.
func (a *App) Run(ctx context.Context, args []string) (code int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exited:
			code = int(e)
		default:
			panic(e)
		}
	}()
	a.ctx = ctx
	var c cli
	parser, err := kong.New(&c,
		kong.Name("snapfs"),
		kong.Description(description+"\n\n"+exitHelp()),
		kong.Writers(a.Stdout, a.Stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.UsageOnError(),
		groups(),
		kong.Vars{"version": version()},
		kong.Bind(a),
	)
	if err != nil {
		fmt.Fprintf(a.Stderr, "snapfs: %v\n", err)
		return exitOther
	}
	a.model = parser.Model
	kongcompletion.Register(parser,
		kongcompletion.WithPredictor("file", complete.PredictFiles("*")),
		kongcompletion.WithPredictor("dir", complete.PredictDirs("*")))
	k, err := parser.Parse(oldFlags(args))
	if err != nil {
		return a.usage(err)
	}
	return a.report(a.run(k, &c))
}

// usage prints what is wrong with the arguments.
func (a *App) usage(err error) int {
	fmt.Fprintf(a.Stderr, "snapfs: %v\n", err)
	help := "snapfs --help"
	var p *kong.ParseError
	if errors.As(err, &p) && p.Context != nil {
		if n := p.Context.Selected(); n != nil {
			help = n.FullPath() + " --help"
		}
	}
	fmt.Fprintf(a.Stderr, "hint: %s\n", help)
	return exitUsage
}

// report prints an error with its hint, and returns the exit code for it.
func (a *App) report(err error) int {
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	if code == exitInterrupted {
		fmt.Fprintln(a.Stderr, "snapfs: interrupted")
		if h := hint.Of(err); h != "" {
			fmt.Fprintf(a.Stderr, "hint: %s\n", printable(h))
		}
		return code
	}
	a.complain(err)
	return code
}

// complain prints an error that does not end the program.
func (a *App) complain(err error) {
	var quiet *codeError
	if errors.As(err, &quiet) && quiet.error == nil {
		return
	}
	fmt.Fprintf(a.Stderr, "snapfs: %s\n", printable(err.Error()))
	if h := hint.Of(err); h != "" {
		fmt.Fprintf(a.Stderr, "hint: %s\n", printable(h))
	}
}

// terminal returns the width of a terminal that w is, and whether it is one.
func (a *App) terminal(w io.Writer) (width int, ok bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// printable replaces what could confuse a terminal: file names come from
// archives, and errors quote them.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}
