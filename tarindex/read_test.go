package tarindex

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/snapfs/snapfs/internal/realchains"
)

// counting counts what is read.
type counting struct {
	io.ReaderAt
	bytes, calls atomic.Int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.bytes.Add(int64(len(p)))
	c.calls.Add(1)
	return c.ReaderAt.ReadAt(p, off)
}

// holes is an archive of n members of the same size, whose data are zeros that
// are nowhere stored.
type holes struct {
	header []byte
	n      int
	size   int64
}

func (h holes) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	stride := blockSize + padded(h.size)
	for i := off / stride; i < int64(h.n) && i*stride < off+int64(len(p)); i++ {
		if at := i*stride - off; at >= 0 {
			copy(p[at:], h.header)
		} else if -at < blockSize {
			copy(p, h.header[-at:])
		}
	}
	return len(p), nil
}

// TestBytesRead holds Build to its word: it reads headers, not contents.
func TestBytesRead(t *testing.T) {
	for _, tt := range []struct {
		name  string
		n     int
		size  int64
		bytes int64 // at most
		calls int64
	}{
		{"1,000 of 1 MiB", 1000, 1 << 20, 2 << 20, 1010},
		{"10,000 of 1 MiB", 10_000, 1 << 20, 20 << 20, 10_010},
		{"100 of 64 GiB", 100, 64 << 30, 100 << 10, 110},
		{"10,000 of 16 KiB", 10_000, 16 << 10, 10_000 * 1024, 10_010},
		{"100,000 empty", 100_000, 0, 100_000*512 + 4096, 500},
		{"100,000 of 1 KiB", 100_000, 1 << 10, 100_000*1536 + 4096, 1500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h holes
			if tt.size < 1<<33 {
				h = holes{header("a", '0', tt.size, nil), tt.n, tt.size}
			} else {
				h = holes{header("a", '0', 0, func(b []byte) {
					copy(b[offSize:], "\x80\x00\x00\x00\x00\x00\x00")
					for i := range 5 {
						b[offSize+11-i] = byte(tt.size >> (8 * i))
					}
				}), tt.n, tt.size}
			}
			r := &counting{ReaderAt: h}
			ix, err := Build(r, int64(tt.n)*(blockSize+padded(tt.size))+1024, Options{})
			if err != nil || ix.Len() != tt.n {
				t.Fatalf("%d members, %v", ix.Len(), err)
			}
			t.Logf("%d bytes in %d reads: %.0f bytes per member", r.bytes.Load(), r.calls.Load(), float64(r.bytes.Load())/float64(tt.n))
			if n := r.bytes.Load(); n > tt.bytes {
				t.Errorf("%d bytes read, want at most %d", n, tt.bytes)
			}
			if n := r.calls.Load(); n > tt.calls {
				t.Errorf("%d reads, want at most %d", n, tt.calls)
			}
			// The tree and its listing need nothing more.
			before := r.bytes.Load()
			if _, err := ix.ReadDir("."); err != nil {
				t.Error(err)
			}
			if r.bytes.Load() != before {
				t.Error("the tree reads the archive")
			}
		})
	}
}

