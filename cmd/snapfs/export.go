package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

type exportCmd struct {
	snapArg
	dataFlags
	atFlag
	Ghosts chain.Ghosts `default:"hide" placeholder:"WHAT" help:"Shards that the server had dropped by then but that are still in the chain: hide, so that the export is what the server would have answered; show; or only them."`

	Out       string `short:"o" default:"-" placeholder:"FILE" help:"File to write; - is standard output. For parquet a directory, unless the name ends in .parquet." predictor:"file" group:"Output"`
	Format    string `default:"lp" enum:"lp,csv,jsonl,parquet" placeholder:"FORMAT" help:"lp (line protocol), csv, jsonl, parquet." group:"Output"`
	Precision string `default:"ns" enum:"ns,u,ms,s" placeholder:"UNIT" help:"Unit of times: ns, u, ms, s." group:"Output"`
	Compress  string `default:"" enum:",gzip,zstd" placeholder:"HOW" help:"gzip or zstd." group:"Output"`
	SplitSize string `placeholder:"SIZE" help:"Split into files of at most this size before compression, such as 1GiB; NAME.lp becomes NAME.0001.lp, …, and each is complete in itself. Of parquet it is the size of the values before they are encoded, and each table is split." group:"Output"`
	Force     bool   `short:"f" help:"Replace files that are there." group:"Output"`
	Nonfinite string `default:"" enum:",skip,string,fail" placeholder:"WHAT" help:"What to do with NaN and infinity, which no server takes: skip, string, fail. Without it they are left out, but Parquet has them." group:"Output"`
	LpOnly    bool   `help:"No header that makes databases, and no context lines: only points, as /write takes them." group:"Output"`

	DbMap         map[string]string `mapsep:"none" placeholder:"OLD=NEW" help:"Another name for a database. Repeatable." group:"Names"`
	RpMap         map[string]string `mapsep:"none" placeholder:"OLD=NEW" help:"Another name for a retention policy. Repeatable. With --to, an empty name is the server's default." group:"Names"`
	KeepDurations bool              `help:"Make policies with the durations that they had. Servers refuse and drop points that are older." group:"Names"`

	To     string `placeholder:"URL" help:"Send to a server: InfluxDB 1 or VictoriaMetrics, or with --org or --token InfluxDB 2 or 3. A user and password go into the URL." group:"Sending"`
	Token  string `env:"INFLUX_TOKEN" placeholder:"TOKEN" help:"Token of InfluxDB 2 and 3." group:"Sending"`
	Org    string `placeholder:"NAME" help:"Organization in InfluxDB 2." group:"Sending"`
	Create bool   `help:"Make databases and policies that the server does not have." group:"Sending"`
	Batch  int    `default:"5000" placeholder:"N" help:"Points in a request, at most." group:"Sending"`
	Rate   int    `placeholder:"N" help:"Points in a second, at most." group:"Sending"`

	Resume string `placeholder:"FILE" help:"Remember in FILE how far it came; the same command goes on there. For --to and --out; not for parquet." predictor:"file"`
	JSON   bool   `name:"json" help:"A JSON report on standard error."`
	Quiet  bool   `short:"q" help:"No progress and no summary."`
}

func (exportCmd) Help() string {
	return `Series come sorted, the points of each in the order of time and each once, whatever shards and backups they
are in. Nothing is extracted; no server is needed.

lp is line protocol under a header that "influx -import" takes, which makes databases and policies; policies
without their durations, since a server drops points that are older. Strings with line breaks need /write or --to.
csv has the columns database, policy, measurement, tags, time, field, type, value, and a row for each field.
jsonl has an object for each point; numbers with a point or exponent are floats, others integers of 64 bits.
parquet makes --out a directory with a file for each measurement, DATABASE/POLICY/MEASUREMENT.parquet; if --out ends
in .parquet, and on standard output, a single measurement must be selected. Columns are time, tags and typed fields;
a field of several types has a column for each, such as value_float. Columns that would have one name get the kind
appended, as in host_field; the file's metadata (snapfs.columns) tells what each column is. With --split-size the
files are MEASUREMENT.0001.parquet, …, each with all columns.

With --to, batches are compressed and sent again while the server is busy or away. Points that it does not take
are looked for one by one and told; the others are sent. In InfluxDB 2 and 3 they go to the bucket DATABASE/POLICY,
with --rp-map POLICY= to the bucket DATABASE.

What could not be read or written is counted and told, and the exit code is 14 then. It is 21 if the server did not
take some points.

Examples:
  snapfs export /tmp/snap | gzip > all.lp.gz
  snapfs export /tmp/snap --out all.lp --split-size 1GiB && influx -import -path all.0001.lp
  snapfs export /tmp/snap --db telemetry --measurement cpu --start 2015-11-01 --format csv -o cpu.csv
  snapfs export /tmp/snap --format parquet --out tables && duckdb -c "from 'tables/*/*/cpu.parquet'"
  snapfs export /tmp/snap --lp-only --db telemetry --rp default | curl --data-binary @- 'localhost:8086/write?db=telemetry'
  snapfs export /tmp/snap --to http://user:password@localhost:8086 --create --resume state.json
  snapfs export /tmp/snap --to http://localhost:8086 --org home --token "$TOKEN" --db-map telemetry=old --rp-map default=`
}

