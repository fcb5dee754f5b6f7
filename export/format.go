package export

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/decimal"
)

// encoder writes points of one series after the other. Each worker has its own.
type encoder struct {
	o      *Options
	series *dataset.Series
	prefix []byte // of all points of the series
	err    error  // why the series cannot be written
	fields []influx.FieldValue

	last int64 // time of the point before, in units
	any  bool  // there is one
}

// begin goes to a series.
func (e *encoder) begin(s *dataset.Series) {
	e.series, e.err, e.any = s, nil, false
	e.prefix = e.prefix[:0]
	db, policy := e.o.renamed(s.Database, s.Policy)
	switch e.o.Format {
	case LineProtocol:
		e.prefix, e.err = influx.AppendSeries(e.prefix, s.Measurement, s.Tags)
	case CSV:
		for _, name := range []string{db, policy, s.Measurement} {
			e.prefix = append(appendCSV(e.prefix, []byte(name)), ',')
		}
		var tags []byte
		for i, t := range s.Tags {
			if i > 0 {
				tags = append(tags, ',')
			}
			tags = appendTag(append(appendTag(tags, t.Key), '='), t.Value)
		}
		e.prefix = append(appendCSV(e.prefix, tags), ',')
	case JSONLines:
		b := appendJSON(append(e.prefix, `{"database":`...), db)
		b = appendJSON(append(b, `,"policy":`...), policy)
		b = appendJSON(append(b, `,"measurement":`...), s.Measurement)
		b = append(b, `,"tags":{`...)
		for i, t := range s.Tags {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(append(appendJSON(b, t.Key), ':'), t.Value)
		}
		e.prefix = append(b, `},"time":`...)
	}
}

// point appends a point, and counts in t what it cannot write. An error ends
// the export.
func (e *encoder) point(dst []byte, p influx.Point, t *Report) ([]byte, error) {
	if e.err != nil {
		t.Unwritable++
		if t.Unwritable == 1 {
			t.fail(fmt.Errorf("series %q of %s.%s: %w", e.series.Key, e.series.Database, e.series.Policy, e.err))
		}
		return dst, nil
	}
	var err error
	if p, err = e.finite(p, t); err != nil || len(p.Fields) == 0 {
		return dst, err
	}
	if e.o.Precision > 1 {
		cut := floor(p.Time, e.o.Precision)
		if e.any && cut == e.last {
			t.SameTime++
		}
		e.last, e.any = cut, true
	}
	switch e.o.Format {
	case CSV:
		return e.csv(dst, p), nil
	case JSONLines:
		return e.json(dst, p), nil
	}
	for i := range p.Fields {
		if v := &p.Fields[i].Value; v.Type() == influx.String && bytes.IndexByte(v.Bytes(), '\n') >= 0 {
			t.LineBreaks++
		}
	}
	out, err := influx.AppendPoint(dst, e.prefix, p, e.o.Precision)
	if err != nil {
		skipped := 1
		var le *influx.LineError
		if errors.As(err, &le) {
			skipped = max(le.Skipped, 1)
		}
		t.Unwritable += int64(skipped)
		t.fail(fmt.Errorf("series %q of %s.%s: %w", e.series.Key, e.series.Database, e.series.Policy, err))
	}
	return out, nil
}

// finite returns the point without values that are not finite, or with strings
// in their place.
func (e *encoder) finite(p influx.Point, t *Report) (influx.Point, error) {
	bad := 0
	for i := range p.Fields {
		if isNonFinite(&p.Fields[i].Value) {
			bad++
		}
	}
	if bad == 0 {
		return p, nil
	}
	t.NonFinite += int64(bad)
	if e.o.NonFinite == NonFiniteFail {
		return p, nonFiniteError(e.series, p.Time)
	}
	// The fields are lent: another slice for other values.
	e.fields = e.fields[:0]
	for _, f := range p.Fields {
		if isNonFinite(&f.Value) {
			if e.o.NonFinite == NonFiniteSkip {
				continue
			}
			f.Value = influx.StringValue([]byte(f.Value.String()))
		}
		e.fields = append(e.fields, f)
	}
	p.Fields = e.fields
	return p, nil
}

