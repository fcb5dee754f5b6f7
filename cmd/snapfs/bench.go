package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/snapfs/snapfs/internal/bench"
)

type benchCmd struct {
	Scale    float64       `default:"0.02" help:"Size of the workloads; at 1 they are those of the documentation, and take 10 GB and many minutes."`
	Runs     int           `default:"3" help:"Rounds; figures are medians of them."`
	Workload []string      `help:"Only these: big, small, chain, bolt."`
	Subject  []string      `help:"Only these beside the baselines, such as 'snapfs plain' or archivemount."`
	Timeout  time.Duration `default:"2m" help:"Give a program up that takes longer for one round."`
	Work     string        `placeholder:"DIR" help:"Where to work; default: a temporary directory." type:"path" predictor:"dir"`
	Out      string        `placeholder:"DIR" help:"Write bench.json and bench.svg there, and put the table into bench.md, between the lines that say where." type:"path" predictor:"dir"`
	JSON     bool          `name:"json" help:"Print JSON rather than tables."`
}

func (benchCmd) Help() string {
	return `Measures snapfs beside other ways to get at the files in an archive: tar, the extracted files, and programs that
mount archives, where they are installed. Files are made for the purpose, and removed.

Examples:
  snapfs bench
  snapfs bench --scale 1 --out docs
  snapfs bench --workload small --subject 'snapfs plain' --subject archivemount`
}

func (c *benchCmd) Run(a *App) (err error) {
	if !(c.Scale > 0) || c.Scale > 100 || c.Runs < 1 {
		return usageError(errors.New("--scale must be above 0 and at most 100, --runs at least 1"))
	}
	var workloads, subjects []string
	for _, w := range bench.Workloads(c.Scale) {
		workloads = append(workloads, w.Name)
	}
	for _, s := range bench.Mounts(nil) {
		subjects = append(subjects, s.Name)
	}
	if err := errors.Join(known("--workload", c.Workload, workloads), known("--subject", c.Subject, subjects)); err != nil {
		return usageError(err)
	}
	work, err := os.MkdirTemp(c.Work, "snapfs-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	opts := bench.Options{
		Self: os.Args[:1], Dir: work, Scale: c.Scale, Runs: c.Runs, Workloads: c.Workload, Subjects: c.Subject, Timeout: c.Timeout,
	}
	if _, tty := a.terminal(a.Stderr); tty {
		opts.Progress = func(text string) { fmt.Fprintln(a.Stderr, text) }
	}
	res, err := bench.Run(a.ctx, opts)
	if err != nil {
		return err
	}
	res.Version = version()
	if c.Out != "" {
		if err := saveBench(res, c.Out); err != nil {
			return err
		}
	}
	if c.JSON {
		return a.printJSON(res)
	}
	return res.WriteMarkdown(a.Stdout)
}

// known returns an error for the first name that there is not.
func known(flag string, names, all []string) error {
	for _, name := range names {
		if !slices.Contains(all, name) {
			return fmt.Errorf("%s %s: there are %s", flag, name, strings.Join(all, ", "))
		}
	}
	return nil
}

// The lines between which bench.md has the table.
const (
	benchStart = "<!-- snapfs bench: from here -->\n"
	benchEnd   = "<!-- snapfs bench: to here -->\n"
)

// saveBench writes results into a directory.
func saveBench(res *bench.Result, dir string) error {
	var table, chart bytes.Buffer
	if err := errors.Join(res.WriteMarkdown(&table), res.WriteChart(&chart)); err != nil {
		return err
	}
	js, err := json.MarshalIndent(res, "", "  ")
	if err != nil {
		return err
	}
	page := filepath.Join(dir, "bench.md")
	text, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(benchStart))
	_, after, ended := bytes.Cut(rest, []byte(benchEnd))
	if ok != ended {
		return fmt.Errorf("%s: one of the lines %q and %q is missing", page, benchStart[:len(benchStart)-1], benchEnd[:len(benchEnd)-1])
	}
	text = bytes.Join([][]byte{before, []byte(benchStart), table.Bytes(), []byte(benchEnd), after}, nil)
	for name, data := range map[string][]byte{"bench.json": append(js, '\n'), "bench.svg": chart.Bytes(), "bench.md": text} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
