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
func (v *Value) Type() FieldType { return v.typ }

// Float returns the value of type [Float].
func (v *Value) Float() float64 { return math.Float64frombits(v.bits) }

// Integer returns the value of type [Integer].
func (v *Value) Integer() int64 { return int64(v.bits) }

// Boolean returns the value of type [Boolean].
func (v *Value) Boolean() bool { return v.bits != 0 }

// Bytes returns the value of type [String]: any bytes, which are lent as the
// point is that holds the value.
func (v *Value) Bytes() []byte { return v.text }

// Number returns the value as a number, a boolean as 0 or 1; ok is false for a
// string.
func (v *Value) Number() (n float64, ok bool) {
	switch v.typ {
	case Float:
		return v.Float(), true
	case Integer:
		return float64(v.Integer()), true
	case Boolean:
		if v.Boolean() {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// finite reports whether a value of type [Float] is neither infinite nor not a
// number.
func (v *Value) finite() bool {
	const exponent = 0x7ff << 52
	return v.bits&exponent != exponent
}

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

// Size returns how many bytes the point takes in a shard of engine b1: 8 of time,
// and of each field its number and value.
func (p *Point) Size() int {
	n := 8
	for i := range p.Fields {
		switch v := &p.Fields[i].Value; v.typ {
		case Boolean:
			n += 2
		case String:
			n += 3 + len(v.text)
		default:
			n += 9
		}
	}
	return n
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

// decode decodes the fields of a point into buf, which grows if need be, and
// returns how many there are. Strings refer to b. In b fields come in any order:
// the number, 1 byte, then by type 8 bytes of a float or an integer, 1 byte of a
// boolean, or 2 bytes of length and a string. If b does not decode it returns
// why, and the field that is not defined if that is the reason.
func (s *fieldSet) decode(buf *[]FieldValue, b []byte) (n int, undefined uint8, reason string) {
	dst := *buf
	for len(b) > 0 {
		f := s.field(b[0])
		if f == nil {
			if b[0] == 0 {
				return 0, 0, "field number 0"
			}
			return 0, b[0], fmt.Sprintf("field %d is not defined", b[0])
		}
		b = b[1:]
		if n == len(dst) {
			dst = append(dst, FieldValue{})
			dst = dst[:cap(dst)]
			*buf = dst
		}
		// The value is made where it stays: a copy would wait for these stores.
		x := &dst[n]
		v := &x.Value
		x.Field, v.typ, v.bits, v.text = f, f.Type, 0, nil
		size := 0
		switch f.Type {
		case Float, Integer:
			if size = 8; len(b) >= 8 {
				v.bits = binary.BigEndian.Uint64(b)
			}
		case Boolean:
			if size = 1; len(b) >= 1 && b[0] != 0 {
				v.bits = 1
			}
		case String:
			if size = 2; len(b) >= 2 {
				size += int(binary.BigEndian.Uint16(b))
				if size == 2 && len(b) >= 2+lostLength && !s.whole(b[2:]) {
					return 0, 0, fmt.Sprintf("string %q has lost its length of 64 KiB", f.Name)
				}
				if len(b) >= size {
					v.text = b[2:size:size]
				}
			}
		default:
			return 0, 0, fmt.Sprintf("field %q has %s", f.Name, f.Type)
		}
		if len(b) < size {
			return 0, 0, fmt.Sprintf("field %q is cut off: %d of %d bytes", f.Name, len(b), size)
		}
		b = b[size:]
		if n > 0 && dst[n-1].Field.rank >= f.rank {
			n = insert(dst[:n], *x)
		} else {
			n++
		}
	}
	if n == 0 {
		return 0, 0, "point without fields"
	}
	return n, 0, ""
}

// insert puts a field, which is the one behind the list, where its name belongs,
// in place of an earlier one: of two values of one field servers take the last.
// It returns the length of the list.
func insert(list []FieldValue, v FieldValue) int {
	i := len(list)
	for i > 0 && list[i-1].Field.rank > v.Field.rank {
		i--
	}
	if i > 0 && list[i-1].Field.rank == v.Field.rank {
		list[i-1] = v
		return len(list)
	}
	longer := list[:len(list)+1]
	copy(longer[i+1:], list[i:])
	longer[i] = v
	return len(longer)
}

// whole reports whether b is fields and nothing else, as decode takes them.
func (s *fieldSet) whole(b []byte) bool {
	for len(b) > 0 {
		f := s.field(b[0])
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
