package tarindex

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapfs/snapfs/internal/attr"
)

// listing returns what fs.WalkDir finds: directories end in a slash, links are
// followed by "->", files by their content.
func listing(t *testing.T, ix *Index) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(ix, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == ".":
		case d.IsDir():
			out = append(out, path+"/")
		case d.Type() == fs.ModeSymlink:
			target, err := ix.ReadLink(path)
			if err != nil {
				return err
			}
			out = append(out, path+" -> "+target)
		case !d.Type().IsRegular():
			out = append(out, path+" "+d.Type().String())
		default:
			data, err := fs.ReadFile(ix, path)
			if errors.Is(err, ErrNoContent) {
				data = []byte("(no content)")
			} else if err != nil {
				return err
			}
			out = append(out, path+" "+string(data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTree runs each case with several prefixes of all names, which must not
// matter, but for "../", below which all is in a directory of its own.
func TestTree(t *testing.T) {
	long := strings.Repeat("long", 20)
	for _, tt := range []struct {
		name     string
		in       []memb
		want     []string
		warnings []string // but for those of the prefix
	}{
		{
			name: "as influxd writes it",
			in:   []memb{{name: "manifest", data: "{}"}, {name: "db/rp/1", data: "1"}, {name: "db/rp/10", data: "10"}, {name: "meta", data: "m"}},
			want: []string{"db/", "db/rp/", "db/rp/1 1", "db/rp/10 10", "manifest {}", "meta m"},
		},
		{
			name: "directories",
			in:   []memb{{name: "d/", typ: tar.TypeDir, mode: 0o750}, {name: "d/f", data: "1"}, {name: "e", typ: tar.TypeDir}, {name: "d/", typ: tar.TypeDir}},
			want: []string{"d/", "d/f 1", "e/"},
		},
		{
			name:     "the last of a name wins",
			in:       []memb{{name: "a", data: "1"}, {name: "b", data: "2"}, {name: "./a", data: "3"}, {name: "x/../b", data: "4"}},
			want:     []string{"a 3", "b 4"},
			warnings: []string{`shadowed "a"`, `shadowed "b"`},
		},
		{
			name: "a file and a directory of one name",
			in:   []memb{{name: "meta", data: "m"}, {name: "meta/default/6", data: "6"}, {name: "meta.d", data: "d"}},
			want: []string{"meta m", "meta.d d", "meta.d.d/", "meta.d.d/default/", "meta.d.d/default/6 6"},
		},
		{
			name:     "hard links",
			in:       []memb{{name: "a", data: "1"}, {name: "b", typ: tar.TypeLink, data: "a"}, {name: "c", typ: tar.TypeLink, data: "b"}, {name: "d", typ: tar.TypeLink, data: "none"}},
			want:     []string{"a 1", "b 1", "c 1", "d (no content)"},
			warnings: []string{`no target "d"`},
		},
		{
			name:     "a hard link keeps what its target was",
			in:       []memb{{name: "a", data: "old"}, {name: "l", typ: tar.TypeLink, data: "a"}, {name: "a", data: "new"}, {name: "early", typ: tar.TypeLink, data: "z"}, {name: "z", data: "z"}},
			want:     []string{"a new", "early z", "l old", "z z"},
			warnings: []string{`shadowed "a"`},
		},
		{
			name:     "hard links in a circle, to a directory, to a symbolic link",
			in:       []memb{{name: "a", typ: tar.TypeLink, data: "b"}, {name: "b", typ: tar.TypeLink, data: "a"}, {name: "d/", typ: tar.TypeDir}, {name: "e", typ: tar.TypeLink, data: "d"}, {name: "s", typ: tar.TypeSymlink, data: "x/y"}, {name: "t", typ: tar.TypeLink, data: "s"}, {name: "me", typ: tar.TypeLink, data: "me"}},
			want:     []string{"a (no content)", "b (no content)", "d/", "e (no content)", "me (no content)", "s -> x/y", "t -> x/y"},
			warnings: []string{`no target "a"`, `no target "b"`, `no target "e"`, `no target "me"`},
		},
		{
			name:     "names that no file can have",
			in:       []memb{{name: "50%", data: "1"}, {name: "tab\t", data: "2"}, {name: "ok/x\xff", data: "3", hdr: func(h *tar.Header) { h.Format = tar.FormatGNU }}, {name: "Ärger", data: "4"}},
			want:     []string{"50%25 1", "ok/", "ok/x%FF 3", "tab%09 2", "Ärger 4"},
			warnings: []string{`escaped "50%"`, `escaped "tab\t"`, `escaped "ok/x\xff"`},
		},
		{
			name: "symbolic links in terms of paths",
			in:   []memb{{name: "50%/x", data: "1"}, {name: "l", typ: tar.TypeSymlink, data: "./50%/../50%/x"}, {name: "abs", typ: tar.TypeSymlink, data: "/etc/passwd"}},
			want: []string{"50%25/", "50%25/x 1", "abs -> /etc/passwd", "l -> ./50%25/../50%25/x"},
			warnings: []string{
				`escaped "50%/x"`,
			},
		},
		{
			name: "devices",
			in:   []memb{{name: "c", typ: tar.TypeChar, size: 5}, {name: "b", typ: tar.TypeBlock}, {name: "p", typ: tar.TypeFifo}, {name: "after", data: "a"}},
			want: []string{"after a", "b D---------", "c Dc---------", "p p---------"},
		},
		{
			name: "odd types",
			in: []memb{{name: "g", typ: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "x"}, hdr: func(h *tar.Header) { h.Name = "" }},
				{name: "label", typ: 'V'}, {name: "dump", typ: 'D', data: "Yfile\x00\x00"}, {name: "dump/file", data: "1"}, {name: "cont", typ: tar.TypeCont, data: "2"}, {name: "new", typ: 'Q', data: "3"}},
			want: []string{"cont 2", "dump/", "dump/file 1", "new 3"},
		},
		{
			name: "long names",
			in:   []memb{{name: long + "/" + long + "/" + long + "/x", data: "1"}, {name: strings.Repeat("n", 300), data: "2"}},
			want: []string{long + "/", long + "/" + long + "/", long + "/" + long + "/" + long + "/", long + "/" + long + "/" + long + "/x 1",
				strings.Repeat("n", 238) + "~230b077491957fb4 2"}, // as package names cuts it
			warnings: []string{fmt.Sprintf("escaped %q", strings.Repeat("n", 300))},
		},
		{
			name:     "names of nothing",
			in:       []memb{{name: "./", typ: tar.TypeDir}, {name: ".", data: "1"}, {name: "a", data: "2"}},
			want:     []string{"%2E 1", "a 2"},
			warnings: []string{`escaped "."`},
		},
	} {
		for _, prefix := range []string{"", "./", "/", "../"} {
			t.Run(tt.name+" "+prefix, func(t *testing.T) {
				if prefix == "../" && tt.name == "names of nothing" {
					return // "../." is the directory above
				}
				in := slices.Clone(tt.in)
				for i := range in {
					in[i].name = prefix + in[i].name
					if in[i].typ == tar.TypeLink {
						in[i].data = prefix + in[i].data
					}
				}
				ix := index(t, write(t, in...))
				want := slices.Clone(tt.want)
				if prefix == "../" {
					for i := range want {
						want[i] = "%2E%2E/" + want[i]
					}
					want = append([]string{"%2E%2E/"}, want...)
				}
				if got := listing(t, ix); !slices.Equal(got, want) {
					t.Errorf("tree:\n%q, want\n%q", got, want)
				}
				checkTree(t, ix)
				var warned []string
				for _, w := range warnings(ix) {
					if prefix != "" {
						w = strings.Replace(w, prefix, "", 1)
					}
					if prefix != "../" || !strings.HasPrefix(w, "escaped") {
						warned = append(warned, w)
					}
				}
				slices.Sort(warned)
				var wantWarned []string
				for _, w := range tt.warnings {
					if prefix != "../" || !strings.HasPrefix(w, "escaped") {
						wantWarned = append(wantWarned, w)
					}
				}
				slices.Sort(wantWarned)
				if !slices.Equal(warned, wantWarned) {
					t.Errorf("warnings %q, want %q", warned, wantWarned)
				}
			})
		}
	}
}

func TestFS(t *testing.T) {
	ix := index(t, write(t,
		memb{name: "manifest", data: "{}"}, memb{name: "db/rp/1", data: strings.Repeat("0123456789", 300)}, memb{name: "empty"},
		memb{name: "../default/1", data: "x"}, memb{name: "hard", typ: tar.TypeLink, data: "db/rp/1"}, memb{name: "soft", typ: tar.TypeSymlink, data: "db/rp"},
		memb{name: "db/rp", data: "file"}, memb{name: "d/", typ: tar.TypeDir, mode: 0o700}, memb{name: "manifest", data: "{ }"}))
	if err := fstest.TestFS(ix, "manifest", "db/rp", "db/rp.d/1", "empty", "%2E%2E/default/1", "hard", "soft", "d"); err != nil {
		t.Error(err)
	}
	// Link targets are made of names, not of what became of directories.
	if data, err := fs.ReadFile(ix, "soft"); string(data) != "file" || err != nil {
		t.Errorf("soft: %q, %v", data, err)
	}
	if err := fstest.TestFS(index(t, endBlocks)); err != nil {
		t.Error(err)
	}
	for _, data := range goTestdata(t, "sparse-formats.tar") {
		if err := fstest.TestFS(index(t, data), "sparse-gnu", "sparse-posix-0.0", "sparse-posix-0.1", "sparse-posix-1.0", "end"); err != nil {
			t.Error(err)
		}
	}
}

// TestOldWriter reads headers as Go 1.4 and 1.5, and so InfluxDB, wrote them.
func TestOldWriter(t *testing.T) {
	data := blocks(
		header("manifest", 0, 2, nil), "{}",
		header("db/", 0, 0, nil), // an old directory
		pax("path", "db/Ärger/1"),
		header("", 0, 3, nil), "abc",
		header("3", 0, 1, func(b []byte) { copy(b[offPrefix:], strings.Repeat("d/", 60)+"x") }), "d",
		header("big", 0, 0, func(b []byte) {
			copy(b[offMagic:], "ustar  \x00")
			copy(b[offSize:], "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04")
		}), "1234",
		endBlocks)
	ix := index(t, data)
	var got []string
	for _, e := range ix.All() {
		got = append(got, fmt.Sprintf("%c %s %d", e.Type, e.Path, e.Size))
	}
	want := []string{"0 manifest 2", "5 db 0", "0 db/Ärger/1 3", "0 " + strings.Repeat("d/", 60) + "x/3 1", "0 big 4"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if s := readMember(t, ix, 2); s != "abc" {
		t.Errorf("member behind a PAX header: %q", s)
	}
}

func TestAttributes(t *testing.T) {
	data := write(t, memb{name: "a", data: "12345"}, memb{name: "../b", data: "x", hdr: func(h *tar.Header) { h.ModTime = mtime.Add(5); h.Format = tar.FormatPAX }},
		memb{name: "l", typ: tar.TypeLink, data: "a", hdr: func(h *tar.Header) { h.ModTime = mtime.Add(time.Hour) }}, memb{name: "d/", typ: tar.TypeDir}, memb{name: "none", typ: tar.TypeLink, data: "nothing"})
	ix, err := Build(strings.NewReader(string(data)), int64(len(data)), Options{Layer: 7})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"a":        "offset=512 header=0 size=5 mtime=2015-11-02T03:04:05Z",
		"%2E%2E/b": "offset=2560 header=1024 size=1 mtime=2015-11-02T03:04:05.000000005Z key=../b",
		"l":        "offset=512 header=3072 size=5 mtime=2015-11-02T04:04:05Z",
		"d":        "header=3584 mtime=2015-11-02T03:04:05Z",
		"none":     "header=4096 mtime=2015-11-02T03:04:05Z",
		".":        "",
	} {
		fi, err := ix.Stat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		var got []string
		for k, v := range attr.All(fi) {
			got = append(got, k+"="+v)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("attributes of %s: %s, want %s", path, s, want)
		}
		for k := range attr.All(fi) {
			if k == "" {
				t.Error("an attribute without a name")
			}
			break
		}
	}
	ino := func(path string) uint64 {
		fi, err := ix.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		n, ok := attr.Ino(fi)
		if !ok {
			t.Fatalf("%s has no number", path)
		}
		return n
	}
	if a, b := ino("a"), ino("%2E%2E/b"); a != attr.MemberIno(7, 0) || b != attr.MemberIno(7, 1024) {
		t.Errorf("numbers %d, %d", a, b)
	}
	if ino("l") != ino("a") || ino("none") == ino("a") {
		t.Error("numbers of hard links")
	}
	fi := ix.FileInfo(2)
	if fi.Name() != "l" || fi.Size() != 5 || fi.Mode() != 0o666 || fi.IsDir() || !fi.ModTime().Equal(mtime.Add(time.Hour)) {
		t.Errorf("FileInfo of a link: %v", fi)
	}
}

func TestExtent(t *testing.T) {
	data := write(t, memb{name: "a", data: "12345"}, memb{name: "l", typ: tar.TypeLink, data: "a"}, memb{name: "b", data: strings.Repeat("b", 600)})
	path := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(path, data[:len(data)-1024-500], 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := fileSize(t, f)
	for _, tt := range []struct {
		name string
		r    io.ReaderAt
		opts Options
		ok   bool
	}{
		{"a file", f, Options{}, true},
		{"a reader", io.NewSectionReader(f, 0, size), Options{}, false},
		{"a reader of a file", io.NewSectionReader(f, 0, size), Options{File: f}, true},
	} {
		ix, err := Build(tt.r, size, tt.opts)
		if !errors.Is(err, ErrTruncated) {
			t.Fatal(err)
		}
		for path, want := range map[string]int64{"a": 512, "l": 512, "b": -1} {
			open, err := ix.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			e, has := open.(attr.Extent)
			if has != (tt.ok && want >= 0) {
				t.Errorf("%s: %s has an extent: %v", tt.name, path, has)
			}
			if has {
				if file, off, ok := e.Extent(); file != f || off != want || !ok {
					t.Errorf("%s: extent of %s at %d, %v", tt.name, path, off, ok)
				}
			}
			if err := open.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestConcurrent has an index used by many, from the first call on.
func TestConcurrent(t *testing.T) {
	var in []memb
	for i := range 200 {
		in = append(in, memb{name: fmt.Sprintf("d%d/f%d", i%7, i), data: strings.Repeat("x", i)})
	}
	data := write(t, in...)
	ix, err := Build(strings.NewReader(string(data)), int64(len(data)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i, e := range ix.All() {
				if data, err := fs.ReadFile(ix, e.Path); len(data) != i || err != nil {
					t.Errorf("%s: %d bytes, %v", e.Path, len(data), err)
				}
				if j, ok := ix.Lookup(e.Path); j != i || !ok {
					t.Errorf("Lookup(%s) = %d, %v", e.Path, j, ok)
				}
				if hdr, err := ix.Header(i); err != nil || hdr.Name != e.Name {
					t.Errorf("Header(%d) = %v, %v", i, hdr, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestAt looks for members by the offsets of their headers, and between.
func TestAt(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct{ count, most int }{{1, 0}, {2, 9999}, {3, 0}, {5000, 0}, {5000, 3000}} {
		var members []memb
		for i := range tt.count {
			size := rnd.IntN(tt.most + 1)
			if i == 0 {
				size = 10 * tt.most // as a manifest is
			}
			members = append(members, memb{name: strconv.Itoa(i), data: strings.Repeat("x", size)})
		}
		data := write(t, members...)
		ix, err := Build(bytes.NewReader(data), int64(len(data)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		at := map[int64]int{}
		for i, e := range ix.All() {
			at[e.HeaderOffset] = i
		}
		for off := int64(-512); off <= int64(len(data))+512; off += 512 {
			want, is := at[off]
			if i, ok := ix.At(off); ok != is || is && i != want {
				t.Fatalf("%d members: at %d is %d, %v, want %d, %v", tt.count, off, i, ok, want, is)
			}
		}
	}
}
