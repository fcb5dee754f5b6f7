package main

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/doctor"
)

type doctorCmd struct {
	JSON bool     `name:"json" help:"A JSON array, one object for each snapshot."`
	Path []string `arg:"" name:"path" help:"Full snapshots, other tars, Bolt files, or directories to search for snapshots." predictor:"file"`
}

func (doctorCmd) Help() string {
	return `Directories are searched for snapshots, with all below them. Of each snapshot it tells what the layers are, whether
each point in time can be restored whole, with a loss, or not, and what there is to know, each with a code:
  error    data are lost or in doubt
  warning  not as servers write it, though nothing is lost
  note     as servers write it, but it may surprise
Every page of every Bolt file is checked; snapfs verify reads every point as well.

Exit code 0 means that there are notes at most, 14 that something is wrong.

Examples:
  snapfs doctor /tmp/snap
  snapfs doctor /var/backups
  snapfs doctor --json /tmp/snap | jq -r '.[].findings[].code'`
}

func (c *doctorCmd) Run(a *App) error {
	found, problems, err := doctor.Find(a.ctx, c.Path...)
	if err != nil {
		return openError(err)
	}
	for _, p := range problems {
		a.complain(p)
	}
	if len(found) == 0 {
		return &codeError{fmt.Errorf("no snapshots in %s", firstFew(c.Path)), exitNotSnapshot}
	}
	reports := []*doctor.Report{}
	sound := len(problems) == 0
	var failed error
	for i, f := range found {
		progress, finish := a.examining(filepath.Base(f.Path))
		r, err := doctor.Examine(a.ctx, f.Path, doctor.Options{Progress: progress})
		finish()
		if err != nil {
			if a.ctx.Err() != nil || len(found) == 1 {
				return openError(err)
			}
			a.complain(err)
			failed = cmp.Or(failed, err)
			continue
		}
		r.Findings = append(r.Findings, f.Stray...)
		reports = append(reports, r)
		sound = sound && r.Sound()
		if c.JSON {
			continue
		}
		if i > 0 {
			fmt.Fprintln(a.Stdout)
		}
		if err := a.printReport(r); err != nil {
			return err
		}
	}
	if c.JSON {
		err = a.printJSON(reports)
	} else if len(found) > 1 {
		err = a.printTally(reports, len(found))
	}
	switch {
	case err != nil:
		return err
	case !sound:
		return &codeError{nil, exitDamage}
	case failed != nil:
		return &codeError{nil, exitCode(openError(failed))}
	}
	return nil
}

// examining returns what shows the progress of something on a terminal, and
// what takes it away.
func (a *App) examining(what string) (progress func(done, total int64), finish func()) {
	var bar *progressbar.ProgressBar
	progress = func(done, total int64) {
		if bar == nil {
			bar = a.byteBar(total, what)
		}
		_ = bar.Set64(done) // a terminal that is gone is no reason to stop
	}
	finish = func() {
		if bar != nil {
			_ = bar.Clear()
		}
	}
	return progress, finish
}

// printTally sums several reports up.
func (a *App) printTally(reports []*doctor.Report, found int) error {
	sound := 0
	for _, r := range reports {
		if r.Sound() {
			sound++
		}
	}
	_, err := fmt.Fprintf(a.Stdout, "\n%s: %d sound, %d with errors or warnings\n", plural(int64(found), "snapshot"), sound, found-sound)
	return err
}

// dialectName says in words which servers wrote manifests of a dialect.
func dialectName(d chain.Dialect) string {
	switch d {
	case chain.ByTime:
		return "InfluxDB snapshot of a final release (0.9.0 to 0.9.6)"
	case chain.ByIndex:
		return "InfluxDB snapshot of a release candidate (0.9.0-rc16 to rc31)"
	}
	return "tar archive"
}