// silent is an error after which all has been said.
func silent(code int) error { return &codeError{nil, code} }

func (c *exportCmd) Run(a *App) error {
	opts, files, err := c.options()
	if err != nil {
		return usageError(err)
	}
	t, err := c.open(space.Options{At: c.At, Ghosts: c.Ghosts})
	if err != nil {
		return err
	}
	defer t.Close()
	set := t.Data()
	if set == nil {
		err := fmt.Errorf("%s: a Bolt file, not a snapshot: it does not tell what its points belong to", c.Snap)
		return &codeError{hint.Wrap(err, "snapfs bolt export writes keys and values"), exitNotSnapshot}
	}
	hidden, err := c.hidden(opts.Filter)
	if err != nil {
		return err
	}
	bar := &exportBar{app: a, start: time.Now()}
	if width, ok := a.terminal(a.Stderr); ok && !c.Quiet && !c.JSON {
		bar.width = width
		opts.Progress = bar.update
	}
	var r export.Report
	switch {
	case c.To != "":
		to := export.Target{URL: c.To, Token: c.Token, Org: c.Org, Create: c.Create, Batch: c.Batch, Rate: c.Rate}
		if !c.Quiet {
			to.Waiting = bar.waiting
		}
		r, err = export.Send(a.ctx, to, set, opts)
	case c.Out == "-":
		r, err = export.Write(a.ctx, a.Stdout, set, opts, export.Compression(c.Compress))
	default:
		r, err = export.ToFiles(a.ctx, files, set, opts)
	}
	bar.finish()
	return c.report(a, r, hidden, err)
}

// options returns what the flags say.
func (c *exportCmd) options() (o export.Options, files export.Files, err error) {
	if o.Filter, err = c.filter(); err != nil {
		return o, files, err
	}
	o.Format, o.NonFinite = export.Format(c.Format), export.NonFinite(c.Nonfinite)
	o.Precision = map[string]influx.Precision{"ns": influx.Nanosecond, "u": influx.Microsecond, "ms": influx.Millisecond, "s": influx.Second}[c.Precision]
	o.LinesOnly, o.KeepDurations = c.LpOnly, c.KeepDurations
	o.Databases, o.Policies = maps.Clone(c.DbMap), maps.Clone(c.RpMap)
	o.Checkpoint = c.Resume
	if o.Source, err = filepath.Abs(c.Snap); err != nil {
		return o, files, err
	}
	o.Source += "@" + cmp.Or(c.At, chain.Latest)
	files = export.Files{Name: c.Out, Compression: export.Compression(c.Compress), Overwrite: c.Force}
	if c.SplitSize != "" {
		n, err := humanize.ParseBytes(c.SplitSize)
		if err != nil || n == 0 || n > 1<<62 {
			return o, files, fmt.Errorf("--split-size %q: not a size, such as 500MB or 1GiB", c.SplitSize)
		}
		files.SplitSize = int64(n)
	}
	switch {
	case c.To != "" && (c.Out != "-" || c.SplitSize != "" || c.Compress != ""):
		return o, files, errors.New("--to goes without --out, --compress and --split-size")
	case c.To != "" && c.Format != "lp":
		return o, files, errors.New("--to sends line protocol only")
	case c.To == "" && (c.Create || c.Rate != 0 || c.Org != ""):
		return o, files, errors.New("--create, --rate and --org are for --to")
	case c.To == "" && c.Out == "-" && (c.Resume != "" || c.SplitSize != ""):
		return o, files, hint.Wrap(errors.New("--resume and --split-size cannot be had on standard output"), "--out FILE")
	case c.Resume != "" && c.Format == "parquet":
		return o, files, hint.Wrap(errors.New("--resume is not for --format parquet: a table that was stopped cannot go on"), "some at a time, by --db, --measurement, --start and --end; or another format")
	case c.LpOnly && c.Format != "lp":
		return o, files, errors.New("--lp-only is for --format lp")
	case c.Batch < 1 || c.Rate < 0:
		return o, files, errors.New("--batch and --rate are positive numbers")
	}
	return o, files, nil
}

// hidden counts the ghosts that are left out.
func (c *exportCmd) hidden(f dataset.Filter) (n int, err error) {
	if c.Ghosts != chain.Hide {
		return 0, nil
	}
	t, err := c.open(space.Options{At: c.At, Ghosts: chain.Only})
	if err != nil {
		return 0, err
	}
	defer t.Close()
	for _, sh := range t.Data().Shards() {
		if sh.Ghost != "" && f.MatchShard(sh) {
			n++
		}
	}
	return n, nil
}

// report tells what was done and what is missing.
func (c *exportCmd) report(a *App, r export.Report, hidden int, err error) error {
	if c.JSON {
		if jerr := a.exportJSON(r, hidden); err == nil {
			err = jerr
		}
	} else {
		c.tell(a, r, hidden, err)
	}
	switch {
	case errors.Is(err, export.ErrName), errors.Is(err, export.ErrOption), errors.Is(err, export.ErrCheckpoint):
		return usageError(err)
	case errors.Is(err, fs.ErrExist):
		return &codeError{err, exitConflict}
	case err != nil:
		return err
	case r.Unreadable > 0 || r.Unwritable > 0:
		return silent(exitDamage)
	case r.Rejected > 0:
		return silent(exitIncomplete)
	}
	return nil
}

