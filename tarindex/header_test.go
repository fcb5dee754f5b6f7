package tarindex

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestOddHeaders has headers that the short path must leave to archive/tar, or
// read as it does: index compares the two.
func TestOddHeaders(t *testing.T) {
	gnu := func(b []byte) { copy(b[offMagic:], "ustar  \x00") }
	for _, tt := range []struct {
		name string
		typ  byte
		size int64
		edit func(b []byte)
		want string // path
	}{
		{"ustar with a prefix", '0', 3, func(b []byte) { copy(b[offPrefix:], "pre/fix") }, "pre/fix/n"},
		{"ustar with a full prefix", '0', 3, func(b []byte) { copy(b[offPrefix:], strings.Repeat("p", 155)) }, strings.Repeat("p", 155) + "/n"},
		{"ustar of an odd version", '0', 3, func(b []byte) { copy(b[offMagic+6:], "xx"); copy(b[offPrefix:], "p") }, "p/n"},
		{"star", '0', 3, func(b []byte) {
			copy(b[offStarTrailer:], "tar\x00")
			copy(b[offPrefix:], strings.Repeat("p", 131))
			copy(b[476:], "00000000001 00000000002 ")
		}, strings.Repeat("p", 131) + "/n"},
		{"gnu of old Go with a prefix", '0', 3, func(b []byte) { gnu(b); copy(b[offPrefix:], "pre/fix") }, "pre/fix/n"},
		{"gnu with a prefix that could be a time", '0', 3, func(b []byte) { gnu(b); copy(b[offPrefix:], "12345") }, "n"},
		{"gnu with times", '0', 3, func(b []byte) { gnu(b); copy(b[offGNUAtime:], "00000000001\x0000000000002\x00") }, "n"},
		{"gnu with a second time only", '0', 3, func(b []byte) { gnu(b); copy(b[offGNUCtime:], "what") }, "n"},
		{"v7 with what would be a prefix", '0', 3, func(b []byte) { clear(b[offMagic:]); copy(b[offPrefix:], "p") }, "n"},
		{"v7 with what would be devices", '0', 3, func(b []byte) { clear(b[offMagic:]); copy(b[offMajor:], "what") }, "n"},
		{"a full name", '0', 3, func(b []byte) { copy(b, strings.Repeat("f", 100)) }, strings.Repeat("f", 100)},
		{"an old directory with a size", 0, 700, func(b []byte) { copy(b, "dir/") }, "dir"},
		{"an old directory by its prefix", 0, 700, func(b []byte) { b[0] = 0; copy(b[offPrefix:], "p") }, "p"},
		{"a directory with a size", '5', 700, nil, "n"},
		{"a link with a size", '1', 700, nil, "n"},
		{"numbers with spaces", '0', 0, func(b []byte) { copy(b[offMode:], "   644 \x00"); copy(b[offSize:], "          3 ") }, "n"},
		{"numbers without an end", '0', 0, func(b []byte) { copy(b[offSize:], "000000000003"); copy(b[offMtime:], "777777777777") }, "n"},
		{"numbers with something behind", '0', 0, func(b []byte) { copy(b[offSize:], "3\x00777777777") }, "n"},
		{"no numbers", '0', 0, func(b []byte) { clear(b[offMode:offSum]) }, "n"},
		{"binary numbers", '0', 0, func(b []byte) {
			copy(b[offSize:], base256(3))
			copy(b[offMtime:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0")
			copy(b[offUID:], "\x80\x00\x00\x00\x00\x10\x00\x00")
		}, "n"},
		{"a mode with a type", '0', 3, func(b []byte) { copy(b[offMode:], "0104755\x00") }, "n"},
		{"devices", '3', 0, func(b []byte) { copy(b[offMajor:], "0000010\x000000020\x00") }, "n"},
		{"a type from nowhere", 'Z', 3, nil, "n"},
		{"a regular directory", '0', 0, func(b []byte) { copy(b, "dir/") }, "dir"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := header("n", tt.typ, tt.size, tt.edit)
			pieces := []any{h}
			if !headerOnly(tt.typ) && tt.size != 700 {
				pieces = append(pieces, "abc")
				if tt.edit != nil && tt.size == 0 && tt.typ == '0' && numericSize(h) == 0 {
					pieces = pieces[:1]
				}
			}
			data := blocks(append(pieces, header("after", '0', 4, nil), "next", endBlocks)...)
			ix := index(t, data)
			if ix.Len() != 2 || ix.Entry(0).Path != tt.want || readMember(t, ix, 1) != "next" {
				t.Fatalf("%d members, %+v, want path %s", ix.Len(), ix.Entry(0), tt.want)
			}
			checkTree(t, ix)

			// With a sum of signed bytes, as Sun's tar wrote, it is the same.
			h[505] = 0xc8 // in no field but star's
			if tt.name != "star" {
				copy(h[offSum:], "        ")
				var sum int64
				for _, c := range h {
					sum += int64(int8(c))
				}
				if sum >= 0 {
					copy(h[offSum:], fmt.Sprintf("%06o\x00 ", sum))
					copy(data, h)
					if ix := index(t, data); ix.Len() != 2 || ix.Entry(0).Path != tt.want {
						t.Errorf("signed sum: %d members, %+v", ix.Len(), ix.Entry(0))
					}
				}
			}
			// And with a number that is none, archive/tar refuses it.
			copy(data[offMode:], "8")
			resum(data[:blockSize])
			compare(t, data)
			if ix, err := Build(strings.NewReader(string(data)), int64(len(data)), Options{}); ix != nil || !errors.Is(err, ErrFormat) {
				t.Errorf("a mode of 8: %v", err)
			}
		})
	}
}

func numericSize(h []byte) int64 {
	n, _ := numeric(h[offSize : offSize+12])
	return n
}
