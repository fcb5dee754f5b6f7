package serverdir

import (
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// value is the value of a field of a message: bytes, or a number.
type value struct {
	bytes  []byte
	number uint64
}

// fields yields the values of the fields with a number and a type, up to where
// the message is broken.
func fields(msg []byte, want protowire.Number, typ protowire.Type) iter.Seq[value] {
	return func(yield func(value) bool) {
		for len(msg) > 0 {
			num, t, n := protowire.ConsumeTag(msg)
			if n < 0 {
				return
			}
			k := protowire.ConsumeFieldValue(num, t, msg[n:])
			if k < 0 {
				return
			}
			if num == want && t == typ {
				var v value
				v.bytes, _ = protowire.ConsumeBytes(msg[n:])
				v.number, _ = protowire.ConsumeVarint(msg[n:])
				if !yield(v) {
					return
				}
			}
			msg = msg[n+k:]
		}
	}
}

// nested yields the bytes of fields in messages in messages, by their numbers
// from the outermost inwards.
func nested(msg []byte, path ...protowire.Number) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { dive(msg, path, yield) }
}

func dive(msg []byte, path []protowire.Number, yield func([]byte) bool) bool {
	if len(path) == 0 {
		return yield(msg)
	}
	for v := range fields(msg, path[0], protowire.BytesType) {
		if !dive(v.bytes, path[1:], yield) {
			return false
		}
	}
	return true
}

// text returns a field of a message; of several the last counts.
func text(msg []byte, num protowire.Number) (s string) {
	for v := range fields(msg, num, protowire.BytesType) {
		s = string(v.bytes)
	}
	return s
}

// varint returns a number in a message; of several the last counts.
func varint(msg []byte, num protowire.Number) (n uint64) {
	for v := range fields(msg, num, protowire.VarintType) {
		n = v.number
	}
	return n
}
