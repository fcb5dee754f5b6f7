package tarindex

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
)

// plain is what a header of the plain kind says: one that means the same to
// archive/tar, whatever came before it.
type plain struct {
	prefix, name, link []byte
	size, mtime        int64
	nsec               uint32
	mode               uint16
	typ                byte
}

// Fields of a header, POSIX.1-1988 and GNU tar.
const (
	offMode, offUID, offGID = 100, 108, 116
	offSize, offMtime       = 124, 136
	offSum, offType         = 148, 156
	offLink, offMagic       = 157, 257
	offMajor, offMinor      = 329, 337
	offPrefix               = 345
	offGNUAtime             = 345
	offGNUCtime             = 357
	offSparse               = 386
	offStarTrailer          = 508
)

// parsePlain parses a header if it is of the plain kind. ok is false if it is
// not, or if anything about it is odd; then archive/tar must decide.
func parsePlain(b *[blockSize]byte) (h plain, ok bool) {
	switch b[offType] {
	case tar.TypeReg, 0, tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo, tar.TypeCont:
		return parseHeader(b)
	}
	return h, false
}

// parseHeader is parsePlain for a header of any type.
func parseHeader(b *[blockSize]byte) (h plain, ok bool) {
	h.typ = b[offType]
	sum, ok := octal(b[offSum : offSum+8])
	if !ok || sum != checksum(b) {
		return h, false
	}
	mode, ok1 := octal8(b, offMode)
	_, ok2 := octal8(b, offUID)
	_, ok3 := octal8(b, offGID)
	size, ok4 := octal(b[offSize : offSize+12])
	mtime, ok5 := octal(b[offMtime : offMtime+12])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return h, false
	}
	h.mode, h.size, h.mtime = uint16(mode&0o7777), size, mtime
	h.name = cstring(b[:100])
	if h.typ == tar.TypeLink {
		h.link = cstring(b[offLink : offLink+100])
	}
	switch magic := b[offMagic : offMagic+8]; {
	case string(magic[:6]) == "ustar\x00":
		if string(b[offStarTrailer:]) == "tar\x00" {
			return h, false
		}
		h.prefix = cstring(b[offPrefix : offPrefix+155])
	case string(magic) == "ustar  \x00":
		// With times there, archive/tar guesses whether they are a prefix.
		if b[offGNUAtime] != 0 || b[offGNUCtime] != 0 {
			return h, false
		}
	default:
		return h, true // V7 ends here
	}
	_, ok1 = octal8(b, offMajor)
	_, ok2 = octal8(b, offMinor)
	return h, ok1 && ok2
}

// checksum sums the bytes of a header, its own field taken for spaces. Sums of
// signed bytes, which Sun's tar wrote, are left to archive/tar.
func checksum(b *[blockSize]byte) int64 {
	const even = 0x00ff00ff00ff00ff
	var sums uint64 // four sums of 16 bits: 128 bytes go into each
	for i := 0; i < blockSize; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		sums += x&even + x>>8&even
	}
	x := binary.LittleEndian.Uint64(b[offSum:])
	sums -= x&even + x>>8&even
	return int64(sums&0xffff+sums>>16&0xffff+sums>>32&0xffff+sums>>48) + 8*' '
}

// octal8 parses the numeric field of 8 bytes at off.
func octal8(b *[blockSize]byte, off int) (int64, bool) {
	// Nearly always: seven digits and NUL.
	x := binary.LittleEndian.Uint64(b[off:])
	if x&0xfff8f8f8f8f8f8f8 != 0x0030303030303030 {
		return octal(b[off : off+8])
	}
	var n int64
	for range 7 {
		n = n<<3 | int64(x&7)
		x >>= 8
	}
	return n, true
}

// octal parses a numeric field: octal digits, with spaces or NULs around them,
// no more than 20.
func octal(b []byte) (n int64, ok bool) {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == 0) {
		i++
	}
	for i < len(b) && b[i]&^7 == '0' {
		n = n<<3 | int64(b[i]&7)
		i++
	}
	for i < len(b) && (b[i] == ' ' || b[i] == 0) {
		i++
	}
	return n, i == len(b)
}

// numeric parses a numeric field that archive/tar has accepted: octal, or
// GNU's base 256.
func numeric(b []byte) (n int64, ok bool) {
	if len(b) == 0 || b[0]&0x80 == 0 {
		b = cstring(bytes.Trim(b, " \x00"))
		return octal(b)
	}
	// Two's complement, but for the topmost bit, which marks the format.
	invert := byte(0)
	if b[0]&0x40 != 0 {
		invert = 0xff
	}
	var x uint64
	for i, c := range b {
		c ^= invert
		if i == 0 {
			c &= 0x7f
		}
		if x>>55 != 0 {
			return 0, false
		}
		x = x<<8 | uint64(c)
	}
	if invert != 0 {
		return ^int64(x), true
	}
	return int64(x), true
}

// cstring returns b up to the first NUL.
func cstring(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

func isZero(b []byte) bool {
	for i := 0; i+8 <= len(b); i += 8 {
		if binary.LittleEndian.Uint64(b[i:]) != 0 {
			return false
		}
	}
	return true
}

// padded returns n rounded up to whole blocks; n must be at most MaxInt64-511.
func padded(n int64) int64 { return (n + blockSize - 1) &^ (blockSize - 1) }

// headerOnly reports whether members of this type have no data, whatever
// their size says.
func headerOnly(typ byte) bool { return typ >= tar.TypeLink && typ <= tar.TypeFifo }