// TestSparse reads pieces of sparse members of all formats, each against the
// map that they were made of.
func TestSparse(t *testing.T) {
	const size = 1 << 40
	type piece struct {
		off int64
		s   string
	}
	pieces := []piece{{0, "begin"}, {1000, strings.Repeat("x", 700)}, {1700, "next"}, {1 << 32, "far"}, {size - 3, "end"}}
	var data, comma, lines, old strings.Builder
	lines.WriteString(strings.Repeat("0", 600) + "5\n") // a map of two blocks
	for i, p := range pieces {
		data.WriteString(p.s)
		if i > 0 {
			comma.WriteByte(',')
		}
		comma.WriteString(num(p.off) + "," + num(int64(len(p.s))))
		lines.WriteString(num(p.off) + "\n" + num(int64(len(p.s))) + "\n")
		if i == 4 {
			old.WriteByte(1) // the header holds four entries, a block follows
		}
		old.Write(base256(p.off))
		old.Write(base256(int64(len(p.s))))
	}
	for kind, table := range []string{old.String(), comma.String(), lines.String(), comma.String()} {
		archive := sparseArchive(uint8(kind), size, table, data.String(), int64(data.Len()))
		ix := index(t, archive)
		if ix.Len() != 2 || ix.Entry(0).Size != size || readMember(t, ix, 1) != "after" {
			t.Fatalf("kind %d: %d members, %+v", kind, ix.Len(), ix.Entry(0))
		}
		r, err := ix.Content(0)
		if err != nil {
			t.Fatalf("kind %d: %v", kind, err)
		}
		model := func(off int64, n int) []byte {
			out := make([]byte, n)
			for _, p := range pieces {
				for i := range p.s {
					if at := p.off + int64(i) - off; at >= 0 && at < int64(n) {
						out[at] = p.s[i]
					}
				}
			}
			return out
		}
		for _, off := range []int64{0, 1, 4, 5, 6, 990, 999, 1000, 1001, 1500, 1699, 1700, 1703, 1704, 1 << 20, 1<<32 - 1, 1 << 32, 1<<32 + 3, size - 4, size - 3, size - 1} {
			for _, n := range []int{1, 2, 10, 1000, 5000} {
				p := make([]byte, n)
				want := model(off, int(min(int64(n), size-off)))
				got, err := r.ReadAt(p, off)
				if got != len(want) || !bytes.Equal(p[:got], want) || (err == io.EOF) != (got < n) || err != nil && err != io.EOF {
					t.Fatalf("kind %d: ReadAt(%d bytes, %d) = %d, %v", kind, n, off, got, err)
				}
			}
		}
		if n, err := r.ReadAt(make([]byte, 1), size); n != 0 || err != io.EOF {
			t.Errorf("kind %d: at the end: %d, %v", kind, n, err)
		}
		if _, err := r.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
			t.Errorf("kind %d: offset -1: %v", kind, err)
		}
		for k := range ix.FileInfo(0).Sys().(sys).Attrs() {
			if k == "offset" {
				t.Errorf("kind %d: a sparse member has no one offset", kind)
			}
		}
		// Cut within the data: holes and the pieces before the cut are there.
		cut := bytes.Index(archive, []byte("next")) + 2
		ix, err = Build(bytes.NewReader(archive[:cut]), int64(cut), Options{})
		if e := asError(t, err); !errors.Is(err, ErrTruncated) || e.Missing != int64(len("xt")+len("far")+len("end")) {
			t.Errorf("kind %d, cut: %v", kind, err)
		}
		if r, err = ix.Content(0); err != nil {
			t.Fatalf("kind %d, cut: %v", kind, err)
		}
		p := make([]byte, 8)
		if n, err := r.ReadAt(p, 1694); n != 8 || err != nil || string(p) != "xxxxxxne" {
			t.Errorf("kind %d, before the cut: %q, %v", kind, p[:n], err)
		}
		if n, err := r.ReadAt(p, 1700); n != 2 || !errors.Is(err, ErrTruncated) {
			t.Errorf("kind %d, across the cut: %d, %v", kind, n, err)
		}
		if n, err := r.ReadAt(p, 1<<20); n != 8 || err != nil {
			t.Errorf("kind %d, a hole behind the cut: %d, %v", kind, n, err)
		}
		if n, err := r.ReadAt(p, size-5); n != 2 || !errors.Is(err, ErrTruncated) {
			t.Errorf("kind %d, behind the cut: %d, %v", kind, n, err)
		}
	}
}

