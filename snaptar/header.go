package snaptar

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	blockSize = 512

	nameSize   = 100
	prefixSize = 155

	// maxName bounds a name in bytes. No file system takes a longer path.
	maxName = 1 << 16

	maxOctal = 1<<33 - 1 // what 11 octal digits hold: a size of 8 GiB, and the year 2242
)

// ErrName is returned for a name that a member of a snapshot cannot have.
var ErrName = errors.New("not a name for a member")

// checkName refuses what would be read as another name, or as a directory.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case len(name) > maxName:
		return fmt.Errorf("%.40q…: %w: %d bytes, more than %d", name, ErrName, len(name), maxName)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%q: %w: it has a NUL byte", name, ErrName)
	case strings.HasSuffix(name, "/"):
		return fmt.Errorf("%q: %w: it ends in a slash, as directories do", name, ErrName)
	}
	return nil
}

// appendHeader appends the header of a file, as the writer that the servers of
// 2015 were built with has it (FORMAT: tar):
//
//   - The type is NUL. Their readers take '0' as well; NUL makes a tar that is
//     written again the same to the byte.
//   - A long name of ASCII is split at the last slash that fits. Where none
//     does, and for all other names, a PAX header comes before, and the name
//     in the header itself is empty.
//   - A size of 8 GiB or more is in the binary form of GNU, whose headers have
//     no prefix, so that a long name takes a PAX header then.
//   - A time that does not fit is 0.
func appendHeader(b []byte, name string, size int64, t time.Time) []byte {
	h := header{size: size, time: t}
	var ok bool
	if h.prefix, h.name, ok = fields(name, size); !ok {
		dir, base := path.Split(name)
		record := paxRecord("path", name)
		// Not the number of the process, as they had it: it says nothing.
		short := ascii(path.Join(dir, "PaxHeaders.0", base))
		b = header{name: short[:min(len(short), nameSize)], size: int64(len(record)), kind: 'x'}.append(b)
		b = append(b, record...)
		b = append(b, make([]byte, padding(int64(len(record))))...)
	}
	return h.append(b)
}

// fields returns the name as it stands in a header; ok is false if it takes an
// extended header.
func fields(name string, size int64) (prefix, rest string, ok bool) {
	switch {
	case !isASCII(name):
		return "", "", false
	case len(name) <= nameSize:
		return "", name, true
	case size > maxOctal:
		return "", "", false
	}
	return split(name)
}

// headerSize returns how many bytes appendHeader appends.
func headerSize(name string, size int64) int64 {
	if _, _, ok := fields(name, size); ok {
		return blockSize
	}
	n := int64(len(paxRecord("path", name)))
	return 2*blockSize + n + padding(n)
}

// header is what one block says. For an extended header mode and time are 0.
type header struct {
	name, prefix string
	size         int64
	time         time.Time
	kind         byte
}

func (h header) append(b []byte) []byte {
	var blk [blockSize]byte
	copy(blk[:nameSize], h.name)
	mode, seconds := int64(0o666), h.time.Unix()
	if h.kind != 0 {
		mode, seconds = 0, 0
	}
	if seconds < 0 || seconds > maxOctal {
		seconds = 0
	}
	octal(blk[100:108], mode)
	octal(blk[108:116], 0) // owner
	octal(blk[116:124], 0) // group
	magic := "ustar\x0000"
	if h.size <= maxOctal {
		octal(blk[124:136], h.size)
	} else {
		magic = "ustar  \x00"
		for i, x := 135, h.size; i >= 124; i, x = i-1, x>>8 {
			blk[i] = byte(x)
		}
		blk[124] |= 0x80
	}
	octal(blk[136:148], seconds)
	copy(blk[148:156], "        ") // the checksum counts itself as spaces
	blk[156] = h.kind
	copy(blk[257:265], magic)
	octal(blk[329:337], 0) // device numbers
	octal(blk[337:345], 0)
	copy(blk[345:500], h.prefix)
	sum := int64(0)
	for _, c := range blk {
		sum += int64(c)
	}
	octal(blk[148:155], sum) // and the space behind stays
	return append(b, blk[:]...)
}

// octal fills field with digits and a NUL at its end.
func octal(field []byte, n int64) {
	last := len(field) - 1
	field[last] = 0
	for i := last - 1; i >= 0; i, n = i-1, n>>3 {
		field[i] = '0' + byte(n&7)
	}
}

// split splits a name that is too long for the header in two, if it can.
func split(name string) (prefix, rest string, ok bool) {
	i := strings.LastIndexByte(name[:min(len(name), prefixSize+1)], '/')
	if i <= 0 || len(name)-i-1 > nameSize {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// ascii returns s without what is no ASCII.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return -1
		}
		return r
	}, s)
}

// paxRecord returns a record of an extended header. It begins with its length,
// whose digits count.
func paxRecord(key, value string) string {
	body := " " + key + "=" + value + "\n"
	size := len(body)
	for n := 0; n != size; {
		n = size
		size = len(body) + len(strconv.Itoa(n))
	}
	return strconv.Itoa(size) + body
}

// padding returns how many bytes fill up the last block of size bytes.
func padding(size int64) int64 { return -size & (blockSize - 1) }