// nonFiniteError is the end of an export that is to fail.
func nonFiniteError(s *dataset.Series, at int64) error {
	return fmt.Errorf("series %q of %s.%s at %s: %w", s.Key, s.Database, s.Policy, time.Unix(0, at).UTC().Format(time.RFC3339Nano), ErrNonFinite)
}

// floor returns a time in units, cut towards the past.
func floor(t int64, unit influx.Precision) int64 {
	q := t / int64(unit)
	if t%int64(unit) < 0 {
		q--
	}
	return q
}

func isNonFinite(v *influx.Value) bool {
	const exponent = 0x7ff << 52
	return v.Type() == influx.Float && math.Float64bits(v.Float())&exponent == exponent
}

func (e *encoder) csv(b []byte, p influx.Point) []byte {
	for i := range p.Fields {
		f := &p.Fields[i]
		b = append(b, e.prefix...)
		b = append(decimal.AppendInt(b, floor(p.Time, e.o.Precision)), ',')
		b = append(appendCSV(b, []byte(f.Field.Name)), ',')
		b = append(append(b, f.Value.Type().String()...), ',')
		switch f.Value.Type() {
		case influx.String:
			b = appendCSV(b, f.Value.Bytes())
		case influx.Integer:
			b = decimal.AppendInt(b, f.Value.Integer())
		case influx.Float:
			b = appendFloat(b, f.Value.Float())
		case influx.Boolean:
			b = strconv.AppendBool(b, f.Value.Boolean())
		}
		b = append(b, '\n')
	}
	return b
}

// appendCSV appends a cell, in quotes where RFC 4180 wants them; an empty one is
// in quotes as well, since a row of one empty cell would be an empty line.
func appendCSV(b, cell []byte) []byte {
	if len(cell) > 0 && !bytes.ContainsAny(cell, "\",\n\r") && cell[0] != ' ' && cell[0] != '\t' {
		return append(b, cell...)
	}
	b = append(b, '"')
	for _, c := range cell {
		if c == '"' {
			b = append(b, '"')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// appendTag appends a name or value of a tag as series keys have it.
func appendTag(b []byte, s string) []byte {
	for i := range len(s) {
		if s[i] == ',' || s[i] == ' ' || s[i] == '=' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return b
}

func (e *encoder) json(b []byte, p influx.Point) []byte {
	b = append(b, e.prefix...)
	b = decimal.AppendInt(b, floor(p.Time, e.o.Precision))
	b = append(b, `,"fields":{`...)
	for i := range p.Fields {
		f := &p.Fields[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSON(b, f.Field.Name), ':')
		switch f.Value.Type() {
		case influx.String:
			b = appendJSON(b, f.Value.Bytes())
		case influx.Integer:
			b = decimal.AppendInt(b, f.Value.Integer())
		case influx.Float:
			b = appendFloat(b, f.Value.Float())
		case influx.Boolean:
			b = strconv.AppendBool(b, f.Value.Boolean())
		}
	}
	return append(b, "}}\n"...)
}

// appendFloat appends the shortest text that reads back as v, always with a
// point or an exponent.
func appendFloat(b []byte, v float64) []byte {
	n := len(b)
	b = decimal.AppendFloat(b, v)
	if !bytes.ContainsAny(b[n:], ".e") {
		b = append(b, ".0"...)
	}
	return b
}

const hexDigits = "0123456789abcdef"

// appendJSON appends a JSON string. A byte b that is not part of UTF-8 becomes
// the escape of U+DC00+b, which no UTF-8 can mean.
func appendJSON[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c < ' ' || c == 0x7f:
			b = append(b, `\u00`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && size <= 1 {
				b = append(b, `\udc`...)
				b = append(b, hexDigits[c>>4], hexDigits[c&15])
			} else {
				b = append(b, s[i:i+size]...)
			}
			i += size
			continue
		}
		i++
	}
	return append(b, '"')
}
