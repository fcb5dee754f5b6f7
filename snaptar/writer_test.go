package snaptar_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/snaptar"
	"github.com/snapfs/snapfs/tarindex"
)

var when = time.Date(2015, 11, 2, 3, 4, 5, 0, time.UTC)

// list returns a manifest of files that have the sizes, names being sorted.
func list(sizes map[string]int64) chain.Manifest {
	m := chain.Manifest{Dialect: chain.ByTime}
	for name, size := range sizes {
		m.Files = append(m.Files, chain.ManifestFile{Name: name, Size: size, Stamp: chain.Stamp{Time: when}})
	}
	slices.SortFunc(m.Files, func(a, b chain.ManifestFile) int { return strings.Compare(a.Name, b.Name) })
	return m
}

// pattern returns the bytes that the tests put into a member.
func pattern(name string, size int64) []byte {
	return bytes.Repeat([]byte(name+"\n"), int(size)/(len(name)+1)+1)[:size]
}

// TestRealChains writes every tar that a real server wrote once more, from its
// manifest, the times in its headers, and its contents.
func TestRealChains(t *testing.T) {
	whole := 0
	for _, path := range realchains.Layers(t) {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ix, err := tarindex.Build(bytes.NewReader(want), int64(len(want)), tarindex.Options{})
		if err != nil {
			if len(want) > 0 {
				t.Errorf("%s: %v", path, err)
			}
			continue
		}
		content := func(i int) io.Reader {
			r, err := ix.Content(i)
			if err != nil {
				t.Fatal(err)
			}
			return io.NewSectionReader(r, 0, ix.Entry(i).Size)
		}
		m, err := chain.ReadManifest(content(0))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		w := snaptar.NewWriter(&got)
		if err := w.Manifest(m, ix.Entry(0).ModTime); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for i, e := range ix.All() {
			if i == 0 {
				continue
			}
			if err := w.Next(e.Name, e.Size, e.ModTime); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if _, err := io.Copy(w, content(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %d bytes written again are not the same %d bytes", path, got.Len(), len(want))
		}
		if size, err := snaptar.Size(m); err != nil || size != int64(len(want)) {
			t.Errorf("%s: Size %d, %v, want %d", path, size, err, len(want))
		}
		whole++
	}
	if whole == 0 {
		t.Error("no whole tar among the real chains")
	}
}

// hard are names of all lengths around the limits of the header.
func hard() []string {
	names := []string{"a", "../default/1", "a/b/default/2", "/rooted", "with space/%/\\/1", "tab\t/new\nline/1", "日本語/default/1", "ä", "x/ü/../1"}
	for _, n := range []int{98, 99, 100, 101, 102, 150, 155, 156, 157, 200, 255, 256, 257, 300, 5000} {
		flat := strings.Repeat("n", n)
		names = append(names, flat, "d/"+flat, flat+"/1", "é"+flat[:n-2], strings.Repeat("dir/", n/4)+"7")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestReadBack(t *testing.T) {
	sizes := map[string]int64{}
	for i, name := range hard() {
		sizes[name] = []int64{0, 1, 511, 512, 513, 70000}[i%6]
	}
	m := list(sizes)
	var buf bytes.Buffer
	w := snaptar.NewWriter(&buf)
	if err := w.Manifest(m, when); err != nil {
		t.Fatal(err)
	}
	for i, f := range m.Files {
		if err := w.Next(f.Name, f.Size, when.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(pattern(f.Name, f.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if size, err := snaptar.Size(m); err != nil || size != int64(buf.Len()) {
		t.Errorf("Size: %d, %v, want %d", size, err, buf.Len())
	}
	tr := tar.NewReader(&buf)
	if h, err := tr.Next(); err != nil || h.Name != "manifest" {
		t.Fatalf("first member %v, %v", h, err)
	}
	if b, err := io.ReadAll(tr); err != nil || string(b) != string(m.AppendJSON(nil)) {
		t.Errorf("manifest %q, %v", b, err)
	}
	for i, f := range m.Files {
		h, err := tr.Next()
		if err != nil {
			t.Fatalf("%.60q: %v", f.Name, err)
		}
		if h.Name != f.Name || h.Size != f.Size || h.Mode != 0o666 || h.Typeflag != tar.TypeReg || !h.ModTime.Equal(when.Add(time.Duration(i)*time.Second)) {
			t.Errorf("%.60q: %.60q, %d bytes, mode %o, type %q, %v", f.Name, h.Name, h.Size, h.Mode, h.Typeflag, h.ModTime)
		}
		if b, err := io.ReadAll(tr); err != nil || !bytes.Equal(b, pattern(f.Name, f.Size)) {
			t.Errorf("%.60q: other content, %v", f.Name, err)
		}
	}
	if _, err := tr.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last file: %v", err)
	}
}

// TestForm looks at the bytes that FORMAT tells of, which archive/tar reads in
// other forms as well.
func TestForm(t *testing.T) {
	long := strings.Repeat("d", 60) + "/" + strings.Repeat("r", 60)
	for _, tt := range []struct {
		name   string
		size   int64
		blocks int64
		want   map[int]string // what the last block has where
		pax    string         // name of the extended header
	}{
		{name: "telemetry/default/1", size: 8, blocks: 1, want: map[int]string{
			0: "telemetry/default/1\x00", 100: "0000666\x000000000\x000000000\x0000000000010\x0012615551245\x00", 154: "\x00 \x00\x00", 257: "ustar\x0000\x00", 329: "0000000\x000000000\x00\x00"}},
		{name: long + "/1", size: 8, blocks: 1, want: map[int]string{0: "1\x00", 345: long + "\x00", 257: "ustar\x0000"}},
		{name: "caf\u00e9/default/1", size: 8, blocks: 3, want: map[int]string{0: strings.Repeat("\x00", 100) + "0000666"}, pax: "caf/default/PaxHeaders.0/1\x00"},
		{name: strings.Repeat("n", 101), size: 8, blocks: 3, want: map[int]string{0: strings.Repeat("\x00", 100) + "0000666", 345: strings.Repeat("\x00", 155)}, pax: "PaxHeaders.0/" + strings.Repeat("n", 87)},
		{name: "big", size: 8 << 30, blocks: 1, want: map[int]string{0: "big\x00", 124: "\x80\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00", 257: "ustar  \x00"}},
		{name: "bigger", size: 8<<30 - 1, blocks: 1, want: map[int]string{124: "77777777777\x00", 257: "ustar\x0000"}},
		{name: long + "/1", size: 9 << 30, blocks: 3, want: map[int]string{0: "\x00", 257: "ustar  \x00", 345: strings.Repeat("\x00", 155)}, pax: long[:61] + strings.Repeat("r", 39)},
	} {
		head := headOf(t, tt.name, tt.size)
		if int64(len(head)) != tt.blocks*512 {
			t.Errorf("%.40s: %d bytes of headers", tt.name, len(head))
			continue
		}
		last := head[len(head)-512:]
		for at, s := range tt.want {
			if got := string(last[at : at+len(s)]); got != s {
				t.Errorf("%.40s: at %d: %q, want %q", tt.name, at, got, s)
			}
		}
		if tt.pax != "" && (head[156] != 'x' || !bytes.HasPrefix(head, []byte(tt.pax)) || string(head[100:124]) != "0000000\x000000000\x000000000\x00") {
			t.Errorf("%.40s: extended header %q", tt.name, head[:160])
		}
		h, err := tar.NewReader(bytes.NewReader(head)).Next()
		if err != nil || h.Name != tt.name || h.Size != tt.size || !h.ModTime.Equal(when) || h.Typeflag != tar.TypeReg {
			t.Errorf("%.40s: read back as %+v, %v", tt.name, h, err)
		}
	}
}

// limited takes everything up to a number of bytes.
type limited struct {
	w    io.Writer
	left int
}

var errFull = errors.New("no room")

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		n, _ := l.w.Write(p[:l.left])
		l.left = 0
		return n, errFull
	}
	l.left -= len(p)
	return l.w.Write(p)
}

// headOf returns the header of a member as it is written, without its data.
func headOf(t testing.TB, name string, size int64) []byte {
	var buf bytes.Buffer
	w := snaptar.NewWriter(&buf)
	if err := w.Next(name, size, when); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(snaptar.Buffered(w, &buf))
}

func TestRefuse(t *testing.T) {
	two := list(map[string]int64{"a": 1, "b": 2})
	swapped := chain.Manifest{Dialect: chain.ByTime, Files: []chain.ManifestFile{two.Files[1], two.Files[0]}}
	for name, tt := range map[string]struct {
		do   func(w *snaptar.Writer) error
		want error
		text string
	}{
		"swapped":      {func(w *snaptar.Writer) error { return w.Manifest(swapped, when) }, snaptar.ErrManifest, `"a" comes after "b"`},
		"twice":        {func(w *snaptar.Writer) error { return w.Manifest(list(map[string]int64{"manifest": 1}), when) }, snaptar.ErrName, "the manifest has it"},
		"no UTF-8":     {func(w *snaptar.Writer) error { return w.Manifest(list(map[string]int64{"\xff": 1}), when) }, snaptar.ErrName, "no UTF-8"},
		"no name":      {func(w *snaptar.Writer) error { return w.Next("", 1, when) }, snaptar.ErrName, "empty"},
		"NUL":          {func(w *snaptar.Writer) error { return w.Next("a\x00b", 1, when) }, snaptar.ErrName, "NUL"},
		"directory":    {func(w *snaptar.Writer) error { return w.Next("a/", 0, when) }, snaptar.ErrName, "slash"},
		"endless name": {func(w *snaptar.Writer) error { return w.Next(strings.Repeat("a/b", 1<<16), 0, when) }, snaptar.ErrName, "more than 65536"},
		"negative":     {func(w *snaptar.Writer) error { return w.Next("a", -1, when) }, snaptar.ErrSize, "-1 bytes"},
		"other name": {func(w *snaptar.Writer) error {
			return errors.Join(w.Manifest(two, when), w.Next("b", 2, when))
		}, snaptar.ErrManifest, `"b", 2 bytes: not as in the manifest: "a", 1 bytes, is next`},
		"other size": {func(w *snaptar.Writer) error {
			return errors.Join(w.Manifest(two, when), w.Next("a", 2, when))
		}, snaptar.ErrManifest, `"a", 2 bytes`},
		"one too many": {func(w *snaptar.Writer) error {
			return errors.Join(w.Manifest(chain.Manifest{}, when), w.Next("a", 2, when))
		}, snaptar.ErrManifest, "nothing comes after"},
		"manifest late": {func(w *snaptar.Writer) error {
			return errors.Join(w.Next("a", 0, when), w.Manifest(two, when))
		}, snaptar.ErrManifest, "comes first"},
		"file missing": {func(w *snaptar.Writer) error {
			return errors.Join(w.Manifest(two, when), w.Close())
		}, snaptar.ErrManifest, `2 files are missing, the first of them "a"`},
		"data missing": {func(w *snaptar.Writer) error {
			return errors.Join(w.Next("a", 3, when), w.Next("b", 3, when))
		}, snaptar.ErrSize, "3 bytes are missing"},
		"too much data": {func(w *snaptar.Writer) error {
			err := w.Next("a", 3, when)
			_, werr := w.Write([]byte("four"))
			return errors.Join(err, werr)
		}, snaptar.ErrSize, "1 bytes too many"},
		"closed": {func(w *snaptar.Writer) error { return errors.Join(w.Close(), w.Next("a", 1, when)) }, nil, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			w := snaptar.NewWriter(&buf)
			err := tt.do(w)
			if err == nil || !strings.Contains(err.Error(), tt.text) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Fatalf("%v, want %q", err, tt.text)
			}
			// It stays broken, and what was written does not look whole.
			if err := w.Close(); err == nil {
				t.Error("Close after an error returned none")
			}
			if name != "closed" && bytes.HasSuffix(buf.Bytes(), make([]byte, 1024)) {
				t.Error("there is an end mark after an error")
			}
		})
	}
}

// TestFull lets the output fail at each of its bytes.
func TestFull(t *testing.T) {
	m := list(map[string]int64{"a": 300, "ü": 200})
	size, err := snaptar.Size(m)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < int(size); n += 97 {
		w := snaptar.NewWriter(&limited{io.Discard, n})
		err := w.Manifest(m, when)
		for _, f := range m.Files {
			err = errors.Join(err, w.Next(f.Name, f.Size, when))
			_, werr := w.Write(pattern(f.Name, f.Size))
			err = errors.Join(err, werr)
		}
		if err = errors.Join(err, w.Close()); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: %v", n, err)
		}
	}
}

// FuzzHeader writes a member of any name and size; archive/tar and tarindex
// must read the same.
func FuzzHeader(f *testing.F) {
	for i, name := range hard() {
		f.Add(name, int64(i)<<29, int64(i)<<30, uint16(i))
	}
	f.Add("a\xffb", int64(1), int64(-1), uint16(3))
	f.Add(strings.Repeat("\xff", 200)+"/x", int64(1)<<40, int64(1)<<34, uint16(3))
	f.Fuzz(func(t *testing.T, name string, size, seconds int64, n uint16) {
		at := time.Unix(seconds%(1<<40), 0)
		w := snaptar.NewWriter(io.Discard)
		if err := w.Next(name, size, at); err != nil {
			if !errors.Is(err, snaptar.ErrName) && !errors.Is(err, snaptar.ErrSize) {
				t.Fatal(err)
			}
			return
		}
		head := headOf(t, name, size)
		h, err := tar.NewReader(bytes.NewReader(head)).Next()
		if err != nil || h.Name != name || h.Size != size || h.Typeflag != tar.TypeReg || h.Mode != 0o666 {
			t.Fatalf("%q, %d: archive/tar reads %+v, %v", name, size, h, err)
		}
		// With data, and one more member behind it.
		data := pattern(fmt.Sprint(n), int64(n))
		var buf bytes.Buffer
		w = snaptar.NewWriter(&buf)
		if err := w.Next(name, int64(n), at); err != nil {
			t.Fatal(err)
		}
		for len(data) > 0 {
			k := min(len(data), 1000)
			if _, err := w.Write(data[:k]); err != nil {
				t.Fatal(err)
			}
			data = data[k:]
		}
		if err := errors.Join(w.Next("z", 0, at), w.Close()); err != nil {
			t.Fatal(err)
		}
		ix, err := tarindex.Build(bytes.NewReader(buf.Bytes()), int64(buf.Len()), tarindex.Options{})
		if err != nil || ix.Len() != 2 || ix.Entry(0).Name != name || ix.Entry(0).Size != int64(n) || ix.Entry(1).Name != "z" {
			t.Fatalf("%q: tarindex: %v, %+v", name, err, ix)
		}
		want := at
		if s := at.Unix(); s < 0 || s >= 1<<33 {
			want = time.Unix(0, 0)
		}
		if got := ix.Entry(0).ModTime; !got.Equal(want) {
			t.Fatalf("time %v, want %v", got, want)
		}
		r, err := ix.Content(0)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(io.NewSectionReader(r, 0, int64(n))); err != nil || !bytes.Equal(b, pattern(fmt.Sprint(n), int64(n))) {
			t.Fatalf("%q: other content, %v", name, err)
		}
	})
}

// open opens an archive of the temporary directory.
func open(t testing.TB, path string) *tarindex.Index {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	ix, err := tarindex.Build(f, st.Size(), tarindex.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

// create makes a file that is closed when the test ends.
func create(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
