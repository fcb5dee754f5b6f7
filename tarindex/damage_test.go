package tarindex

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/internal/hint"
)

// TestCut cuts archives at every byte.
func TestCut(t *testing.T) {
	for name, data := range map[string][]byte{
		"plain": write(t, memb{name: "a", data: strings.Repeat("a", 700)}, memb{name: "dir/", typ: tar.TypeDir}, memb{name: "b", data: "b"}),
		"pax":   write(t, memb{name: "ä", data: "1"}, memb{name: strings.Repeat("n", 200), data: "2"}),
		"gnu": write(t, memb{name: strings.Repeat("n", 200), data: "2", hdr: func(h *tar.Header) { h.Format = tar.FormatGNU }},
			memb{name: "x", data: "y"}),
		"sparse": goTestdata(t, "sparse-formats.tar")["sparse-formats.tar"],
	} {
		t.Run(name, func(t *testing.T) {
			step := 1
			if len(data) > 8<<10 {
				step = 37
			}
			for n := 0; n <= len(data); n += step {
				ix := compare(t, data[:n])
				if n >= 512 && ix == nil {
					t.Fatalf("cut at %d: no index", n)
				}
			}
		})
	}
}

func TestCutMember(t *testing.T) {
	whole := write(t, memb{name: "a", data: "first"}, memb{name: "b", data: strings.Repeat("0123456789", 1000)}, memb{name: "c", data: "last"})
	const cut = 512 + 512 + 512 + 4000
	data := whole[:cut]
	ix, err := Build(bytes.NewReader(data), cut, Options{})
	e := asError(t, err)
	if !errors.Is(err, ErrTruncated) || errors.Is(err, ErrFormat) || e.Offset != cut || e.Name != "b" || e.Missing != 6000 {
		t.Errorf("Build: %#v", e)
	}
	if ix.Len() != 2 || ix.Entry(1).Size != 10000 {
		t.Fatalf("%d members: %+v", ix.Len(), ix.Entry(1))
	}
	if got := readMember(t, ix, 0); got != "first" {
		t.Errorf("a whole member reads %q", got)
	}
	f, err := ix.Open("b")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := f.(io.ReaderAt)
	p := make([]byte, 100)
	if n, err := r.ReadAt(p, 3900); n != 100 || err != nil || string(p) != strings.Repeat("0123456789", 10) {
		t.Errorf("before the cut: %d, %v", n, err)
	}
	for _, off := range []int64{3950, 4000, 9990, 9999} {
		n, err := r.ReadAt(p, off)
		if n != int(max(0, 4000-off)) || !errors.Is(err, ErrTruncated) || errors.Is(err, io.EOF) {
			t.Errorf("ReadAt(%d) = %d, %v", off, n, err)
		}
	}
	if all, err := io.ReadAll(f); len(all) != 4000 || !errors.Is(err, ErrTruncated) {
		t.Errorf("read %d bytes, %v", len(all), err)
	}
	if got := warnings(ix); len(got) != 2 || got[0] != `cut off "b"` || got[1] != `no end mark ""` {
		t.Errorf("warnings %q", got)
	}
	// Cut right behind the header nothing of it is there.
	ix, err = Build(bytes.NewReader(whole[:1536]), 1536, Options{})
	if e := asError(t, err); ix.Len() != 2 || e.Missing != 10000 || e.Offset != 1536 {
		t.Errorf("cut behind the header: %v, %d members", err, ix.Len())
	}
	// Of the filling nothing is missed.
	data = whole[:512+512+512+10000]
	if ix, err = Build(bytes.NewReader(data), int64(len(data)), Options{}); err != nil || ix.Len() != 2 {
		t.Errorf("cut within the filling: %v", err)
	}
}

