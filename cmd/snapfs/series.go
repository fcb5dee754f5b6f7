package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/rivo/uniseg"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/space"
)

// selectCmd has the flags and arguments of the commands that list what is in
// shards.
type selectCmd struct {
	JSON bool `name:"json" help:"One JSON object a line."`
	dataFlags
	atFlag
	ghostsFlag
	snapArg
}

const selectHelp = `Times select shards by the span of their group. What cannot be read is left out, and told at the end with exit
code 14.

Examples:
`

// printer prints rows: as text, or as JSON Lines.
type printer[T any] struct {
	row func(T) error
	end func() error // may be nil
}

// list prints what seq gives of the selected data.
func list[T any](a *App, c *selectCmd, seq func(*dataset.Set, dataset.Filter) iter.Seq2[T, error], text func(io.Writer, *dataset.Set, dataset.Filter) printer[T]) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	t, err := c.open(space.Options{At: c.At, Ghosts: c.Ghosts})
	if err != nil {
		return err
	}
	defer t.Close()
	set, err := data(t)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.Stdout)
	var p printer[T]
	if c.JSON {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		p.row = func(v T) error { return e.Encode(v) }
	} else {
		p = text(out, set, f)
	}
	var lost losses
	for v, err := range seq(set, f) {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if err == nil {
			err = p.row(v)
		} else {
			err = lost.add(err)
		}
		if err != nil {
			return err
		}
	}
	if p.end != nil {
		if err := p.end(); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return lost.report(a)
}

// columns prints rows as a table.
func columns[T any](a *App, cells func(T) []string, head ...string) func(io.Writer, *dataset.Set, dataset.Filter) printer[T] {
	return func(w io.Writer, _ *dataset.Set, _ dataset.Filter) printer[T] {
		tab := a.table(head...)
		return printer[T]{
			row: func(v T) error { tab.add(cells(v)...); return nil },
			end: func() error { return tab.write(w) },
		}
	}
}

type measurementsCmd struct{ selectCmd }

func (measurementsCmd) Help() string {
	return selectHelp + `  snapfs measurements /tmp/snap
  snapfs measurements --db telemetry --where-tag 'host=a*' /tmp/snap`
}

func (c *measurementsCmd) Run(a *App) error {
	return list(a, &c.selectCmd, (*dataset.Set).Measurements, columns(a, func(m dataset.Measurement) []string {
		return []string{nameOf(m.Database), nameOf(m.Policy), nameOf(m.Name), fmt.Sprint(m.Series)}
	}, "DATABASE", "POLICY", "MEASUREMENT", ">SERIES"))
}

type fieldsCmd struct{ selectCmd }

func (fieldsCmd) Help() string {
	return `A field that has another type in another shard is shown with all of them.

` + selectHelp + `  snapfs fields /tmp/snap
  snapfs fields --db telemetry --measurement cpu /tmp/snap`
}

func (c *fieldsCmd) Run(a *App) error {
	return list(a, &c.selectCmd, (*dataset.Set).Fields, columns(a, func(f dataset.Field) []string {
		types := make([]string, len(f.Types))
		for i, t := range f.Types {
			types[i] = t.String()
		}
		return []string{nameOf(f.Database), nameOf(f.Policy), nameOf(f.Measurement), nameOf(f.Name), strings.Join(types, ", ")}
	}, "DATABASE", "POLICY", "MEASUREMENT", "FIELD", "TYPE"))
}

type tagsCmd struct{ selectCmd }

func (tagsCmd) Help() string {
	return `How many values each tag has, and the first of them; --json has all.

` + selectHelp + `  snapfs tags /tmp/snap
  snapfs tags --json --measurement cpu /tmp/snap | jq -r '.values[]'`
}

func (c *tagsCmd) Run(a *App) error {
	return list(a, &c.selectCmd, (*dataset.Set).TagKeys, columns(a, func(t dataset.TagKey) []string {
		const shown, width = 4, 60
		var some []string
		length := 0
		for i, v := range t.Values {
			v = nameOf(v)
			if length += uniseg.StringWidth(v); i > 0 && (i == shown || length > width) {
				some = append(some, "…")
				break
			}
			some = append(some, v)
		}
		return []string{nameOf(t.Database), nameOf(t.Policy), nameOf(t.Measurement), nameOf(t.Key), fmt.Sprint(len(t.Values)), strings.Join(some, ", ")}
	}, "DATABASE", "POLICY", "MEASUREMENT", "TAG", ">VALUES", "|SOME"))
}

type seriesCmd struct{ selectCmd }

func (seriesCmd) Help() string {
	return selectHelp + `  snapfs series /tmp/snap
  snapfs series --measurement cpu --where-tag 'host=a*' /tmp/snap
  snapfs series --json /tmp/snap | jq -r 'select(.tags.host == "alpha").key'`
}

// seriesLine is one line of --json.
type seriesLine struct {
	Database    string            `json:"database"`
	Policy      string            `json:"policy"`
	Key         string            `json:"key"`
	Measurement string            `json:"measurement"`
	Tags        map[string]string `json:"tags"`
	Shards      []uint64          `json:"shards"`
	Dropped     bool              `json:"dropped,omitempty"`
}

func (c *seriesCmd) Run(a *App) error {
	return list(a, &c.selectCmd, seriesLines, func(w io.Writer, set *dataset.Set, f dataset.Filter) printer[seriesLine] {
		// Series may be many and are printed as they come, so that the widths
		// of columns have to be known before.
		db, rp := len("DATABASE"), len("POLICY")
		for p := range set.Policies(f) {
			db = max(db, uniseg.StringWidth(nameOf(p.Database)))
			rp = max(rp, uniseg.StringWidth(nameOf(p.Name)))
		}
		print := func(a, b, c string) error {
			_, err := fmt.Fprintf(w, "%s%*s  %s%*s  %s\n", a, db-uniseg.StringWidth(a), "", b, rp-uniseg.StringWidth(b), "", c)
			return err
		}
		err := print("DATABASE", "POLICY", "SERIES")
		return printer[seriesLine]{row: func(s seriesLine) error {
			if err != nil {
				return err
			}
			key := nameOf(s.Key)
			if s.Dropped {
				key += "  [dropped]"
			}
			return print(nameOf(s.Database), nameOf(s.Policy), key)
		}}
	})
}

func seriesLines(set *dataset.Set, f dataset.Filter) iter.Seq2[seriesLine, error] {
	return func(yield func(seriesLine, error) bool) {
		for s, err := range set.Series(f) {
			line := seriesLine{Database: s.Database, Policy: s.Policy, Key: s.Key, Measurement: s.Measurement, Tags: map[string]string{}, Shards: []uint64{}, Dropped: s.Dropped}
			for _, t := range s.Tags {
				line.Tags[t.Key] = t.Value
			}
			for _, sh := range s.Shards() {
				line.Shards = append(line.Shards, sh.ID)
			}
			if !yield(line, err) {
				return
			}
		}
	}
}
