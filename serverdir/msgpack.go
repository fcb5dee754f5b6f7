package serverdir

import "encoding/binary"

// The log of a raft node is in MessagePack as it was until 2013, which had one
// kind of raw bytes for texts and binaries alike. The servers read nothing
// else, and the libraries of today write the newer kinds.

// appendRaw appends raw bytes.
func appendRaw(b, raw []byte) []byte {
	switch n := len(raw); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, raw...)
}

// appendText appends a text.
func appendText(b []byte, s string) []byte { return appendRaw(b, []byte(s)) }

// appendSmall appends a number below 128.
func appendSmall(b []byte, n uint8) []byte { return append(b, n&0x7f) }

// appendMap and appendArray begin a map and an array of n elements, fewer than
// 16.
func appendMap(b []byte, n int) []byte   { return append(b, 0x80|byte(n&15)) }
func appendArray(b []byte, n int) []byte { return append(b, 0x90|byte(n&15)) }
