package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/snapfs/snapfs/backup"
	"github.com/snapfs/snapfs/backup/origin"
	"github.com/snapfs/snapfs/backup/wire"
	"github.com/snapfs/snapfs/internal/hint"
)

type backupCmd struct {
	Path string `arg:"" help:"The full snapshot of the chain; made if it is not there. With --keep a pattern such as backups/%Y-%m-%d/snap." predictor:"file"`

	Host    string        `xor:"source" placeholder:"HOST:PORT" help:"Server to ask, by its cluster port, 127.0.0.1:8088 unless given; of a release candidate its URL, such as http://localhost:8086. -host as for influxd works, too." group:"Source"`
	From    string        `xor:"source" placeholder:"DIR" help:"Directory of Bolt files to take the backup of, without a server." predictor:"dir" group:"Source"`
	Meta    string        `placeholder:"FILE" help:"With --from: the meta file, if it is not in the directory." predictor:"file" group:"Source"`
	Timeout time.Duration `default:"1m" placeholder:"TIME" help:"How long the server may be silent." group:"Source"`

	FillGap         bool `help:"If a number is missing in the chain, take it, as influxd did. Without it, that is an error."`
	RetryTorn       int  `placeholder:"N" help:"If the answer has torn Bolt files, ask again, up to N times, and take the best answer."`
	SkipIfUnchanged bool `help:"Add no layer if nothing has changed."`

	Every time.Duration `placeholder:"TIME" help:"Go on, with a backup each TIME, such as 1h, until interrupted." group:"Schedule"`
	Keep  string        `placeholder:"N" help:"PATH is a pattern: %Y %m %d %H stand for year, month, day, hour (UTC), %G %V for year and week. Each new path is a new chain; the newest N chains are kept and older ones removed. all removes none." group:"Schedule"`

	JSON  bool `name:"json" help:"A JSON report, one object for each backup."`
	Quiet bool `short:"q" help:"No progress and no summary."`

	source  backup.Source
	pattern *backup.Pattern // nil without --keep
	keep    int             // 0 removes none
}

func (backupCmd) Help() string {
	return `The first backup is a full snapshot in PATH. After that the server is asked for what is newer than the chain, and
its answer is added as PATH.0, PATH.1, … The answer is checked while it comes in: that the tar is whole, that it holds
what its manifest lists, and that each Bolt file is sound. It gets its name only then. Whatever goes wrong, the chain
is as before and no number is used up.

Servers of 0.9 tear Bolt files that are written to during a backup. That is told, with exit code 14, but the backup is
kept: snapfs reads such files, and --retry-torn asks again.

--from takes the backup of a directory of Bolt files: the data directory of a server that does not run, or that of any
program that uses Bolt. Each file is locked while it is copied, so that no copy is torn; a program that has a file open
for writing has it locked, and must end first. What is no Bolt file is left out. The metadata of InfluxDB 0.9.0 and
later are not in the data directory; --meta adds them, for example from the last backup (snapfs cat SNAP meta).

A backup is of one server. In a cluster it holds the shards of that server.

--every goes on after a backup that failed, until a signal stops it (SIGINT, SIGTERM). Then the exit code is that of the
last backup that came to an end: 0 if all was well, 14 if it had torn files, 20, 21 or another if it failed. It is 130
if all was well and the signal came in the middle of the next one, which leaves nothing behind.

Examples:
  snapfs backup /backups/snap                                       127.0.0.1:8088
  snapfs backup --host db1:8088 --retry-torn 3 /backups/snap
  snapfs backup --host http://localhost:8086 /backups/snap          a release candidate
  snapfs backup --from /var/lib/consul/raft /backups/consul         no server
  snapfs backup --every 1h --keep 7 '/backups/%Y-%m-%d/snap'        a chain a day, for a week`
}

// oldFlags lets "backup -host H" be what it was for influxd. Flags of one letter
// can be joined, so that the parser would take it for -h -o -s -t.
func oldFlags(args []string) []string {
	if len(args) == 0 || args[0] != "backup" {
		return args
	}
	out := make([]string, len(args))
	for i, arg := range args {
		if arg == "-host" || strings.HasPrefix(arg, "-host=") {
			arg = "-" + arg
		}
		out[i] = arg
	}
	return out
}

func (c *backupCmd) Run(a *App) error {
	if err := c.prepare(); err != nil {
		return usageError(err)
	}
	if c.Every == 0 {
		return c.once(a)
	}
	var last error // of the last backup that came to an end
	next := time.Now()
	for {
		err := c.once(a)
		if a.ctx.Err() != nil && (last == nil || exitCode(err) != exitInterrupted) {
			return err
		} else if a.ctx.Err() != nil {
			return stopped(last)
		}
		if last = err; err != nil {
			a.complain(err)
		}
		if late := time.Since(next); late >= 0 {
			next = next.Add(late - late%c.Every + c.Every)
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-a.ctx.Done():
			timer.Stop()
			return stopped(last)
		}
	}
}