// printReport prints a report for people.
func (a *App) printReport(r *doctor.Report) error {
	w := a.Stdout
	if r.Kind == "bolt" {
		fmt.Fprintf(w, "%s: Bolt file, %s\n", printable(r.Path), a.bytes(r.Checked.Bytes))
		return a.printFindings(w, r.Findings)
	}
	head := fmt.Sprintf("%s: %s, %s, %s", printable(r.Path), dialectName(r.Dialect), plural(int64(len(r.Layers)), "layer"), a.bytes(r.Checked.Bytes))
	width, _ := a.terminal(a.Stdout)
	fmt.Fprintln(w, wrap(head, width, 0, 2))
	if r.Server != "" {
		fmt.Fprintf(w, "of the server with the cluster number %s\n", r.Server)
	}
	fmt.Fprintln(w)
	tab := a.table("POINT", "BACKUP TIME", ">TOOK", ">BYTES", "?>ADDED", "?>REPLACED", ">FILES", "RESTORABLE")
	for i, l := range r.Layers {
		p := r.Points[i]
		verdict := string(p.Verdict)
		if p.Verdict == doctor.WithLoss {
			verdict = fmt.Sprintf("with loss: %s", plural(int64(len(p.Lost)), "file"))
		}
		tab.add(l.Name, when(l.Time), fmt.Sprint(time.Duration(l.Seconds)*time.Second), a.size(l.Bytes), fmt.Sprint(l.Added), fmt.Sprint(l.Replaced), fmt.Sprint(p.Files), verdict)
	}
	if err := tab.write(w); err != nil {
		return err
	}
	if err := a.printLosses(w, r.Points); err != nil {
		return err
	}
	return a.printFindings(w, r.Findings)
}

// printLosses tells what points lack; what several lack is told once.
func (a *App) printLosses(w io.Writer, points []doctor.Point) error {
	told := map[doctor.Loss]bool{}
	rows := 0
	width, _ := a.terminal(a.Stdout)
	for _, p := range points {
		if p.Verdict == doctor.Not {
			text := wrap(fmt.Sprintf("point %s cannot be restored: %s", p.Name, printable(p.Why)), width, 0, 2)
			if _, err := fmt.Fprintf(w, "\n%s\n", text); err != nil {
				return err
			}
		}
		for _, l := range p.Lost {
			if told[l] || p.Verdict == doctor.Not {
				continue
			}
			told[l] = true
			if rows++; rows > maxRows {
				continue
			}
			if rows == 1 {
				fmt.Fprint(w, "\nlost or in doubt, from the point on that is named first:\n")
			}
			name := l.Path
			if name == "" {
				name = "?"
			}
			text := wrap(printable(name)+": "+printable(l.Text), width, 9, 9)
			if _, err := fmt.Fprintf(w, "  %-6s %s\n", p.Name, text); err != nil {
				return err
			}
		}
	}
	if rows > maxRows {
		fmt.Fprintf(w, "  … %d more; --json lists all\n", rows-maxRows)
	}
	return nil
}

// printFindings prints findings, the first of each code.
func (a *App) printFindings(w io.Writer, findings []doctor.Finding) error {
	counts := map[doctor.Level]int64{}
	shown := map[doctor.Code]int{}
	for _, f := range findings {
		counts[f.Level]++
	}
	if counts[doctor.Error]+counts[doctor.Warning] == 0 {
		fmt.Fprint(w, "\nsound")
	} else {
		fmt.Fprintf(w, "\n%s, %s", plural(counts[doctor.Error], "error"), plural(counts[doctor.Warning], "warning"))
	}
	if n := counts[doctor.Note]; n > 0 {
		fmt.Fprintf(w, ", %s", plural(n, "note"))
	}
	fmt.Fprintln(w)
	width, _ := a.terminal(a.Stdout)
	var err error
	for _, f := range findings {
		if shown[f.Code]++; shown[f.Code] > maxRows {
			continue
		}
		layer := ""
		if f.Layer != "" {
			layer = "layer " + f.Layer + ": "
		}
		text := fmt.Sprintf("%s: %s%s", f.Code, layer, printable(f.Text))
		_, err = fmt.Fprintf(w, "  %-7s  %s\n", f.Level, wrap(text, width, 11, 11))
		if f.Hint != "" && shown[f.Code] == 1 {
			_, err = fmt.Fprintf(w, "           hint: %s\n", wrapHint(printable(f.Hint), width, 17, 13))
		}
	}
	for c, n := range shown {
		if n > maxRows {
			fmt.Fprintf(w, "  … %d more of %s; --json lists all\n", n-maxRows, c)
		}
	}
	return err
}
