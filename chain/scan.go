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
	nameBlock     = 8 << 10  // bytes of names that are stored together
)

// readers are used for one manifest after the other.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}

// manifestScanner decodes a manifest that looks exactly as the servers write
// it: keys in their order, no white space, plain names. It holds neither the
// text nor a string for each name.
type manifestScanner struct {
	m     Manifest
	names []byte // of the last files of m, one after the other
	ends  []int  // of each in there
}

// scanManifest reads a manifest of about size bytes. ok is false if it is not
// exactly as servers write it, and then encoding/json decides what it is.
// Manifests are most of the work of opening a long chain, and this is several
// times as fast.
func scanManifest(r io.Reader, size int64) (m Manifest, ok bool) {
	in := readers.Get().(*bufio.Reader)
	in.Reset(r)
	defer func() {
		in.Reset(nil)
		readers.Put(in)
	}()
	if b, _ := in.Peek(len(manifestStart)); string(b) != manifestStart {
		return Manifest{}, false
	}
	_, _ = in.Discard(len(manifestStart)) // it is in the buffer
	var s manifestScanner
	for {
		b, err := in.Peek(maxScanned)
		if err != nil && err != io.EOF {
			return Manifest{}, false
		}
		rest, ok := s.file(b)
		if !ok {
			return Manifest{}, false
		}
		if len(s.m.Files) == 1 {
			// The size may be a lie, so it is only a start.
			s.m.Files = append(make([]ManifestFile, 0, 1+min(max(size, 0), maxTrusted)/int64(len(b)-len(rest))), s.m.Files...)
		}
		if bytes.HasPrefix(rest, []byte(`]}`)) {
			s.flush()
			return s.m, true
		}
		if rest, ok = bytes.CutPrefix(rest, []byte(`,`)); !ok {
			return Manifest{}, false
		}
		_, _ = in.Discard(len(b) - len(rest))
	}
}

// file decodes one file at the start of b.
func (s *manifestScanner) file(b []byte) (rest []byte, ok bool) {
	var f ManifestFile
	if rest, ok = bytes.CutPrefix(b, []byte(`{"name":"`)); !ok {
		return nil, false
	}
	var name []byte
	if name, rest, ok = scanName(rest); !ok {
		return nil, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"size":`)); !ok {
		return nil, false
	}
	var size uint64
	if size, rest, ok = scanUint(rest); !ok || size > 1<<62 {
		return nil, false
	}
	f.Size = int64(size)

	d := ByTime
	if after, isTime := bytes.CutPrefix(rest, []byte(`,"lastModified":"`)); isTime {
		end := bytes.IndexByte(after[:min(len(after), 41)], '"')
		if end < 0 {
			return nil, false
		}
		t, err := parseTime(string(after[:end]))
		if err != nil {
			return nil, false
		}
		f.Stamp.Time, rest = t, after[end+1:]
	} else if after, isIndex := bytes.CutPrefix(rest, []byte(`,"index":`)); isIndex {
		d = ByIndex
		if f.Stamp.Index, rest, ok = scanUint(after); !ok {
			return nil, false
		}
	} else {
		return nil, false
	}
	if s.m.Dialect == Unknown {
		s.m.Dialect = d
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`}`)); !ok || d != s.m.Dialect {
		return nil, false
	}
	if len(s.names) > nameBlock {
		s.flush()
	}
	s.names = append(s.names, name...)
	s.ends = append(s.ends, len(s.names))
	s.m.Files = append(s.m.Files, f)
	return rest, true
}

// flush gives the last files their names.
func (s *manifestScanner) flush() {
	all, start := string(s.names), 0
	files := s.m.Files[len(s.m.Files)-len(s.ends):]
	for i, end := range s.ends {
		files[i].Name, start = all[start:end], end
	}
	s.names, s.ends = s.names[:0], s.ends[:0]
}

// scanName reads a string without escapes up to its closing quote.
func scanName(b []byte) (name, rest []byte, ok bool) {
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
