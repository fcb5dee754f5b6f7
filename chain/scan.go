package chain

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"sync"
	"unicode/utf8"
)

const (
	manifestStart = `{"files":[`
	maxScanned    = 4 << 10  // bytes of an entry that is read the short way
	maxTrusted    = 32 << 20 // bytes of manifest that memory is taken for at once
)

// readers are used for one manifest after the other.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}

// scan reads a manifest of about size bytes into an empty draft. It returns
// false if the manifest does not have the keys that servers write, in their
// order, and plain names; then encoding/json decides what it is. Manifests are
// most of the work of opening a long chain, and this is several times as fast.
func (d *draft) scan(r io.Reader, size int64) bool {
	in := readers.Get().(*bufio.Reader)
	in.Reset(r)
	defer func() {
		in.Reset(nil)
		readers.Put(in)
	}()
	b, _ := in.Peek(maxScanned)
	rest, ok := cut(b, manifestStart)
	for ok {
		_, _ = in.Discard(len(b) - len(rest)) // it is in the buffer
		var err error
		if b, err = in.Peek(maxScanned); err != nil && err != io.EOF {
			return false
		}
		if rest, ok = d.file(b); !ok {
			return false
		}
		if d.len() == 1 {
			// The size may be a lie, so it is only a start.
			d.grow(int(min(max(size, 0), maxTrusted) / int64(len(b)-len(rest))))
		}
		if _, end := cut(rest, `]}`); end {
			return true
		}
		rest, ok = cut(rest, `,`)
	}
	return false
}

// file decodes one file at the start of b.
func (d *draft) file(b []byte) (rest []byte, ok bool) {
	if rest, ok = cut(b, `{"name":`); !ok {
		return nil, false
	}
	var name []byte
	if name, rest, ok = scanName(rest); !ok {
		return nil, false
	}
	if rest, ok = cut(rest, `,"size":`); !ok {
		return nil, false
	}
	var size uint64
	if size, rest, ok = scanUint(rest); !ok || size > 1<<62 {
		return nil, false
	}
	var s Stamp
	dialect := ByTime
	if after, isTime := cut(rest, `,"lastModified":`); isTime {
		if len(after) == 0 || after[0] != '"' {
			return nil, false
		}
		end := bytes.IndexByte(after[1:min(len(after), 42)], '"') + 1
		if end <= 0 {
			return nil, false
		}
		t, err := parseTime(string(after[1:end]))
		if err != nil {
			return nil, false
		}
		s.Time, rest = t, after[end+1:]
	} else if after, isIndex := cut(rest, `,"index":`); isIndex {
		dialect = ByIndex
		if s.Index, rest, ok = scanUint(after); !ok {
			return nil, false
		}
	} else {
		return nil, false
	}
	if d.dialect == Unknown {
		d.dialect = dialect
	}
	if rest, ok = cut(rest, `}`); !ok || dialect != d.dialect {
		return nil, false
	}
	d.add(name, int64(size), s)
	return rest, true
}

// cut cuts a piece of JSON off the start of b, and white space around its parts.
func cut(b []byte, piece string) (rest []byte, ok bool) {
	if rest, ok = bytes.CutPrefix(b, []byte(piece)); ok {
		return space(rest), true
	}
	inString := false
	for i := range len(piece) {
		if !inString {
			b = space(b)
		}
		if len(b) == 0 || b[0] != piece[i] {
			return nil, false
		}
		if piece[i] == '"' {
			inString = !inString
		}
		b = b[1:]
	}
	return space(b), true
}

// space returns b without white space at its start.
func space(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// scanName reads a string that is not empty and has no escapes.
func scanName(b []byte) (name, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	b = b[1:]
	for i, c := range b {
		switch {
		case c == '"':
			return b[:i], b[i+1:], i > 0
		case c < ' ' || c >= utf8.RuneSelf || c == '\\':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// scanUint reads a decimal number as JSON has it, without leading zeros. What
// follows must be there: else the number might go on.
func scanUint(b []byte) (n uint64, rest []byte, ok bool) {
	end := 0
	for end < len(b) && b[end] >= '0' && b[end] <= '9' {
		if d := uint64(b[end] - '0'); n > (math.MaxUint64-d)/10 {
			return 0, nil, false
		} else {
			n = n*10 + d
		}
		end++
	}
	if end == 0 || end > 1 && b[0] == '0' || end == len(b) || b[end] == '.' || b[end] == 'e' || b[end] == 'E' {
		return 0, nil, false
	}
	return n, b[end:], true
}
