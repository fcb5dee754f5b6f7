package chain

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snapfs/snapfs/internal/names"
	"github.com/snapfs/snapfs/tarindex"
)

// Layer is one tar of a chain.
type Layer struct {
	Name        string    `json:"name"` // "full", "0", "1", …
	Path        string    `json:"path"`
	Size        int64     `json:"size"`          // bytes of the tar
	Time        time.Time `json:"time,omitzero"` // when the backup was taken; zero if the layer does not tell
	HasManifest bool      `json:"manifest"`      // whether it has one that can be read
	Err         error     `json:"-"`             // what cut the index short; nil for a whole layer

	number   int
	file     *os.File        // nil if it could not be opened
	stamp    stamp           // of the file when it was opened
	index    *tarindex.Index // nil if nothing could be indexed
	early    *early          // what was read for the prediction, until it is used
	records  []record        // without the manifest, sorted by path
	listing  listing         // the manifest; empty unless HasManifest
	manifest int             // member that is the manifest, -1 if none
	warnings []Warning
}

// early is the manifest as the first member, read before the others are known.
type early struct {
	draft *draft
	err   error
}

// layerName returns the name of the i-th layer.
func layerName(i int) string {
	if i == 0 {
		return "full"
	}
	return strconv.Itoa(i - 1)
}

