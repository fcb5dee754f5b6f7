package influx

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// FieldType is the type of a field's values, with the numbers of InfluxQL.
type FieldType uint8

// The types of fields. Points can have values of these; what else InfluxQL
// numbers does not occur in shards.
const (
	Float   FieldType = 1
	Integer FieldType = 2
	Boolean FieldType = 3
	String  FieldType = 4
)

// String returns the word of InfluxQL.
func (t FieldType) String() string {
	switch t {
	case Float:
		return "float"
	case Integer:
		return "integer"
	case Boolean:
		return "boolean"
	case String:
		return "string"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// MarshalText returns what String returns.
func (t FieldType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// fieldType returns the type that a word of InfluxQL means, 0 if none.
func fieldType(word string) FieldType {
	for t := Float; t <= String; t++ {
		if t.String() == word {
			return t
		}
	}
	return 0
}

// Field is a field of a measurement. Its number holds in one shard only.
type Field struct {
	ID   uint8     `json:"id"` // from 1
	Name string    `json:"name"`
	Type FieldType `json:"type"`

	rank int    // in the order of names
	line []byte // comma, name in line protocol, equals sign; nil if it has no such name or was not made
}

// fieldSet is the fields of a measurement, as points refer to them.
type fieldSet struct {
	byID []*Field // by their numbers, up to the highest
	list []Field  // by name; one for each number
	all  bool     // there are no other definitions that could be asked for
}

// newFieldSet makes a set. Of several fields with one number the first counts.
// Fields of one name, which no server defines, share a rank: a point shows one.
func newFieldSet(fields []Field) *fieldSet {
	s := new(fieldSet)
	var seen [256]bool
	last := uint8(0)
	for _, f := range fields {
		if f.ID != 0 && !seen[f.ID] {
			seen[f.ID] = true
			s.list = append(s.list, f)
			last = max(last, f.ID)
		}
	}
	s.byID = make([]*Field, int(last)+1)
	slices.SortStableFunc(s.list, func(a, b Field) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	for i := range s.list {
		f := &s.list[i]
		f.rank = i
		if i > 0 && f.Name == s.list[i-1].Name {
			f.rank = s.list[i-1].rank
		}
		if line, reason := appendName([]byte{','}, f.Name, fieldKeySpecial); reason == "" {
			f.line = append(line, '=')
		}
		s.byID[f.ID] = f
	}
	return s
}

// field returns the field with a number, nil if there is none.
func (s *fieldSet) field(id uint8) *Field {
	if int(id) < len(s.byID) {
		return s.byID[id]
	}
	return nil
}

// parseFields decodes the protobuf message MeasurementFields, which the bucket
// "fields" of b1 holds per measurement: 1 repeated Field {1 ID, 2 Name, 3 Type}.
// It is strict, as it also has to tell such messages from the points of a
// measurement that is called "fields".
func parseFields(b []byte) ([]Field, error) {
	var list []Field
	m := message{b: b, name: "MeasurementFields"}
	err := m.fields(func(x field) error {
		if x.num != 1 || x.typ != protowire.BytesType {
			return m.errorf(x.off, "field %d is not known", x.num)
		}
		f, err := parseField(message{b: x.b, off: x.bat, name: "Field"})
		if err != nil {
			return err
		}
		if len(list) == 255 {
			return m.errorf(x.off, "more than 255 fields")
		}
		list = append(list, f)
		return nil
	})
	return list, err
}

func parseField(m message) (f Field, err error) {
	var id, typ uint64
	err = m.fields(func(x field) error {
		switch x.num {
		case 1:
			return m.uint(x, &id)
		case 2:
			return m.string(x, &f.Name)
		case 3:
			return m.uint(x, &typ)
		}
		return m.errorf(x.off, "field %d is not known", x.num)
	})
	if err != nil {
		return f, err
	}
	if id < 1 || id > 255 {
		return f, m.errorf(m.off, "number %d of a field is not 1 to 255", id)
	}
	if typ > 255 {
		return f, m.errorf(m.off, "type %d of a field", typ)
	}
	f.ID, f.Type = uint8(id), FieldType(typ)
	return f, nil
}
