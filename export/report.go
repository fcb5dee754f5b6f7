package export

import (
	"slices"
)

// maxExamples bounds the errors that a report keeps.
const maxExamples = 20

// Report tells what an export did. With a checkpoint, it is about all runs.
type Report struct {
	Series int64 `json:"series"` // with a point
	Points int64 `json:"points"`
	Bytes  int64 `json:"bytes"` // before compression

	// Unreadable counts what could not be read or decoded: values, blocks,
	// pages, shards. How many points they had is not known.
	Unreadable int64 `json:"unreadable"`
	// Unwritable counts the fields, and of points without any other the points,
	// that the format has no way to write, such as names with line breaks.
	Unwritable int64 `json:"unwritable"`
	// NonFinite counts values that are not finite: left out, or made strings.
	NonFinite int64 `json:"non_finite"`
	// LineBreaks counts strings with a line break in line protocol.
	LineBreaks int64 `json:"line_breaks"`

	// SameTime counts points that have, cut to the unit of the precision, the
	// time of the point before: a server keeps one of them.
	SameTime int64 `json:"same_time"`

	// Rejected counts points that the server did not take, Retries the requests
	// that were sent again.
	Rejected int64 `json:"rejected"`
	Retries  int64 `json:"retries"`

	// Files are those that were written.
	Files []string `json:"files,omitempty"`

	// Errors are the first of those that are counted in Unreadable, Unwritable
	// and Rejected.
	Errors []error `json:"-"`
	// Resumed is set if an earlier run had done some of it.
	Resumed bool `json:"resumed,omitempty"`
}

// Lost reports whether something is missing in the export that was not asked to
// be left out.
func (r *Report) Lost() bool { return r.Unreadable > 0 || r.Unwritable > 0 || r.Rejected > 0 }

func (r *Report) fail(err error) {
	if len(r.Errors) < maxExamples {
		r.Errors = append(r.Errors, err)
	}
}

// add adds what a block counted.
func (r *Report) add(t *Report) {
	r.Points += t.Points
	r.Unreadable += t.Unreadable
	r.Unwritable += t.Unwritable
	r.NonFinite += t.NonFinite
	r.LineBreaks += t.LineBreaks
	r.SameTime += t.SameTime
	for _, err := range t.Errors {
		r.fail(err)
	}
}

// clone returns a report that does not change when r does.
func (r *Report) clone() Report {
	c := *r
	c.Files, c.Errors = slices.Clone(r.Files), slices.Clone(r.Errors)
	return c
}
