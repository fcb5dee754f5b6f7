package dataset

import (
	"fmt"
	"math"
	"path"

	"github.com/snapfs/snapfs/influx"
)

// Filter selects some of the data. The zero value selects all.
//
// Databases, policies and measurements are selected by name or glob, as
// [path.Match] has them; "" stands for all.
type Filter struct {
	Database, Policy, Measurement string
	// Series is a glob for the whole key of a series.
	Series string
	// Shards are the numbers of shards; empty for all.
	Shards []uint64
	// Tags must all be there, each with a value that matches its glob.
	Tags []TagFilter
	// From and To are the first and last time, in nanoseconds since 1970; both
	// 0 for all.
	From, To int64
}

// TagFilter selects series by a tag.
type TagFilter struct{ Key, Glob string }

// Check returns an error that matches [path.ErrBadPattern] if a glob is none.
func (f Filter) Check() error {
	globs := []string{f.Database, f.Policy, f.Measurement, f.Series}
	for _, t := range f.Tags {
		globs = append(globs, t.Glob)
	}
	for _, g := range globs {
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("%q: %w", g, err)
		}
	}
	return nil
}

func (f Filter) span() (from, to int64) {
	if f.From == 0 && f.To == 0 {
		return math.MinInt64, math.MaxInt64
	}
	return f.From, f.To
}

// Names reports whether a policy of a database is selected by its name.
func (f Filter) Names(database, policy string) bool {
	return match(f.Database, database) && match(f.Policy, policy)
}

// shard reports whether a shard may hold something that is selected.
func (f Filter) shard(sh *Shard) bool {
	if !f.Names(sh.Database, sh.Policy) {
		return false
	}
	if len(f.Shards) > 0 {
		found := false
		for _, id := range f.Shards {
			found = found || id == sh.ID
		}
		if !found {
			return false
		}
	}
	from, to := f.span()
	first, last, ok := sh.span()
	return !ok || first <= to && last >= from
}

func (f Filter) series(s influx.Series) bool {
	if !match(f.Measurement, s.Measurement) || !match(f.Series, s.Key) {
		return false
	}
	for _, want := range f.Tags {
		found := false
		for _, t := range s.Tags {
			found = found || t.Key == want.Key && match(want.Glob, t.Value)
		}
		if !found {
			return false
		}
	}
	return true
}

// match reports whether a name is selected. Slashes in names are as any other
// character.
func match(glob, name string) bool {
	if glob == "" || glob == name {
		return true
	}
	ok, err := path.Match(escapeSlash(glob), escapeSlash(name))
	return ok && err == nil
}

// escapeSlash replaces what path.Match treats specially by a character that it
// does not.
func escapeSlash(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] == '/' {
			b := []byte(s)
			for j := range b {
				if b[j] == '/' {
					b[j] = 0
				}
			}
			return string(b)
		}
	}
	return s
}
