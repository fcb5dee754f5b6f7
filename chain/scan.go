package chain

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// scanManifest decodes a manifest that looks exactly as the servers write it:
// keys in their order, no white space, plain names. ok is false for anything
// else, and then encoding/json decides what it is. Manifests are most of the
// work of opening a long chain, and this is several times as fast.
func scanManifest(b []byte) (m Manifest, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(`{"files":[{"name":"`))
	if !ok {
		return Manifest{}, false
	}
	m.Files = make([]ManifestFile, 0, bytes.Count(b, []byte(`{"name":"`)))
	for {
		var f ManifestFile
		if f.Name, rest, ok = scanName(rest); !ok {
			return Manifest{}, false
		}
		if rest, ok = bytes.CutPrefix(rest, []byte(`,"size":`)); !ok {
			return Manifest{}, false
		}
		var size uint64
		if size, rest, ok = scanUint(rest); !ok || size > 1<<62 {
			return Manifest{}, false
		}
		f.Size = int64(size)

		d := ByTime
		if rest, ok = bytes.CutPrefix(rest, []byte(`,"lastModified":"`)); ok {
			end := bytes.IndexByte(rest, '"')
			if end < 0 || end > 40 {
				return Manifest{}, false
			}
			t, err := parseTime(string(rest[:end]))
			if err != nil {
				return Manifest{}, false
			}
			f.Stamp.Time, rest = t, rest[end+1:]
		} else if rest, ok = bytes.CutPrefix(rest, []byte(`,"index":`)); ok {
			d = ByIndex
			if f.Stamp.Index, rest, ok = scanUint(rest); !ok {
				return Manifest{}, false
			}
		} else {
			return Manifest{}, false
		}
		if m.Dialect == Unknown {
			m.Dialect = d
		}
		if d != m.Dialect {
			return Manifest{}, false
		}
		m.Files = append(m.Files, f)

		if bytes.HasPrefix(rest, []byte(`}]}`)) {
			return m, true
		}
		if rest, ok = bytes.CutPrefix(rest, []byte(`},{"name":"`)); !ok {
			return Manifest{}, false
		}
	}
}

// scanName reads a string without escapes up to its closing quote.
func scanName(b []byte) (name string, rest []byte, ok bool) {
	end := bytes.IndexByte(b, '"')
	if end <= 0 {
		return "", nil, false
	}
	for _, c := range b[:end] {
		if c < ' ' || c >= utf8.RuneSelf || c == '\\' {
			return "", nil, false
		}
	}
	return string(b[:end]), b[end+1:], true
}

// scanUint reads a decimal number as JSON has it, without leading zeros.
func scanUint(b []byte) (n uint64, rest []byte, ok bool) {
	end := 0
	for end < len(b) && b[end] >= '0' && b[end] <= '9' {
		end++
	}
	if end == 0 || end > 1 && b[0] == '0' || end < len(b) && (b[end] == '.' || b[end] == 'e' || b[end] == 'E') {
		return 0, nil, false
	}
	n, err := strconv.ParseUint(string(b[:end]), 10, 64)
	return n, b[end:], err == nil
}
