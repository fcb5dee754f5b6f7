package main

import (
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"
)

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
	ServeSnapshots serveSnapshotsCmd `cmd:"" name:"serve-snapshots" group:"take" help:"Answer requests for snapshots, from a directory or a chain."`

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

// parser returns the parser for a command line, which fills in c.
func (a *App) parser(c *cli, args []string) (*kong.Kong, error) {
	completing := a.Getenv("COMP_LINE") != ""
	if len(args) > 0 && !completing {
		if only, ok := c.only(args[0]); ok {
			return kong.New(&struct{}{}, append(a.options(), only)...)
		}
	}
	parser, err := kong.New(c, a.options()...)
	if err == nil && completing {
		kongcompletion.Register(parser,
			kongcompletion.WithPredictor("file", complete.PredictFiles("*")),
			kongcompletion.WithPredictor("dir", complete.PredictDirs("*")))
	}
	return parser, err
}

// options are those of every parser.
func (a *App) options() []kong.Option {
	return []kong.Option{
		kong.Name("snapfs"),
		kong.Description(description + "\n\n" + exitHelp()),
		kong.Writers(a.Stdout, a.Stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.UsageOnError(),
		groups(),
		kong.Vars{"version": version()},
		kong.Bind(a),
	}
}

// only returns what makes a grammar of a single command. It means the same to a
// command line that begins with the command, and takes a fraction of the time:
// that of all commands takes longer than most of them do.
func (c *cli) only(command string) (kong.Option, bool) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("name")
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		if name == command || slices.Contains(strings.Split(f.Tag.Get("aliases"), ","), command) {
			return kong.DynamicCommand(name, f.Tag.Get("help"), f.Tag.Get("group"), v.Field(i).Addr().Interface(), string(f.Tag)), true
		}
	}
	return nil, false
}
