package influx

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/snapfs/snapfs/internal/decimal"
)

// Precision is the unit of times in line protocol, in nanoseconds. The zero
// value stands for [Nanosecond].
type Precision int64

// The units that servers know.
const (
	Nanosecond  Precision = 1
	Microsecond Precision = 1e3
	Millisecond Precision = 1e6
	Second      Precision = 1e9
)

// LineError tells what of a point or series is not in the line. It is [ErrLine]
// or [ErrNonFinite].
type LineError struct {
	Name    string // of the measurement, tag or field; of the first, if it is about several
	Skipped int    // fields that were left out; 0 if it is about a measurement or tag
	Reason  string
	Err     error // ErrLine or ErrNonFinite, for the first
}

func (e *LineError) Error() string {
	return fmt.Sprintf("write %q as line protocol: %s", e.Name, e.Reason)
}

// Unwrap returns Err.
func (e *LineError) Unwrap() error { return e.Err }

// AppendSeries appends measurement and tags as line protocol, escaped; that is
// all of a line up to the blank before the fields. A tag without a value is left
// out: for servers that is the same.
//
// It returns dst and a [*LineError] if there is no way to write a name: it is
// empty, ends in a backslash, has a line break, or is a measurement that starts
// with "#".
func AppendSeries(dst []byte, measurement string, tags []Tag) ([]byte, error) {
	b, reason := appendName(dst, measurement, measurementSpecial)
	if reason == "" && measurement[0] == '#' {
		reason = "starts with #"
	}
	if reason != "" {
		return dst, &LineError{Name: measurement, Reason: reason, Err: ErrLine}
	}
	for _, t := range tags {
		if t.Value == "" {
			continue
		}
		if b, reason = appendName(append(b, ','), t.Key, tagSpecial); reason == "" {
			b, reason = appendName(append(b, '='), t.Value, tagSpecial)
		}
		if reason != "" {
			return dst, &LineError{Name: t.Key, Reason: reason, Err: ErrLine}
		}
	}
	return b, nil
}

// appendName appends a name with its special bytes escaped, or returns why that
// is not possible.
func appendName(dst []byte, name, special string) ([]byte, string) {
	switch {
	case name == "":
		return dst, "name is empty"
	case name[len(name)-1] == '\\':
		return dst, "ends in a backslash"
	case strings.ContainsAny(name, "\n\r"):
		return dst, "has a line break"
	}
	return escape(dst, name, special), ""
}

// AppendPoint appends a line of line protocol, with its line break. series is
// what [AppendSeries] made. Times are cut to the unit, towards the past.
//
// A field that cannot be written, since its value is not finite or its name is
// not possible, is left out, and AppendPoint returns a [*LineError] besides the
// line; if no field is left, there is no line. Who wants such a value in another
// form can change p.Fields before.
func AppendPoint(dst, series []byte, p Point, prec Precision) ([]byte, error) {
	b := append(dst, series...)
	first := len(b)
	var skipped *LineError
	for i := range p.Fields {
		f := &p.Fields[i]
		if f.Field.line == nil || f.Value.typ == Float && !f.Value.finite() || f.Value.typ-Float > String-Float {
			if reason, kind := unwritable(f); reason != "" {
				if skipped == nil {
					skipped = &LineError{Name: f.Field.Name, Reason: reason, Err: kind}
				}
				skipped.Skipped++
				continue
			}
			b = append(escape(append(b, ','), f.Field.Name, fieldKeySpecial), '=')
		} else {
			b = append(b, f.Field.line...)
		}
		b = appendValue(b, &f.Value)
	}
	if len(b) == first {
		if skipped == nil {
			return dst, &LineError{Reason: "point has no fields", Err: ErrLine}
		}
		return dst, skipped
	}
	b[first] = ' ' // in place of the comma
	b = decimal.AppendInt(append(b, ' '), prec.floor(p.Time))
	b = append(b, '\n')
	if skipped != nil {
		return b, skipped
	}
	return b, nil
}

// unwritable returns why a field cannot be written, "" if it can.
func unwritable(f *FieldValue) (reason string, kind error) {
	switch f.Value.typ {
	case Float:
		if !f.Value.finite() {
			return "value is " + f.Value.String(), ErrNonFinite
		}
	case Integer, Boolean, String:
	default:
		return "value has no type", ErrLine
	}
	if _, reason := appendName(nil, f.Field.Name, fieldKeySpecial); reason != "" {
		return reason, ErrLine
	}
	return "", nil
}

func (p Precision) floor(t int64) int64 {
	if p <= 1 {
		return t
	}
	q := t / int64(p)
	if t%int64(p) < 0 {
		q--
	}
	return q
}

// appendValue appends a value that is finite and has a type.
func appendValue(dst []byte, v *Value) []byte {
	switch v.typ {
	case Float:
		return decimal.AppendFloat(dst, math.Float64frombits(v.bits))
	case Integer:
		return append(decimal.AppendInt(dst, int64(v.bits)), 'i')
	case Boolean:
		return strconv.AppendBool(dst, v.bits != 0)
	}
	dst = append(dst, '"')
	for text := v.text; ; {
		i := bytes.IndexAny(text, `"\`)
		if i < 0 {
			return append(append(dst, text...), '"')
		}
		dst = append(append(dst, text[:i]...), '\\', text[i])
		text = text[i+1:]
	}
}