func TestNotTar(t *testing.T) {
	sound := write(t, memb{name: "a", data: "first"}, memb{name: "b", data: "second"})
	sound = sound[:len(sound)-1024]
	garbage := bytes.Repeat([]byte("garbage!"), 128)
	for _, tt := range []struct {
		name    string
		data    []byte
		members int // -1: no index
		err     error
		off     int64
	}{
		{"empty", nil, -1, ErrFormat, 0},
		{"one byte", []byte{0}, -1, ErrFormat, 0},
		{"text", []byte("hello, world\n"), -1, ErrFormat, 0},
		{"garbage", garbage, -1, ErrFormat, 0},
		{"a first sum that is wrong", append([]byte("X"), sound[1:]...), -1, ErrFormat, 0},
		{"half a header", sound[:400], 0, ErrTruncated, 400},
		{"garbage after members", append(bytes.Clone(sound), garbage...), 2, ErrFormat, int64(len(sound))},
		{"one zero block, then garbage", append(append(bytes.Clone(sound), make([]byte, 512)...), garbage...), 2, ErrFormat, int64(len(sound))},
		{"a sum that is wrong", blocks(header("a", '0', 0, nil), append([]byte("X"), header("b", '0', 0, nil)[1:]...)), 1, ErrFormat, 512},
		{"a pax header that is wrong", blocks(sound, header("x", 'x', 10, nil), "10 path=a", header("b", '0', 0, nil)), 2, ErrFormat, int64(len(sound))},
		{"an endless pax header", blocks(sound, header("x", 'x', 2<<20, nil), make([]byte, 2<<20), header("b", '0', 0, nil)), 2, ErrFormat, int64(len(sound))},
		{"a pax header alone", blocks(sound, pax("path", "x")), 2, ErrTruncated, int64(len(sound)) + 1024},
		{"a pax header and the end", blocks(sound, pax("path", "x"), endBlocks), 2, nil, 0},
		{"a pax header cut", blocks(sound, pax("path", "x"))[:len(sound)+700], 2, ErrTruncated, int64(len(sound)) + 700},
		{"a negative size", blocks(header("a", '0', 0, func(b []byte) { copy(b[offSize:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0") })), -1, ErrFormat, 0},
		{"a negative pax size", blocks(sound, pax("size", "-1"), header("b", '0', 0, nil)), 2, ErrFormat, int64(len(sound))},
		{"a size that is no number", blocks(sound, pax("size", "1x"), header("b", '0', 0, nil)), 2, ErrFormat, int64(len(sound))},
		{"the largest size", blocks(sound, pax("size", "9223372036854775807"), header("b", '0', 0, nil), "x"), 3, ErrTruncated, int64(len(sound)) + 2048},
		{"a size that is too large", blocks(sound, pax("size", "9223372036854775808"), header("b", '0', 0, nil), "x"), 2, ErrFormat, int64(len(sound))},
		{"an end mark alone", endBlocks, 0, nil, 0},
		{"half an end mark", endBlocks[:512], 0, nil, 0},
		{"half an end mark, cut", append(bytes.Clone(sound), endBlocks[:700]...), 2, ErrTruncated, int64(len(sound)) + 700},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if len(tt.data) > 0 {
				compare(t, tt.data)
			}
			ix, err := Build(bytes.NewReader(tt.data), int64(len(tt.data)), Options{})
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("Build: %v, want %v", err, tt.err)
			}
			if err != nil {
				if e := asError(t, err); e.Offset != tt.off {
					t.Errorf("Build: %v, want offset %d", err, tt.off)
				}
			}
			switch {
			case (ix == nil) != (tt.members < 0):
				t.Errorf("index %v, want %d members", ix, tt.members)
			case ix != nil && ix.Len() != tt.members:
				t.Errorf("%d members, want %d", ix.Len(), tt.members)
			}
		})
	}
}

func TestCompressed(t *testing.T) {
	dir := t.TempDir()
	for magic, want := range map[string]string{
		"\x1f\x8b\x08\x00":     "gzip -d -c",
		"\x28\xb5\x2f\xfd":     "zstd -d -c",
		"\xfd7zXZ\x00":         "xz -d -c",
		"BZh91AY&SY":           "bzip2 -d -c",
		"\x04\x22\x4d\x18\x40": "lz4 -d -c",
		"LZIP\x01":             "lzip -d -c",
	} {
		for _, size := range []int{20, 4096} {
			data := append([]byte(magic), make([]byte, size)...)
			ix, err := Build(bytes.NewReader(data), int64(len(data)), Options{})
			if ix != nil || !errors.Is(err, ErrCompressed) || errors.Is(err, ErrFormat) {
				t.Errorf("%q: %v", magic, err)
			}
			if h := hint.Of(err); !strings.Contains(h, want+" FILE > FILE.tar") {
				t.Errorf("%q: hint %q", magic, h)
			}
			path := filepath.Join(dir, "it's a snap.zst")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Build(f, int64(len(data)), Options{})
			f.Close()
			if h := hint.Of(err); !strings.Contains(h, want+" '"+dir+`/it'\''s a snap.zst' > '`+dir+`/it'\''s a snap'`) {
				t.Errorf("%q: hint %q", magic, h)
			}
		}
	}
	// A member may be called so.
	if ix := index(t, write(t, memb{name: "BZh91AY&SY", data: "x"})); ix.Len() != 1 {
		t.Error("a name taken for compression")
	}
}

// failing fails to read the bytes from bad on.
type failing struct {
	data []byte
	bad  int64
	err  error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(f.data).ReadAt(p, off)
	if off+int64(n) > f.bad {
		return int(max(0, f.bad-off)), f.err
	}
	return n, err
}

// TestReadError has a disk fail at every block.
func TestReadError(t *testing.T) {
	data := blocks(write(t, memb{name: "a", data: "1"}, memb{name: "ä", data: strings.Repeat("2", 9000)}, memb{name: "c", data: "3"}))
	broken := errors.New("the disk is broken")
	for bad := int64(0); bad < int64(len(data)); bad += 512 {
		ix, err := Build(failing{data, bad, broken}, int64(len(data)), Options{})
		if bad == 0 && ix != nil {
			t.Errorf("an index of nothing")
		}
		want := 0
		for _, off := range []int64{0, 1024, 11776} { // of the headers
			end := off + 512
			if off == 1024 {
				end += 1024 // with a PAX header
			}
			if end <= bad {
				want++
			}
		}
		if ix != nil && ix.Len() != want {
			t.Errorf("bad from %d: %d members, want %d", bad, ix.Len(), want)
		}
		if !errors.Is(err, broken) || errors.Is(err, ErrFormat) || errors.Is(err, ErrTruncated) {
			t.Errorf("bad from %d: %v", bad, err)
		}
		if want > 1 {
			r, err := ix.Content(1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.ReadAt(make([]byte, 9000), 0); bad < 11560 && !errors.Is(err, broken) {
				t.Errorf("bad from %d: read: %v", bad, err)
			}
		}
	}
}

// TestShorterThanSaid indexes a file that ends before its size.
func TestShorterThanSaid(t *testing.T) {
	data := write(t, memb{name: "a", data: "first"}, memb{name: "b", data: strings.Repeat("b", 600)})
	data = data[:len(data)-1024]
	for _, cut := range []int{len(data), len(data) - 1024, 1024, 1000, 512} {
		ix, err := Build(bytes.NewReader(data[:cut]), int64(len(data))+4096, Options{})
		if !errors.Is(err, ErrTruncated) {
			t.Errorf("cut at %d: %v", cut, err)
		}
		if cut >= 512 && ix.Len() == 0 {
			t.Errorf("cut at %d: no members", cut)
		}
	}
	for _, size := range []int64{-1, math.MinInt64} {
		if ix, err := Build(bytes.NewReader(data), size, Options{}); ix != nil || !errors.Is(err, ErrFormat) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	if _, err := Build(bytes.NewReader(data), math.MaxInt64, Options{}); !errors.Is(err, ErrTruncated) {
		t.Errorf("the largest size: %v", err)
	}
}

// TestGrown has an archive grow after it was indexed: what is new is no part
// of the member that was cut.
func TestGrown(t *testing.T) {
	whole := write(t, memb{name: "a", data: strings.Repeat("a", 5000)})
	ix, err := Build(bytes.NewReader(whole), 3000, Options{})
	if !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
	r, err := ix.Content(0)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.ReadAt(make([]byte, 5000), 0); n != 3000-512 || !errors.Is(err, ErrTruncated) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// TestChanged overwrites an archive after it was indexed: nothing may panic,
// or read what is no longer there without a word.
func TestChanged(t *testing.T) {
	sound := write(t, memb{name: "a", data: "1"}, memb{name: "s", typ: tar.TypeSymlink, data: "a"}, memb{name: "h", typ: tar.TypeLink, data: "a"}, memb{name: "ä", data: "2"})
	archives := [][]byte{sound, goTestdata(t, "sparse-formats.tar")["sparse-formats.tar"]}
	for kind, table := range []string{string(base256(0)) + string(base256(5)), "0,5", "1\n0\n5\n", "0,5"} {
		archives = append(archives, sparseArchive(uint8(kind), 1<<20, table, "hello", 5))
	}
	for _, archive := range archives {
		for _, change := range []func([]byte){
			func(b []byte) { clear(b) },
			func(b []byte) {
				for i := range b {
					b[i] = 'x'
				}
			},
			func(b []byte) { copy(b, b[blockSize:]) },
			func(b []byte) { // sizes, with sums that are right
				for off := 0; off < len(b); off += blockSize {
					copy(b[off+offSize:], "77777777777\x00")
					resum(b[off:])
				}
			},
			func(b []byte) { // types
				for off := 0; off < len(b); off += blockSize {
					b[off+offType] = 'x'
					resum(b[off:])
				}
			},
			func(b []byte) { // maps
				for i, c := range b {
					if c >= '1' && c <= '9' && i%blockSize > 257 {
						b[i] = '9'
					}
				}
			},
		} {
			data := bytes.Clone(archive)
			ix := index(t, data)
			change(data)
			for i, e := range ix.All() {
				_, err := ix.Header(i)
				if data[e.HeaderOffset+offLink] == 'x' && err == nil {
					t.Errorf("header of %q read from garbage", e.Name)
				}
				if _, err := ix.Link(i); err != nil {
					asError(t, err)
				}
				r, err := ix.Content(i)
				if err != nil {
					asError(t, err)
					continue
				}
				p := make([]byte, 1000)
				for _, off := range []int64{0, 1, 500, e.Size - 1} {
					if _, err := r.ReadAt(p, max(0, off)); err != nil && err != io.EOF {
						asError(t, err)
					}
				}
			}
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		data []byte
		want string
	}{
		{nil, "index tar: offset 0: not a tar header: the file is empty"},
		{[]byte("text"), "index tar: offset 0: not a tar header"},
		{[]byte("\x1f\x8b\x08"), "index tar: offset 0: archive is compressed by gzip"},
		{blocks(header("a/b", '0', 9000, nil), "x"), `index tar: member "a/b": offset 1024: archive is cut off, 8488 bytes are missing`},
		{append(header("a", '0', 0, nil), 'x'), "index tar: offset 513: archive is cut off, 511 bytes are missing"},
		{blocks(header("a", '0', 0, nil), "garbage"), "index tar: offset 512: not a tar header"},
		{blocks(header("a", '0', 0, nil), header("L", 'L', 2<<20, nil), make([]byte, 2<<20)), "index tar: offset 512: not a tar header: archive/tar: header field too long"},
	} {
		_, err := Build(bytes.NewReader(tt.data), int64(len(tt.data)), Options{})
		if err == nil || err.Error() != tt.want {
			t.Errorf("error %q, want %q", err, tt.want)
		}
	}
}
