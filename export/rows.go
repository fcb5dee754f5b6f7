package export

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
)

// tableWriter writes the rows of one table.
type tableWriter struct {
	x     *parquetExport
	table *table
	w     *parquet.GenericWriter[any] // nil before the first row
	byID  map[fieldKey]int
	cols  map[*influx.Field]int // into columns, -1 for none

	row    []parquet.Value // tags of the series, the rest null
	values []parquet.Value // of rows that are not written
	rows   []parquet.Row
	text   []byte // strings of values
	group  int64  // bytes of the row group
	inRows int64  // rows of it
	inFile int64  // bytes of the file
	last   int64  // time of the row before, in units
	any    bool   // there is one of the series
}

type fieldKey struct {
	name string
	typ  influx.FieldType
}

// begin goes to a series.
func (w *tableWriter) begin(s *dataset.Series) {
	if w.byID == nil {
		w.byID = map[fieldKey]int{}
		for i, c := range w.table.columns {
			if c.Kind == "field" {
				w.byID[fieldKey{c.raw, c.Type}] = i
			}
		}
	}
	w.any = false
	if w.cols == nil || len(w.cols) > 1<<12 { // definitions come and go
		w.cols = map[*influx.Field]int{}
	}
	w.row = slices.Grow(w.row[:0], len(w.table.columns))[:len(w.table.columns)]
	bad := false
	for i, c := range w.table.columns {
		w.row[i] = parquet.NullValue().Level(0, 0, i)
		if c.Kind != "tag" {
			continue
		}
		for _, t := range s.Tags {
			if t.Key == c.raw && t.Value != "" {
				bad = bad || !utf8.ValidString(t.Value)
				w.row[i] = parquet.ByteArrayValue([]byte(strings.ToValidUTF8(t.Value, "�"))).Level(0, 1, i)
			}
		}
	}
	if bad {
		w.replaced(s, "a tag")
	}
}

// replaced counts what is not UTF-8.
func (w *tableWriter) replaced(s *dataset.Series, what string) {
	w.x.report.Unwritable++
	w.x.report.fail(fmt.Errorf("series %q of %s.%s: %s is not UTF-8: U+FFFD is in place of what is not", s.Key, s.Database, s.Policy, what))
}

// series writes the points of a series.
func (w *tableWriter) series(ctx context.Context, s *dataset.Series) error {
	before := w.x.report.Points
	n := 0
	for p, err := range w.x.set.Points(*s, w.x.o.Filter) {
		if n++; n&1023 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			w.x.report.Unreadable++
			w.x.report.fail(err)
			continue
		}
		if err := w.point(s, p); err != nil {
			return err
		}
	}
	if w.x.report.Points > before {
		w.x.report.Series++
	}
	return ctx.Err()
}

// point adds a row, unless no field is left. Where files are split, it begins
// another one if this has no room for all fields.
func (w *tableWriter) point(s *dataset.Series, p influx.Point) error {
	if w.x.split > 0 && w.inFile > 0 {
		most := w.inFile + rowBytes(len(w.row))
		for i := range p.Fields {
			most += cellBytes(&p.Fields[i].Value)
		}
		if most > w.x.split {
			if err := w.close(); err != nil {
				return err
			}
		}
	}
	at := len(w.values)
	w.values = append(w.values, w.row...)
	row := w.values[at:len(w.values):len(w.values)]
	fields, size := 0, rowBytes(len(row))
	for i := range p.Fields {
		f := &p.Fields[i]
		c, ok := w.cols[f.Field]
		if !ok {
			if c, ok = w.byID[fieldKey{f.Field.Name, f.Field.Type}]; !ok {
				c = -1
			}
			w.cols[f.Field] = c
		}
		if c < 0 {
			w.x.report.Unwritable++
			w.x.report.fail(fmt.Errorf("series %q of %s.%s: field %q: no shard defines it", s.Key, s.Database, s.Policy, f.Field.Name))
			continue
		}
		v, err := w.value(s, p.Time, &f.Value)
		if err != nil {
			return err
		}
		if v.IsNull() {
			continue
		}
		row[c] = v.Level(0, 1, c)
		fields++
		size += cellBytes(&f.Value)
	}
	if fields == 0 {
		w.values = w.values[:at]
		return nil
	}
	t := floor(p.Time, w.x.o.Precision)
	if w.any && t == w.last {
		w.x.report.SameTime++
	}
	w.last, w.any = t, true
	row[0] = parquet.Int64Value(t).Level(0, 0, 0)
	w.rows = append(w.rows, row)
	w.x.report.Points++
	w.group += size
	w.inFile += size
	w.inRows++
	if len(w.values)+len(row) > batchValues || len(w.text) > batchBytes {
		return w.flush()
	}
	return nil
}

// rowBytes returns what a row of so many columns takes before encoding, without
// its fields: a time, and what says which columns have something.
func rowBytes(columns int) int64 { return int64(8 + columns/4) }

// cellBytes returns what a field takes besides.
func cellBytes(v *influx.Value) int64 { return int64(8 + len(v.Bytes())) }

// value returns what is in a cell, null if it is left out.
func (w *tableWriter) value(s *dataset.Series, at int64, v *influx.Value) (parquet.Value, error) {
	switch v.Type() {
	case influx.Float:
		if isNonFinite(v) {
			switch w.x.o.NonFinite {
			case NonFiniteFail:
				return parquet.Value{}, nonFiniteError(s, at)
			case NonFiniteSkip:
				w.x.report.NonFinite++
				return parquet.Value{}, nil
			}
		}
		return parquet.DoubleValue(v.Float()), nil
	case influx.Integer:
		return parquet.Int64Value(v.Integer()), nil
	case influx.Boolean:
		return parquet.BooleanValue(v.Boolean()), nil
	}
	from := len(w.text)
	if w.text = append(w.text, v.Bytes()...); !utf8.Valid(v.Bytes()) {
		w.text = append(w.text[:from], strings.ToValidUTF8(string(v.Bytes()), "�")...)
		w.replaced(s, "a string at "+time.Unix(0, at).UTC().Format(time.RFC3339Nano))
	}
	return parquet.ByteArrayValue(w.text[from:len(w.text):len(w.text)]), nil
}

// flush gives the rows to the library, and ends a row group that is large.
func (w *tableWriter) flush() error {
	if w.w == nil {
		out, err := w.x.create(w.table)
		if err != nil {
			return err
		}
		if w.w, err = w.x.writer(out, w.table); err != nil {
			return err
		}
	}
	_, err := w.w.WriteRows(w.rows)
	// Strings of rows may be in an array that text has outgrown.
	w.values, w.rows, w.text = w.values[:0], w.rows[:0], w.text[:0]
	if err == nil && (w.group >= groupBytes || w.inRows >= groupRows) {
		w.group, w.inRows = 0, 0
		err = w.w.Flush()
	}
	return err
}

// close ends the table, or a part of it: a row begins another one.
func (w *tableWriter) close() error {
	if w == nil {
		return nil
	}
	if len(w.rows) > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.w == nil {
		return nil // not one row
	}
	if err := w.w.Close(); err != nil {
		return err
	}
	w.w, w.group, w.inRows, w.inFile = nil, 0, 0, 0
	return w.x.finish()
}