// stopped returns how a series of backups ends by a signal, when the last of them
// ended with an error, or with none. Whoever only looks at the exit code would
// else take a series for good that has not had a backup for days.
func stopped(last error) error {
	if last == nil {
		return nil
	}
	return fmt.Errorf("stopped; the last backup: %w", last)
}

// prepare makes sense of the flags.
func (c *backupCmd) prepare() (err error) {
	switch {
	case c.Every < 0, c.Timeout <= 0, c.RetryTorn < 0:
		return errors.New("times and numbers must not be negative")
	case c.Meta != "" && c.From == "":
		return errors.New("--meta goes with --from: a server sends its metadata")
	}
	switch c.Keep {
	case "":
	case "all":
	default:
		if c.keep, err = strconv.Atoi(c.Keep); err != nil || c.keep < 1 {
			return fmt.Errorf("--keep %s: neither a number of chains nor all", c.Keep)
		}
	}
	if c.Keep != "" {
		if c.pattern, err = backup.ParsePattern(c.Path); err != nil {
			return err
		}
	}
	if c.From != "" {
		c.source = origin.Source{Origin: origin.Dir{Path: c.From, Meta: c.Meta}}
		return nil
	}
	c.source, err = server(cmp.Or(c.Host, "127.0.0.1"), c.Timeout)
	return err
}

// server returns the server that --host names.
func server(host string, timeout time.Duration) (backup.Source, error) {
	if strings.Contains(host, "://") {
		u, err := url.Parse(host)
		if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			err = fmt.Errorf("%s: neither http://HOST:PORT nor https://HOST:PORT", host)
		}
		return backup.HTTP{URL: u, Timeout: timeout}, err
	}
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), wire.Port)
	}
	return backup.TCP{Addr: host, Timeout: timeout}, nil
}

// once takes one backup.
func (c *backupCmd) once(a *App) error {
	path := c.Path
	if c.pattern != nil {
		path = c.pattern.At(time.Now())
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
	}
	bar := &backupBar{app: a}
	opts := backup.Options{FillGap: c.FillGap, RetryTorn: c.RetryTorn, SkipUnchanged: c.SkipIfUnchanged}
	if _, ok := a.terminal(a.Stderr); ok && !c.Quiet && !c.JSON {
		opts.Progress = bar.update
	}
	r, err := backup.Take(a.ctx, path, c.source, opts)
	bar.finish()
	if err != nil {
		return err
	}
	for _, w := range r.Warnings {
		a.warn("%s", w)
	}
	var removed []string
	var pruneErr error
	if c.keep > 0 {
		removed, pruneErr = c.pattern.Prune(c.keep, time.Now())
	}
	return errors.Join(c.tell(a, path, r, removed), pruneErr)
}

// tell says what was taken.
func (c *backupCmd) tell(a *App, chain string, r backup.Result, removed []string) error {
	switch {
	case c.JSON:
		err := a.printLine(struct {
			Chain string `json:"chain"`
			backup.Result
			Removed []string `json:"removed,omitempty"`
		}{chain, r, removed})
		if err != nil {
			return err
		}
	case c.Quiet:
	case r.Path == "":
		fmt.Fprintf(a.Stderr, "nothing has changed, %s is as before\n", printable(chain))
	default:
		fmt.Fprintf(a.Stderr, "%s: %s, %s\n", printable(r.Path), plural(int64(r.Files), "file"), plural(r.Bytes, "byte"))
		for _, path := range removed {
			fmt.Fprintf(a.Stderr, "removed the chain %s\n", printable(path))
		}
	}
	if len(r.Torn) == 0 {
		return nil
	}
	err := fmt.Errorf("%s: the server tore %s, the first is %v; the backup is kept", cmp.Or(r.Path, chain), plural(int64(len(r.Torn)), "Bolt file"), r.Torn[0])
	return &codeError{hint.Wrap(err, "nothing is lost: snapfs reads such files, and snapfs bolt check tells more; --retry-torn asks again"), exitDamage}
}

// backupBar is a bar on a terminal.
type backupBar struct {
	app     *App
	bar     *progressbar.ProgressBar
	attempt int
}

func (b *backupBar) update(p backup.Progress) {
	if b.bar == nil || b.attempt != p.Attempt {
		b.finish()
		b.attempt = p.Attempt
		text := "copying"
		if p.Attempt > 1 {
			text = fmt.Sprintf("copying, attempt %d", p.Attempt)
		}
		b.bar = b.app.byteBar(max(p.TotalBytes, 1), text)
	}
	_ = b.bar.Set64(p.Bytes) // a bar that cannot be drawn is no reason to stop
}

func (b *backupBar) finish() {
	if b.bar != nil {
		_ = b.bar.Finish()
	}
}
