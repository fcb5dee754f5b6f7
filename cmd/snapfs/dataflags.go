package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/hint"
)

// shardFlags select shards by where they belong.
type shardFlags struct {
	Db    string   `name:"db" placeholder:"GLOB" help:"Databases by name or glob."`
	Rp    string   `name:"rp" placeholder:"GLOB" help:"Retention policies by name or glob."`
	Shard []uint64 `placeholder:"ID" help:"Shards by number."`
}

// filter returns what the flags select.
func (f shardFlags) filter() (dataset.Filter, error) {
	out := dataset.Filter{Database: f.Db, Policy: f.Rp, Shards: f.Shard}
	if err := out.Check(); err != nil {
		return out, usageError(err)
	}
	return out, nil
}

// all reports whether nothing is left out.
func (f shardFlags) all() bool { return f.Db == "" && f.Rp == "" && len(f.Shard) == 0 }

// dataFlags select some of the data.
type dataFlags struct {
	shardFlags
	Measurement string   `placeholder:"GLOB" help:"Measurements by name or glob."`
	Series      string   `placeholder:"GLOB" help:"Series by a glob for their whole key, such as \"cpu,host=a*\"."`
	Tag         []string `name:"where-tag" aliases:"tag" sep:"none" placeholder:"KEY=GLOB" help:"Series with a tag whose value matches; given more than once, all must."`
	Start       string   `placeholder:"TIME" help:"First time: 2015-11-02, 2015-11-02T03:04:05Z, or nanoseconds since 1970."`
	End         string   `placeholder:"TIME" help:"Last time, itself included; a date stands for the whole of its day."`
}

// filter returns what the flags select.
func (f dataFlags) filter() (dataset.Filter, error) {
	out, err := f.shardFlags.filter()
	if err != nil {
		return out, err
	}
	out.Measurement, out.Series = f.Measurement, f.Series
	for _, t := range f.Tag {
		k, glob, ok := strings.Cut(t, "=")
		if !ok || k == "" {
			return out, usageError(hint.Wrap(fmt.Errorf("--where-tag %q: no tag and value", t), "--where-tag 'host=web*'"))
		}
		out.Tags = append(out.Tags, dataset.TagFilter{Key: k, Glob: glob})
	}
	if err := out.Check(); err != nil {
		return out, usageError(err)
	}
	if f.Start == "" && f.End == "" {
		return out, nil
	}
	out.From, out.To = math.MinInt64, math.MaxInt64
	if f.Start != "" {
		if out.From, _, err = parseSpan(f.Start); err != nil {
			return out, usageError(fmt.Errorf("--start: %w", err))
		}
	}
	if f.End != "" {
		if _, out.To, err = parseSpan(f.End); err != nil {
			return out, usageError(fmt.Errorf("--end: %w", err))
		}
	}
	if out.From > out.To {
		return out, usageError(fmt.Errorf("--end %s is before --start %s", f.End, f.Start))
	}
	if out.From == 0 && out.To == 0 {
		// To the filter this is the span without bounds.
		return out, usageError(errors.New("--start, --end: the first nanosecond of 1970 cannot be selected alone"))
	}
	return out, nil
}

// usageError is the error of wrong arguments that kong cannot tell.
func usageError(err error) error { return &codeError{err, exitUsage} }

// parseSpan returns the first and last nanosecond since 1970 of a time as users
// write it: a day has many, all else has one.
func parseSpan(s string) (first, last int64, err error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, n, nil
	}
	span := time.Nanosecond
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		if t, err = time.Parse(time.DateOnly, s); err != nil {
			return 0, 0, hint.Wrap(fmt.Errorf("%q: not a time", s), "2015-11-02, 2015-11-02T03:04:05Z, or nanoseconds since 1970")
		}
		span = 24 * time.Hour
	}
	end := t.Add(span - 1)
	if t.Before(time.Unix(0, math.MinInt64)) || end.After(time.Unix(0, math.MaxInt64)) {
		return 0, 0, fmt.Errorf("%q: points are from 1677 to 2262", s)
	}
	return t.UnixNano(), end.UnixNano(), nil
}