func TestSparseContradictions(t *testing.T) {
	for _, tt := range []struct {
		name, table, data string
		size              int64
		want              string // what can be read
	}{
		{"more data than the map has", "0,5", "helloabc", 5, ""},
		{"less data than the map has", "0,5,100,10", "helloabc", 110, "hello" + strings.Repeat("\x00", 95) + "abc"},
	} {
		ix := index(t, sparseArchive(1, tt.size, tt.table, tt.data, int64(len(tt.data))))
		r, err := ix.Content(0)
		var got []byte
		if err == nil {
			got, err = io.ReadAll(io.NewSectionReader(r, 0, tt.size))
		}
		if string(got) != tt.want || !errors.Is(err, ErrFormat) || errors.Is(err, io.EOF) {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
	for _, table := range []string{"5,5,0,5", "0,5,4,1", "0,-1", "-1,1", "9223372036854775807,1", "0,200", "1,2,3", "a,b", ""} {
		archive := sparseArchive(1, 100, table, "hello", 5)
		if ix, err := Build(bytes.NewReader(archive), int64(len(archive)), Options{}); table != "" && !errors.Is(err, ErrFormat) {
			t.Errorf("map %q: %v, %d members", table, err, ix.Len())
		}
		compare(t, archive)
	}
}

func num(n int64) string { return strconv.FormatInt(n, 10) }

// base256 is a numeric field of 12 bytes in GNU's binary format.
func base256(n int64) []byte {
	b := make([]byte, 12)
	for i := range 8 {
		b[11-i] = byte(n >> (8 * i))
	}
	b[0] = 0x80
	return b
}

// TestChains indexes all that real servers wrote.
func TestChains(t *testing.T) {
	for _, file := range realchains.Layers(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, data)
		ix, err := Build(f, int64(len(data)), Options{})
		switch {
		case len(data) == 0: // what an old client kept of a server that died
			if ix != nil || !errors.Is(err, ErrFormat) {
				t.Errorf("%s: empty: %v", file, err)
			}
		case err != nil || ix.Len() == 0 || ix.Entry(0).Name != "manifest" || ix.Entry(0).Type != tar.TypeReg:
			t.Errorf("%s: no manifest, %v", file, err)
		default:
			checkTree(t, ix)
			for w := range ix.Warnings() {
				if w.Kind != Escaped {
					t.Errorf("%s: %s", file, w.Text)
				}
			}
		}
		f.Close()
		after, err := os.ReadFile(file)
		if err != nil || sha256.Sum256(after) != sha256.Sum256(data) {
			t.Errorf("%s was changed: %v", file, err)
		}
	}
}

// TestTarCommand indexes what the system's tar writes, in all of its formats.
func TestTarCommand(t *testing.T) {
	command, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("no tar command")
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	for name, data := range map[string]string{
		"file": "content", "dir/" + strings.Repeat("n", 90) + "/" + strings.Repeat("m", 99): "long", "dir/Ärger\xff": "odd", "empty": "",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	sparse, err := os.Create(filepath.Join(root, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(30) {
		if _, err := sparse.WriteAt([]byte("island"), i*20000); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(sparse.Truncate(1<<20), sparse.Close(), os.Link(filepath.Join(root, "file"), filepath.Join(root, "hard")), os.Symlink("dir/../file", filepath.Join(root, "soft"))); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--format=v7"}, {"--format=ustar"}, {"--format=gnu"}, {"--format=oldgnu"}, {"--format=posix"}, {"--format=gnu", "--sparse"}, {"--format=oldgnu", "--sparse"},
		{"--format=posix", "--sparse", "--sparse-version=0.0"}, {"--format=posix", "--sparse", "--sparse-version=0.1"}, {"--format=posix", "--sparse", "--sparse-version=1.0"},
		{"--format=gnu", "--label=volume"}, {"--format=gnu", "--listed-incremental=" + filepath.Join(dir, "list")},
	} {
		t.Run(strings.Join(args[:min(len(args), 3)], " "), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "x.tar")
			cmd := exec.Command(command, append(args, "-C", root, "-cf", out, ".")...)
			cmd.Env = append(os.Environ(), "LC_ALL=C")
			if msg, err := cmd.CombinedOutput(); err != nil && !strings.Contains(args[0], "v7") && !strings.Contains(args[0], "ustar") {
				t.Skipf("%v: %s", err, msg)
			}
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			ix := index(t, data)
			checkTree(t, ix)
			err = fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				want, err := os.ReadFile(filepath.Join(root, path))
				if err != nil {
					return err
				}
				shown := strings.ReplaceAll(path, "\xff", "%FF")
				got, err := fs.ReadFile(ix, shown)
				if errors.Is(err, fs.ErrNotExist) && len(path) > 99 && strings.Contains(args[0], "v7") {
					return nil // too long for the format
				}
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%q: %d bytes, want %d, %v", path, len(got), len(want), err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if target, err := ix.ReadLink("soft"); target != "dir/../file" || err != nil {
				t.Errorf("soft: %q, %v", target, err)
			}
		})
	}
}
