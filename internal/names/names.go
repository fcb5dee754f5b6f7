// Package names turns any bytes into a file name, and back.
//
// Bolt keys, bucket names and tar member names may hold anything: slashes,
// NUL, bytes that are no UTF-8, control characters, "..", or kilobytes of
// text. A tree that shows them as files needs names that a file system and a
// terminal take, and a way back to the bytes.
//
// Plain names stay as they are. Everything else is percent-encoded as in URLs,
// with upper-case digits; so is the backslash, which is a separator elsewhere
// and which [testing/fstest.TestFS] therefore does not want to see. A name of more than [Max] bytes is cut and ends in
// "~" and a hash of the whole; only those cannot be decoded, see [Long].
package names

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Max is the longest file name in bytes that Linux takes.
const Max = 255

// hashLen is the number of hexadecimal digits after the "~" of a cut name.
const hashLen = 16

const hexDigits = "0123456789ABCDEF"

// Key returns the file name for a Bolt key or bucket name. Distinct keys get
// distinct names, none of which is empty, ".", "..", begins with a dot, or
// holds a slash. The empty key, which Bolt itself never writes, is "%".
func Key(key []byte) string {
	if len(key) > 0 && key[0] == '.' {
		return finish("%2E"+encode(string(key[1:])), key)
	}
	return finish(encode(string(key)), key)
}

// Element returns the file name for one element of a member's path. It differs
// from [Key] in that a leading dot stays, except in "." and "..".
func Element(elem string) string {
	switch elem {
	case ".":
		return "%2E"
	case "..":
		return "%2E%2E"
	}
	if plain(elem) {
		return elem
	}
	return finish(encode(elem), []byte(elem))
}

// Path returns the slash-separated path for the name of an archive member, and
// whether it differs from the name as it would be read by tar(1): leading
// slashes, "./" and inner ".." are resolved as [path.Clean] does; a ".." that
// would leave the root stays as the element "%2E%2E". The result satisfies
// [io/fs.ValidPath]; the root itself is ".".
func Path(member string) (clean string, escaped bool) {
	if plainPath(member) {
		return member, false
	}
	var out []string
	for elem := range strings.SplitSeq(member, "/") {
		switch elem {
		case "", ".":
			continue
		case "..":
			if n := len(out); n > 0 && out[n-1] != ".." {
				out = out[:n-1]
				continue
			}
		}
		out = append(out, elem)
	}
	for i, elem := range out {
		name := Element(elem)
		escaped = escaped || name != elem
		out[i] = name
	}
	if len(out) == 0 {
		return ".", false
	}
	return strings.Join(out, "/"), escaped
}

// Decode returns the bytes that name stands for. ok is false if no bytes have
// that name: it is not encoded as [Key] or [Element] would, or was cut, in
// which case only a search finds the key, see [Long].
func Decode(name string) (key []byte, ok bool) {
	if name == "%" {
		return []byte{}, true
	}
	if _, long := Long(name); long || name == "" || len(name) > Max {
		return nil, false
	}
	key = make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c != '%' {
			key = append(key, c)
			continue
		}
		if i+2 >= len(name) {
			return nil, false
		}
		hi, lo := unhex(name[i+1]), unhex(name[i+2])
		if hi < 0 || lo < 0 {
			return nil, false
		}
		key = append(key, byte(hi<<4|lo))
		i += 2
	}
	if Key(key) != name && Element(string(key)) != name {
		return nil, false
	}
	return key, true
}

// Long reports whether name is one that was cut, and if so returns the first
// bytes of the key it stands for. All keys with that name begin with prefix;
// the one that is meant is the one that encodes to name.
func Long(name string) (prefix []byte, ok bool) {
	if !hashed(name) {
		return nil, false
	}
	head := name[:len(name)-hashLen-1]
	prefix = make([]byte, 0, len(head))
	for i := 0; i < len(head); i++ {
		if head[i] == '%' && i+2 < len(head) {
			hi, lo := unhex(head[i+1]), unhex(head[i+2])
			if hi < 0 || lo < 0 {
				return nil, false
			}
			prefix = append(prefix, byte(hi<<4|lo))
			i += 2
			continue
		}
		prefix = append(prefix, head[i])
	}
	return prefix, true
}

// plainPath reports whether member needs no change at all: the common case,
// which allocates nothing.
func plainPath(member string) bool {
	if member == "" {
		return false
	}
	start := 0
	for i := 0; i <= len(member); i++ {
		if i < len(member) && member[i] != '/' {
			if c := member[i]; c < ' ' || c > '~' || c == '%' || c == '\\' {
				return false
			}
			continue
		}
		elem := member[start:i]
		if elem == "" || elem == "." || elem == ".." || len(elem) > Max || hashed(elem) {
			return false
		}
		start = i + 1
	}
	return true
}

func plain(elem string) bool {
	if elem == "" || len(elem) > Max || hashed(elem) {
		return false
	}
	for i := 0; i < len(elem); i++ {
		if c := elem[i]; c < ' ' || c > '~' || c == '%' || c == '/' || c == '\\' {
			return false
		}
	}
	return true
}

// encode escapes every byte that is not part of a printable rune.
func encode(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == '%' || r == '/' || r == '\\' || (r == utf8.RuneError && n == 1) || !unicode.IsPrint(r) {
			for j := i; j < i+n; j++ {
				b.WriteByte('%')
				b.WriteByte(hexDigits[s[j]>>4])
				b.WriteByte(hexDigits[s[j]&15])
			}
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// finish cuts an encoded name that is too long, and keeps one that only looks
// like a cut name apart from those that are.
func finish(name string, raw []byte) string {
	if name == "" {
		return "%"
	}
	if hashed(name) {
		i := len(name) - hashLen - 1
		name = name[:i] + "%7E" + name[i+1:]
	}
	if len(name) <= Max {
		return name
	}
	sum := sha256.Sum256(raw)
	cut := Max - hashLen - 1
	// Neither an escape nor a rune may be cut in two.
	for i := cut - 1; i >= cut-2; i-- {
		if name[i] == '%' {
			cut = i
			break
		}
	}
	for cut > 0 && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + "~" + hex.EncodeToString(sum[:hashLen/2])
}

// hashed reports whether name ends in "~" and a hash.
func hashed(name string) bool {
	i := len(name) - hashLen - 1
	if i < 0 || name[i] != '~' {
		return false
	}
	for _, c := range []byte(name[i+1:]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