// openLayer indexes one tar and reads its manifest. What is wrong with the
// contents goes to the layer; only what keeps the file from being read at all
// is returned as an error. The layer is to be closed in any case.
func openLayer(path string, number int) (*Layer, error) {
	l := &Layer{Name: layerName(number), Path: path, number: number, manifest: -1}
	f, err := os.Open(path)
	if err != nil {
		return l, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err == nil {
		l.stamp, err = stampOf(f)
	}
	if err != nil {
		return l, errors.Join(err, f.Close())
	}
	l.file = f
	l.Size = l.stamp.size
	l.index, err = tarindex.Build(f, l.Size, tarindex.Options{Layer: number, Predict: l.predict})
	if err != nil {
		l.Err = fmt.Errorf("%s: %w", path, err)
	}
	if l.index == nil {
		switch {
		case l.Size == 0:
			l.warn(EmptyLayer, "", "empty file: the backup failed and the old client did not notice")
		case errors.Is(err, tarindex.ErrCompressed):
			l.warn(Compressed, "", "%v", err)
		default:
			l.warn(BadLayer, "", "%v", err)
		}
		return l, nil
	}
	l.list()
	if d := l.readManifest(); d != nil {
		l.join(d)
		d.free()
	}
	l.report(err)
	return l, nil
}

// unreadable notes why the layer could not be opened.
func (l *Layer) unreadable(err error) {
	l.Err = err
	code := Unreadable
	if l.number == 0 && errors.Is(err, fs.ErrNotExist) {
		code = NoFull
	}
	l.warn(code, "", "%v", err)
}

// Index returns where the members of the tar are, nil if nothing could be
// indexed. It is valid until the chain is closed.
func (l *Layer) Index() *tarindex.Index { return l.index }

func (l *Layer) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

func (l *Layer) warn(code Code, name, format string, args ...any) {
	l.warnings = append(l.warnings, Warning{Code: code, Layer: l.Name, File: l.Path, Name: name, Text: fmt.Sprintf(format, args...)})
}

// predict reads the manifest, if it is the first member, as servers write it.
// The files that it names follow in its order.
func (l *Layer) predict(first tarindex.Entry, content io.ReaderAt) []int64 {
	if first.Path != ManifestName {
		return nil
	}
	d, err := readDraft(io.NewSectionReader(content, 0, first.Size))
	l.early = &early{d, err}
	if err != nil {
		return nil
	}
	return d.sizes
}

// list makes the records of the members that are not shadowed by a later one of
// the same path.
func (l *Layer) list() {
	l.records = make([]record, 0, l.index.Len())
	sorted := true
	for i, path := range l.index.Paths() {
		if path == "." {
			continue
		}
		if n := len(l.records); n > 0 && l.records[n-1].path >= path {
			sorted = false
		}
		l.records = append(l.records, record{path: path, layer: int32(l.number), member: int32(i), listed: -1})
	}
	if sorted {
		return
	}
	slices.SortStableFunc(l.records, func(a, b record) int { return strings.Compare(a.path, b.path) })
	kept := l.records[:0]
	for _, r := range l.records {
		if n := len(kept); n > 0 && kept[n-1].path == r.path {
			kept[n-1] = r
			continue
		}
		kept = append(kept, r)
	}
	l.records = kept
}

// readManifest takes the member called "manifest" out of the records and reads
// it; nil if there is none. Its header time is when the backup was taken (FORMAT:
// it is written first, at the moment of streaming).
func (l *Layer) readManifest() *draft {
	at, ok := slices.BinarySearchFunc(l.records, ManifestName, byPath)
	if !ok {
		for _, e := range l.index.All() {
			if e.ModTime.Unix() > 0 && e.ModTime.After(l.Time) {
				l.Time = e.ModTime
			}
		}
		return nil
	}
	i := int(l.records[at].member)
	e := l.index.Entry(i)
	if !e.Mode.IsRegular() {
		return nil
	}
	var d *draft
	var err error
	if l.early != nil && i == 0 {
		d, err = l.early.draft, l.early.err
	} else if r, contentErr := l.index.Content(i); contentErr != nil {
		err = contentErr
	} else {
		d, err = readDraft(io.NewSectionReader(r, 0, e.Size))
	}
	l.early = nil
	if e.ModTime.Unix() > 0 {
		l.Time = e.ModTime
	}
	if err != nil {
		l.warn(BadManifest, e.Name, "manifest at offset %d: %v", e.DataOffset, err)
		return nil
	}
	l.HasManifest, l.manifest = true, i
	l.records = slices.Delete(l.records, at, at+1)
	if i != 0 {
		l.warn(ManifestNotFirst, e.Name, "the manifest is member %d, not the first", i+1)
	}
	return d
}

// join ties each record to its entry in the manifest, and adds records for the
// files that the manifest promises and the tar does not hold.
func (l *Layer) join(d *draft) {
	l.listing = d.listing
	plain := make([]bool, d.len()) // entries that are the member which has their record
	var absent []record
	at, last := 0, ""
	for i := range d.len() {
		// Nearly always the files are the members, one by one: then there is
		// nothing to look for.
		if at < len(l.records) && l.records[at].listed < 0 {
			member := int(l.records[at].member)
			if string(d.name(i)) == l.index.Name(member) {
				l.records[at].listed = int32(i)
				plain[i] = l.says(d, i, member)
				last = l.records[at].path
				at++
				continue
			}
		}
		path, _ := names.Path(string(d.name(i)))
		if path == "." {
			path = names.Element(path) // no file can be the root
		}
		if path <= last {
			at = 0 // not sorted, or listed twice
		}
		last = path
		at = gallop(l.records, at, path)
		if at == len(l.records) || l.records[at].path != path {
			absent = append(absent, record{path: path, layer: int32(l.number), member: -1, listed: int32(i)})
			continue
		}
		r := &l.records[at]
		if r.listed >= 0 {
			if !l.listing.stamp(int32(i)).Newer(l.listing.stamp(r.listed)) {
				continue
			}
			plain[r.listed] = false
		}
		r.listed = int32(i)
		plain[i] = l.says(d, i, int(r.member))
	}
	for i, plain := range plain {
		if !plain {
			l.listing.odd = append(l.listing.odd, oddFile{int32(i), string(d.name(i)), d.sizes[i]})
		}
	}
	l.listing.trim()
	slices.SortStableFunc(absent, func(a, b record) int { return strings.Compare(a.path, b.path) })
	absent = slices.CompactFunc(absent, func(a, b record) bool { return a.path == b.path })
	l.records = merge(l.records, absent)
}

// says reports whether a member has the name and size of a file in the manifest,
// so that neither has to be kept.
func (l *Layer) says(d *draft, i, member int) bool {
	return member >= 0 && string(d.name(i)) == l.index.Name(member) && d.sizes[i] == l.index.Size(member)
}

// Manifest returns the manifest of the layer, as it is; empty unless HasManifest.
// It is made anew each time.
func (l *Layer) Manifest() Manifest {
	m := Manifest{Dialect: l.listing.dialect}
	if l.listing.null || !l.HasManifest {
		return m
	}
	m.Files = make([]ManifestFile, len(l.listing.stamps))
	for _, r := range l.records {
		if r.listed >= 0 {
			m.Files[r.listed] = l.entry(r)
		}
	}
	for _, o := range l.listing.odd {
		m.Files[o.number] = ManifestFile{o.name, o.size, l.listing.stamp(o.number)}
	}
	return m
}

// entry returns the entry in the manifest of a record that has one.
func (l *Layer) entry(r record) ManifestFile {
	if o := l.listing.oddity(r.listed); o != nil {
		return ManifestFile{o.name, o.size, l.listing.stamp(r.listed)}
	}
	member := int(r.member)
	return ManifestFile{l.index.Name(member), l.index.Size(member), l.listing.stamp(r.listed)}
}

// report says what is odd about the layer, err being what cut its index short.
func (l *Layer) report(err error) {
	var missing []string
	for _, r := range l.records {
		switch {
		case r.member < 0:
			missing = append(missing, l.entry(r).Name)
		case r.listed < 0:
			if i := int(r.member); l.HasManifest && l.index.Mode(i).IsRegular() {
				name := l.index.Name(i)
				l.warn(Unlisted, name, "%q is not in the manifest", name)
			}
		default:
			o := l.listing.oddity(r.listed)
			if size := l.index.Size(int(r.member)); o != nil && size != o.size {
				name := l.index.Name(int(r.member))
				l.warn(SizeMismatch, name, "%q has %d bytes, but %d in the manifest", name, size, o.size)
			}
		}
	}
	switch {
	case errors.Is(err, tarindex.ErrTruncated):
		l.warn(Truncated, "", "%v", err)
	case err != nil:
		l.warn(BadHeader, "", "%v", err)
	}
	if len(missing) > 0 {
		l.warn(Missing, missing[0], "%d of the %d files in the manifest are not in the tar: %s", len(missing), len(l.listing.stamps), few(missing))
		if l.number > 0 {
			l.warnings[len(l.warnings)-1].Hint = "older copies of them may be in the point before: --at " + layerName(l.number-1)
		}
	}
}

// members returns what is odd about single members. It makes the index build
// its tree, which nothing else needs.
func (l *Layer) members() []Warning {
	var out []Warning
	if l.index == nil {
		return nil
	}
	for w := range l.index.Warnings() {
		out = append(out, Warning{Code: memberCodes[w.Kind], Layer: l.Name, File: l.Path, Name: w.Name, Text: w.Text})
	}
	return out
}

var memberCodes = map[tarindex.Kind]Code{
	tarindex.Escaped: EscapedName, tarindex.Shadowed: Duplicate, tarindex.NoTarget: NoTarget,
	tarindex.Cut: CutMember, tarindex.NoEndMark: NoEndMark, tarindex.Appended: Appended,
}

// few lists the first names for a message.
func few(s []string) string {
	if len(s) > 5 {
		return fmt.Sprintf("%q and %d more", s[:5], len(s)-5)
	}
	return fmt.Sprintf("%q", s)
}
