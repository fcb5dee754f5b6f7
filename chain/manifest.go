package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// ManifestName is the name of the member that holds the manifest.
const ManifestName = "manifest"

// maxManifest bounds the manifest of one layer in bytes: about ten million
// files. Real ones have a few hundred kilobytes.
const maxManifest = 1 << 30

// Dialect says by what the files of a manifest are ordered in time.
type Dialect uint8

const (
	// Unknown is the dialect of a manifest without files.
	Unknown Dialect = iota
	// ByTime is the dialect of the final releases, 0.9.0 to 0.9.6: each file
	// has a lastModified.
	ByTime
	// ByIndex is the dialect of the release candidates rc16 to rc31: each file
	// has the index of the last raft message that changed it.
	ByIndex
)

func (d Dialect) String() string {
	switch d {
	case ByTime:
		return "lastModified"
	case ByIndex:
		return "index"
	}
	return "unknown"
}

// MarshalText returns the key that the manifests of the dialect have.
func (d Dialect) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ErrManifest is returned when a manifest is no JSON, or not JSON of the kind
// that a server writes.
var ErrManifest = errors.New("malformed manifest")

// Manifest is the list of the files in a layer, or in a merged view.
type Manifest struct {
	Dialect Dialect
	Files   []ManifestFile
}

// ManifestFile is one file of a manifest.
type ManifestFile struct {
	Name  string // as the server wrote it, for example "telemetry/default/1"
	Size  int64  // bytes
	Stamp Stamp
}

// Stamp tells how new a copy of a file is. The zero Stamp is older than all
// others.
type Stamp struct {
	Time  time.Time // ByTime; in the zone of the server that wrote it
	Index uint64    // ByIndex
}

// Newer reports whether s is strictly newer than t. Both are of one dialect.
func (s Stamp) Newer(t Stamp) bool {
	return s.Index > t.Index || s.Index == t.Index && s.Time.After(t.Time)
}

// jsonManifest is a manifest on the wire. Pointers tell an absent key from a
// zero.
type jsonManifest struct {
	Files *[]jsonFile `json:"files"`
}

type jsonFile struct {
	Name         *string `json:"name"`
	Size         int64   `json:"size"`
	LastModified *string `json:"lastModified"`
	Index        *uint64 `json:"index"`
}

// ReadManifest decodes a manifest. It reads exactly one JSON value, as the
// servers do, and no more than it needs to. Errors match [ErrManifest], except
// those of r.
func ReadManifest(r io.Reader) (Manifest, error) {
	d, err := readDraft(r)
	if err != nil {
		return Manifest{}, err
	}
	defer d.free()
	return d.manifest(), nil
}

// readDraft is ReadManifest. The draft is to be freed.
func readDraft(r io.Reader) (d *draft, err error) {
	d = drafts.Get().(*draft)
	defer func() {
		if err != nil {
			d.free()
			d = nil
		}
	}()
	size := int64(0)
	if s, ok := r.(interface{ Size() int64 }); ok {
		size = max(s.Size(), 0)
	}
	s, again := r.(io.ReadSeeker)
	if again {
		start, err := s.Seek(0, io.SeekCurrent)
		if err != nil {
			return d, err
		}
		if d.scan(io.LimitReader(r, maxManifest), size) {
			return d, nil
		}
		d.reset()
		if _, err := s.Seek(start, io.SeekStart); err != nil {
			return d, err
		}
	}
	var buf bytes.Buffer
	buf.Grow(int(min(size, 16<<20)) + bytes.MinRead) // a start; the size may be a lie
	if _, err := buf.ReadFrom(io.LimitReader(r, maxManifest+1)); err != nil {
		return d, err
	}
	b := buf.Bytes()
	if len(b) > maxManifest {
		return d, fmt.Errorf("%w: more than %d bytes", ErrManifest, maxManifest)
	}
	if !again {
		if d.scan(bytes.NewReader(b), int64(len(b))) {
			return d, nil
		}
		d.reset()
	}
	return d, d.parse(b)
}

// parse reads any manifest into an empty draft.
func (d *draft) parse(b []byte) error {
	var wire jsonManifest
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&wire); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if wire.Files == nil {
		// {"files":null} is what a release candidate writes when nothing changed.
		if !bytes.Contains(b, []byte(`"files"`)) {
			return fmt.Errorf("%w: no list of files", ErrManifest)
		}
		d.null = true
		return nil
	}
	var m Manifest
	for i, f := range *wire.Files {
		file, err := m.decode(f)
		if err != nil {
			return fmt.Errorf("%w: file %d: %w", ErrManifest, i, err)
		}
		m.Files = append(m.Files, file)
	}
	d.dialect = m.Dialect
	for _, f := range m.Files {
		d.add([]byte(f.Name), f.Size, f.Stamp)
	}
	return nil
}

// decode checks one file, and that it speaks the dialect of those before it.
func (m *Manifest) decode(f jsonFile) (ManifestFile, error) {
	if f.Name == nil || *f.Name == "" {
		return ManifestFile{}, errors.New("no name")
	}
	if f.Size < 0 {
		return ManifestFile{}, fmt.Errorf("%q: size %d is negative", *f.Name, f.Size)
	}
	file := ManifestFile{Name: *f.Name, Size: f.Size}
	d := Unknown
	switch {
	case f.LastModified != nil && f.Index != nil:
		return ManifestFile{}, fmt.Errorf("%q: both lastModified and index", file.Name)
	case f.LastModified != nil:
		t, err := parseTime(*f.LastModified)
		if err != nil {
			return ManifestFile{}, fmt.Errorf("%q: lastModified: %w", file.Name, err)
		}
		file.Stamp.Time, d = t, ByTime
	case f.Index != nil:
		file.Stamp.Index, d = *f.Index, ByIndex
	}
	if d != Unknown && m.Dialect != Unknown && d != m.Dialect {
		return ManifestFile{}, fmt.Errorf("%q: %v among files with %v", file.Name, d, m.Dialect)
	}
	if d != Unknown {
		m.Dialect = d
	}
	return file, nil
}

// parseTime reads an RFC 3339 time as the servers write it. A time of UTC does
// not allocate.
func parseTime(s string) (time.Time, error) {
	return time.Parse(time.RFC3339Nano, s)
}

// AppendJSON appends the manifest as a server of the dialect writes it, to the
// byte: without white space, and without a newline at the end.
func (m Manifest) AppendJSON(b []byte) []byte {
	if m.Files == nil {
		return append(b, `{"files":null}`...)
	}
	b = append(b, `{"files":[`...)
	for i, f := range m.Files {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.appendJSON(b, m.Dialect)
	}
	return append(b, `]}`...)
}

func (f ManifestFile) appendJSON(b []byte, d Dialect) []byte {
	b = append(b, `{"name":`...)
	b = appendString(b, f.Name)
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, f.Size, 10)
	if d == ByIndex {
		b = append(b, `,"index":`...)
		b = strconv.AppendUint(b, f.Stamp.Index, 10)
	} else {
		b = append(b, `,"lastModified":"`...)
		b = f.Stamp.Time.AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	return append(b, '}')
}

// appendString appends s as encoding/json does.
func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			q, err := json.Marshal(s)
			if err != nil { // a string always has a form in JSON
				return append(b, `""`...)
			}
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// MarshalJSON implements [json.Marshaler].
func (m Manifest) MarshalJSON() ([]byte, error) { return m.AppendJSON(nil), nil }
