package influx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Value is the value of a field. The zero Value has no type.
type Value struct {
	typ  FieldType
	bits uint64
	text []byte
}

// FloatValue returns a value of type [Float].
func FloatValue(v float64) Value { return Value{typ: Float, bits: math.Float64bits(v)} }

// IntegerValue returns a value of type [Integer].
func IntegerValue(v int64) Value { return Value{typ: Integer, bits: uint64(v)} }

// BooleanValue returns a value of type [Boolean].
func BooleanValue(v bool) Value {
	if v {
		return Value{typ: Boolean, bits: 1}
	}
	return Value{typ: Boolean}
}

// StringValue returns a value of type [String], which refers to v.
func StringValue(v []byte) Value { return Value{typ: String, text: v} }

// Type returns the value's type.
func (v Value) Type() FieldType { return v.typ }

// Float returns the value of type [Float].
func (v Value) Float() float64 { return math.Float64frombits(v.bits) }

// Integer returns the value of type [Integer].
func (v Value) Integer() int64 { return int64(v.bits) }

// Boolean returns the value of type [Boolean].
func (v Value) Boolean() bool { return v.bits != 0 }

// Bytes returns the value of type [String]: any bytes, which are lent as the
// point is that holds the value.
func (v Value) Bytes() []byte { return v.text }

// Any returns the value as float64, int64, bool or string; nil if it has no type.
func (v Value) Any() any {
	switch v.typ {
	case Float:
		return v.Float()
	case Integer:
		return v.Integer()
	case Boolean:
		return v.Boolean()
	case String:
		return string(v.text)
	}
	return nil
}

// String returns the value as text, strings as they are.
func (v Value) String() string {
	switch v.typ {
	case Float:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case Integer:
		return strconv.FormatInt(v.Integer(), 10)
	case Boolean:
		return strconv.FormatBool(v.Boolean())
	}
	return string(v.text)
}

// Point is a point of a series.
type Point struct {
	Time   int64        // nanoseconds since 1970
	Fields []FieldValue // in the order of names, each once; at least one
}

// FieldValue is a field of a point.
type FieldValue struct {
	Field *Field
	Value Value
}

// Clone returns a point with memory of its own.
func (p Point) Clone() Point {
	p.Fields = slices.Clone(p.Fields)
	for i := range p.Fields {
		v := &p.Fields[i].Value
		v.text = slices.Clone(v.text)
	}
	return p
}

// lostLength is how many bytes a string has whose length did not fit: servers
// cut longer ones at 64 KiB, and the length of that, in 16 bits, is 0.
const lostLength = 1 << 16

// decode decodes the fields of a point into dst, whose memory it uses. Strings
// refer to b. In b fields come in any order: the number, 1 byte, then by type
// 8 bytes of a float or an integer, 1 byte of a boolean, or 2 bytes of length
// and a string. If b does not decode it returns why, and the field that is not
// defined if that is the reason.
func (s *fieldSet) decode(dst []FieldValue, b []byte) (fields []FieldValue, undefined uint8, reason string) {
	dst = dst[:0]
	for at := 0; at < len(b); {
		id := b[at]
		f := s.byID[id]
		if f == nil {
			if id == 0 {
				return dst, 0, fmt.Sprintf("field number 0 at byte %d", at)
			}
			return dst, id, fmt.Sprintf("field %d is not defined", id)
		}
		rest := b[at+1:]
		v := Value{typ: f.Type}
		n := 0
		switch f.Type {
		case Float, Integer:
			if n = 8; len(rest) >= n {
				v.bits = binary.BigEndian.Uint64(rest)
			}
		case Boolean:
			if n = 1; len(rest) >= n && rest[0] != 0 {
				v.bits = 1
			}
		case String:
			if n = 2; len(rest) >= n {
				size := int(binary.BigEndian.Uint16(rest))
				if size == 0 && len(rest) >= n+lostLength && !s.whole(rest[n:]) {
					return dst, 0, fmt.Sprintf("string %q has lost its length of 64 KiB", f.Name)
				}
				if n += size; len(rest) >= n {
					v.text = rest[2:n:n]
				}
			}
		default:
			return dst, 0, fmt.Sprintf("field %q has %s", f.Name, f.Type)
		}
		if len(rest) < n {
			return dst, 0, fmt.Sprintf("field %q is cut off: %d of %d bytes", f.Name, len(rest), n)
		}
		at += 1 + n
		dst = insert(dst, FieldValue{f, v})
	}
	if len(dst) == 0 {
		return dst, 0, "point without fields"
	}
	return dst, 0, ""
}

// insert puts a field where its name belongs, in place of an earlier one: of
// two values of one field servers take the last.
func insert(list []FieldValue, v FieldValue) []FieldValue {
	i := len(list)
	for i > 0 && list[i-1].Field.rank > v.Field.rank {
		i--
	}
	if i > 0 && list[i-1].Field.rank == v.Field.rank {
		list[i-1] = v
		return list
	}
	list = append(list, v)
	if i < len(list)-1 {
		copy(list[i+1:], list[i:])
		list[i] = v
	}
	return list
}

// whole reports whether b is fields and nothing else.
func (s *fieldSet) whole(b []byte) bool {
	for len(b) > 0 {
		f := s.byID[b[0]]
		if f == nil {
			return false
		}
		n := 0
		switch f.Type {
		case Float, Integer:
			n = 9
		case Boolean:
			n = 2
		case String:
			if n = 3; len(b) >= n {
				n += int(binary.BigEndian.Uint16(b[1:]))
			}
		default:
			return false
		}
		if len(b) < n {
			return false
		}
		b = b[n:]
	}
	return true
}
