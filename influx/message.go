package influx

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is the bytes of a protobuf message.
type message struct {
	b    []byte
	off  int64 // of b in the file
	name string
}

// field is one field of a message: v is a varint, b bytes, as typ says.
type field struct {
	num protowire.Number
	typ protowire.Type
	off int64 // of the tag in the file
	raw []byte
	v   uint64
	b   []byte
	bat int64 // of b in the file
}

func (m message) errorf(off int64, format string, args ...any) error {
	return &MetaError{off, m.name, fmt.Sprintf(format, args...)}
}

// fields calls f for each field.
func (m message) fields(f func(field) error) error {
	for at := 0; at < len(m.b); {
		x := field{off: m.off + int64(at)}
		num, typ, n := protowire.ConsumeTag(m.b[at:])
		if n < 0 {
			return m.errorf(x.off, "tag: %v", protowire.ParseError(n))
		}
		k := protowire.ConsumeFieldValue(num, typ, m.b[at+n:])
		if k < 0 {
			return m.errorf(x.off, "field %d: %v", num, protowire.ParseError(k))
		}
		x.num, x.typ, x.raw = num, typ, m.b[at:at+n+k]
		switch typ {
		case protowire.VarintType:
			x.v, _ = protowire.ConsumeVarint(m.b[at+n:])
		case protowire.BytesType:
			x.b, _ = protowire.ConsumeBytes(m.b[at+n:])
			x.bat = m.off + int64(at+n+k-len(x.b))
		}
		if err := f(x); err != nil {
			return err
		}
		at += n + k
	}
	return nil
}

// uint stores a varint.
func (m message) uint(x field, dst *uint64) error {
	if x.typ != protowire.VarintType {
		return m.errorf(x.off, "field %d has wire type %d, not varint", x.num, x.typ)
	}
	*dst = x.v
	return nil
}

// bytes returns the bytes of a field.
func (m message) bytes(x field) ([]byte, error) {
	if x.typ != protowire.BytesType {
		return nil, m.errorf(x.off, "field %d has wire type %d, not bytes", x.num, x.typ)
	}
	return x.b, nil
}

func (m message) string(x field, dst *string) error {
	b, err := m.bytes(x)
	if err == nil {
		*dst = string(b)
	}
	return err
}

func (m message) duration(x field, dst *time.Duration) error {
	var v uint64
	err := m.uint(x, &v)
	*dst = time.Duration(v)
	return err
}

// time stores a time in nanoseconds since 1970.
func (m message) time(x field, dst *time.Time) error {
	var v uint64
	err := m.uint(x, &v)
	*dst = time.Unix(0, int64(v)).UTC()
	return err
}