// shownErrors is how many errors are shown one by one; --json has more.
const shownErrors = 5

func (c *exportCmd) tell(a *App, r export.Report, hidden int, err error) {
	for i, e := range r.Errors {
		if i == shownErrors {
			break
		}
		a.complain(e)
	}
	say := func(n int64, word, text string) {
		if n > 0 {
			fmt.Fprintf(a.Stderr, "snapfs: %s %s\n", plural(n, word), text)
		}
	}
	if c.Quiet {
		// What is missing is said all the same.
		hidden = 0
	}
	say(int64(hidden), "ghost", "left out: shards that the server had dropped; --ghosts show has them")
	say(r.Unreadable, "error", "while reading: what was there is missing in the export")
	say(r.Unwritable, "value", "left out: there is no way to write them in this format")
	say(r.Rejected, "point", "not taken by the server")
	switch c.Nonfinite {
	case "", "skip":
		say(r.NonFinite, "value", "left out that are not a finite number; --nonfinite string keeps them")
	case "string":
		say(r.NonFinite, "value", "written as strings that are not a finite number")
	}
	if !c.LpOnly && c.To == "" {
		say(r.LineBreaks, "string", "with a line break: influx -import cannot read them, /write and --to can")
	}
	say(r.SameTime, "point", "with the time of the one before, in the unit of --precision: a server keeps one of them")
	if err != nil || c.Quiet {
		return
	}
	text := fmt.Sprintf("exported %s of %d series", plural(r.Points, "point"), r.Series)
	switch {
	case c.To != "":
		text += ", to the server"
	case len(r.Files) == 1:
		text += " to " + r.Files[0]
	case len(r.Files) > 1:
		text += fmt.Sprintf(" to %d files, %s to %s", len(r.Files), r.Files[0], r.Files[len(r.Files)-1])
	}
	if r.Retries > 0 {
		text += "; " + plural(r.Retries, "request") + " sent again"
	}
	fmt.Fprintln(a.Stderr, printable(text))
}

// exportJSON writes the report to standard error: the data may be on the other.
func (a *App) exportJSON(r export.Report, hidden int) error {
	texts := []string{}
	for _, e := range r.Errors {
		texts = append(texts, strings.ToValidUTF8(e.Error(), "�"))
	}
	to := *a
	to.Stdout = a.Stderr
	return to.printJSON(struct {
		export.Report
		Hidden int      `json:"ghosts_left_out"`
		Errors []string `json:"errors"`
	}{r, hidden, texts})
}

// exportBar is a bar on a terminal, with the points in a second and the time
// that is left.
type exportBar struct {
	app   *App
	mu    sync.Mutex // guards what follows
	width int
	start time.Time
	bar   *progressbar.ProgressBar
	last  time.Time
	first int64 // points of earlier runs
	told  bool  // that the server is waited for
}

// waiting says once why nothing goes on, as it may for minutes.
func (b *exportBar) waiting(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told {
		return
	}
	b.told = true
	if b.bar != nil {
		_ = b.bar.Clear()
	}
	fmt.Fprintf(b.app.Stderr, "snapfs: %s; trying again for some minutes\n", printable(why.Error()))
}

func (b *exportBar) update(p export.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar == nil {
		b.first = p.Points
		// Its own forecast would take what an earlier run did for done in no time.
		b.bar = progressbar.NewOptions64(max(p.TotalBytes, 1), progressbar.OptionSetWriter(b.app.Stderr),
			progressbar.OptionSetDescription("exporting"), progressbar.OptionSetWidth(min(b.width/4, 40)),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionShowBytes(false), progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false))
	}
	if now := time.Now(); now.Sub(b.last) > 200*time.Millisecond {
		b.last = now
		b.bar.Describe(exportState(p, b.first, now.Sub(b.start)))
	}
	_ = b.bar.Set64(min(p.Bytes, p.TotalBytes)) // a bar that cannot be drawn is no reason to stop
}

// exportState says how many points are written, how many in a second, and how
// long the rest will take. first is how many points earlier runs wrote.
func exportState(p export.Progress, first int64, elapsed time.Duration) string {
	seconds := max(elapsed.Seconds(), 0.001)
	text := fmt.Sprintf("%s points, %s/s", humanize.Comma(p.Points), strings.TrimSpace(humanize.SIWithDigits(float64(p.Points-first)/seconds, 1, "")))
	if done, rest := p.Bytes-p.Before, p.TotalBytes-p.Bytes; done > 0 && rest >= 0 {
		left := time.Duration(seconds * float64(rest) / float64(done) * float64(time.Second))
		text += ", " + left.Round(time.Second).String() + " left"
	}
	return text
}

func (b *exportBar) finish() {
	if b.bar != nil {
		_ = b.bar.Finish()
	}
}
