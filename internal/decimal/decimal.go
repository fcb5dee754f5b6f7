// Package decimal writes numbers as text, with the bytes that package strconv
// writes, in less time where they are usual: measured values have few digits.
// An export spends most of its time here.
package decimal

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// AppendFloat appends the shortest decimal that reads back as v, with an
// exponent if v is below 1e-6 or not below 1e21, as [strconv.AppendFloat] does
// with the formats 'f' and 'e' and the precision -1.
func AppendFloat(dst []byte, v float64) []byte {
	// A decimal of up to 15 digits is the only one of up to 15 digits that reads
	// back as the float next to it: if one is found, it is the shortest. The
	// quotient of two integers that floats have is rounded once, as a reader does.
	a := math.Abs(v)
	switch {
	case a < 1e9:
		// Conversions from and to int64 are one instruction, others are not.
		if k := int64(a*1e3 + 0.5); float64(k)/1e3 == a {
			if k < 1e8 {
				return appendThousandths(sign(dst, v), uint32(k))
			}
			return appendScaled(sign(dst, v), uint64(k)/1e3, uint32(uint64(k)%1e3), 3)
		}
		if k := int64(a*1e6 + 0.5); float64(k)/1e6 == a {
			return appendScaled(sign(dst, v), uint64(k)/1e6, uint32(uint64(k)%1e6), 6)
		}
	case a < 1e15 && float64(int64(a)) == a:
		return AppendUint(sign(dst, v), uint64(a))
	}
	format := byte('f')
	if a < 1e-6 || a >= 1e21 {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, 64)
}

// sign appends the sign of v, which zero has as well.
func sign(dst []byte, v float64) []byte {
	if math.Signbit(v) {
		return append(dst, '-')
	}
	return dst
}

// appendThousandths appends k/1000, k being below 1e8, without zeros at its end.
func appendThousandths(dst []byte, k uint32) []byte {
	x := eight(k)
	d := x & 0x0f0f0f0f0f0f0f0f
	zeros := min(bits.TrailingZeros64(d)/8, 4) // one of the 5 digits before the point stays
	dst = append8(dst, x>>(8*zeros), 5-zeros)
	if d >>= 40; d != 0 {
		dst = append8(dst, x>>40<<8|'.', 1+(bits.Len64(d)+7)/8)
	}
	return dst
}

// appendScaled appends a number with a fraction of so many digits, without the
// zeros at its end.
func appendScaled(dst []byte, whole uint64, fraction uint32, digits int) []byte {
	dst = AppendUint(dst, whole)
	if fraction == 0 {
		return dst
	}
	x := eight(fraction) >> (8 * (8 - digits))
	// The last digit is the highest byte: what is left of those that are not zero
	// after the others.
	n := (bits.Len64(x&0x0f0f0f0f0f0f0f0f) + 7) / 8
	dst = append(dst, '.')
	return append8(dst, x, n)
}

// AppendInt appends v, as [strconv.AppendInt] does.
func AppendInt(dst []byte, v int64) []byte {
	if v < 0 {
		return AppendUint(append(dst, '-'), -uint64(v))
	}
	return AppendUint(dst, uint64(v))
}

// AppendUint appends v, as [strconv.AppendUint] does.
func AppendUint(dst []byte, v uint64) []byte {
	if v < 1e8 {
		return appendFirst(dst, uint32(v))
	}
	high, low := v/1e8, uint32(v%1e8)
	if high < 1e8 {
		dst = appendFirst(dst, uint32(high))
	} else {
		dst = appendFirst(dst, uint32(high/1e8))
		dst = append8(dst, eight(uint32(high%1e8)), 8)
	}
	return append8(dst, eight(low), 8)
}

// appendFirst appends a number below 1e8, without zeros before it.
func appendFirst(dst []byte, v uint32) []byte {
	if v < 10 {
		return append(dst, '0'+byte(v))
	}
	x := eight(v)
	zeros := bits.TrailingZeros64(x&0x0f0f0f0f0f0f0f0f) / 8
	return append8(dst, x>>(8*zeros), 8-zeros)
}

// append8 appends the n lowest bytes of x, the lowest first.
func append8(dst []byte, x uint64, n int) []byte {
	return binary.LittleEndian.AppendUint64(dst, x)[:len(dst)+n]
}

// eight returns the 8 digits of a number below 1e8, the first in the lowest
// byte. It splits all parts of a word at once: in halves of 4 digits, then 2,
// then 1. The products divide by 100 and by 10 for numbers that are so small.
func eight(v uint32) uint64 {
	x := uint64(v/1e4) | uint64(v%1e4)<<32
	q := x * 10486 >> 20 & 0x0000007f_0000007f
	x = q | (x-q*100)<<16
	q = x * 103 >> 10 & 0x000f_000f_000f_000f
	x = q | (x-q*10)<<8
	return x | 0x3030303030303030
}
