package dirtree

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapfs/snapfs/internal/attr"
)

func TestLinks(t *testing.T) {
	in := memory{
		{"dir/file", reg, "content"}, {"dir/sub/x", reg, "x"}, {"file", lnk, "dir/file"}, {"d", lnk, "dir"}, {"dir/up", lnk, "../dir/./sub//"},
		{"dir/self", lnk, ".."}, {"chain", lnk, "d/up/x"}, {"abs", lnk, "/etc/passwd"}, {"out", lnk, "../../etc/passwd"}, {"outin", lnk, "../dir/file"},
		{"none", lnk, "nothing"}, {"loop", lnk, "loop"}, {"ping", lnk, "pong"}, {"pong", lnk, "ping"}, {"through", lnk, "dir/file/x"}, {"empty", lnk, ""},
		{"grow", lnk, "grow/" + strings.Repeat("x/", 20000)}, {"wide", lnk, strings.Repeat("a/", 1<<16)},
	}
	fsys := in.build(new(Builder))
	for _, tt := range []struct {
		path, data string // data of the file; "/" for a directory
		err        error
	}{
		{"file", "content", nil},
		{"d", "/", nil},
		{"d/file", "content", nil},
		{"d/up", "/", nil},
		{"d/up/x", "x", nil},
		{"dir/self/dir/self/file", "content", nil},
		{"chain", "x", nil},
		{"abs", "", fs.ErrNotExist},
		{"out", "", fs.ErrNotExist},
		{"outin", "", fs.ErrNotExist},
		{"none", "", fs.ErrNotExist},
		{"none/x", "", fs.ErrNotExist},
		{"through", "", fs.ErrNotExist},
		{"empty", "", fs.ErrNotExist},
		{"file/x", "", fs.ErrNotExist},
		{"loop", "", syscall.ELOOP},
		{"ping", "", syscall.ELOOP},
		{"loop/x", "", syscall.ELOOP},
		{"grow", "", syscall.ENAMETOOLONG},
		{"wide", "", syscall.ENAMETOOLONG},
		{"../x", "", fs.ErrInvalid},
		{"", "", fs.ErrInvalid},
	} {
		t.Run(tt.path, func(t *testing.T) {
			fi, err := fsys.Stat(tt.path)
			if !errors.Is(err, tt.err) {
				t.Fatalf("Stat: %v, want %v", err, tt.err)
			}
			var pe *fs.PathError
			if err != nil && (!errors.As(err, &pe) || pe.Path != tt.path) {
				t.Errorf("Stat: %#v is no PathError with the path", err)
			}
			if _, err := fsys.Open(tt.path); !errors.Is(err, tt.err) {
				t.Errorf("Open: %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				return
			}
			if fi.IsDir() != (tt.data == "/") || fi.Name() != tt.path[strings.LastIndex(tt.path, "/")+1:] {
				t.Errorf("Stat: %v", fi)
			}
			if !fi.IsDir() {
				if data, err := fs.ReadFile(fsys, tt.path); string(data) != tt.data || err != nil {
					t.Errorf("content %q, %v, want %q", data, err, tt.data)
				}
			} else if _, err := fsys.ReadDir(tt.path); err != nil {
				t.Error(err)
			}
		})
	}
	if fi, err := fsys.Lstat("d/up"); err != nil || fi.Mode() != lnk {
		t.Errorf("Lstat(d/up) = %v, %v", fi, err)
	}
	if target, err := fsys.ReadLink("d/up"); err != nil || target != "../dir/./sub//" {
		t.Errorf("ReadLink(d/up) = %q, %v", target, err)
	}
	if _, err := fsys.ReadLink("dir/file"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("ReadLink of a file: %v", err)
	}
	if _, err := fsys.ReadDir("dir/file"); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("ReadDir of a file: %v", err)
	}
	if _, ok := fsys.Lookup("d/file"); ok {
		t.Error("Lookup follows links")
	}
	if _, ok := fsys.Lookup("dir"); ok {
		t.Error("Lookup finds a directory that was made up")
	}
	good := memory{in[0], in[1], in[2], in[3], in[4], in[6]} // no broken ones
	if err := fstest.TestFS(good.build(new(Builder)), "dir/file", "chain", "d"); err != nil {
		t.Error(err)
	}
}

func TestModes(t *testing.T) {
	in := memory{{"a/f", 0o640, "x"}, {"own", fs.ModeDir | 0o700, ""}, {"pipe", fs.ModeNamedPipe | 0o600, ""}, {"sock", fs.ModeSocket, ""},
		{"blk", fs.ModeDevice | 0o600, ""}, {"chr", fs.ModeDevice | fs.ModeCharDevice | 0o600, ""}, {"odd", fs.ModeIrregular, ""}}
	made := time.Unix(99, 0)
	fsys := in.build(&Builder{ModTime: made})
	for _, f := range in {
		fi, err := fsys.Lstat(f.path)
		if err != nil || fi.Mode() != f.mode || !fi.ModTime().Equal(mtime) {
			t.Errorf("Lstat(%s) = %v, %v, want mode %v", f.path, fi, err, f.mode)
		}
		if f.mode.Type()&^fs.ModeDir == 0 {
			continue
		}
		open, err := fsys.Open(f.path)
		if err != nil {
			t.Errorf("Open(%s): %v", f.path, err)
			continue
		}
		if n, err := open.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("read of %s = %d, %v", f.path, n, err)
		}
	}
	for _, path := range []string{".", "a"} {
		if fi, err := fsys.Stat(path); err != nil || fi.Mode() != fs.ModeDir|0o555 || !fi.ModTime().Equal(made) || fi.Sys() != nil {
			t.Errorf("Stat(%s) = %v, %v", path, fi, err)
		}
	}
}

// tail is a content with an extent, that counts how often it is closed.
type tail struct {
	*strings.Reader
	f      *os.File
	closed int
}

func (c *tail) Extent() (*os.File, int64, bool) { return c.f, 512, true }
func (c *tail) Close() error                    { c.closed++; return nil }

type tailSource struct {
	memory
	c *tail
}

func (s tailSource) Content(uint32) (io.ReaderAt, error) { return s.c, nil }

func TestFile(t *testing.T) {
	c := &tail{Reader: strings.NewReader("0123456789 and more"), f: os.Stdin}
	src := tailSource{memory{{"f", reg, "0123456789"}}, c}
	var b Builder
	b.Add("f", 0, reg)
	fsys := b.Build(src)
	f, err := fsys.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := f.(attr.Extent); !ok {
		t.Error("the extent of the content is lost")
	} else if file, off, ok := e.Extent(); file != c.f || off != 512 || !ok {
		t.Errorf("Extent = %v, %d, %v", file, off, ok)
	}
	if data, err := io.ReadAll(f); string(data) != "0123456789" || err != nil {
		t.Errorf("content %q, %v: more than Info says", data, err)
	}
	for _, off := range []int64{-11, 1 << 40} {
		if pos, err := f.(io.Seeker).Seek(off, io.SeekEnd); off < 0 && err == nil || off > 0 && pos != off+10 {
			t.Errorf("Seek(%d) = %d, %v", off, pos, err)
		}
	}
	if n, err := f.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read far behind the end = %d, %v", n, err)
	}
	if n, err := f.(io.ReaderAt).ReadAt(make([]byte, 1), -1); n != 0 || !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("ReadAt(-1) = %d, %v", n, err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p := make([]byte, 1)
			for range 1000 {
				if _, err := f.(io.ReaderAt).ReadAt(p, int64(i)); err != nil || p[0] != '0'+byte(i) {
					t.Errorf("ReadAt(%d) = %q, %v", i, p, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := f.Close(); err != nil || c.closed != 1 {
		t.Errorf("Close: %v, content closed %d times", err, c.closed)
	}
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) || c.closed != 1 {
		t.Errorf("second Close: %v, content closed %d times", err, c.closed)
	}
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	// Content that ends before Info says so is no end of file.
	c.Reader = strings.NewReader("0123")
	g, err := fsys.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(g); string(data) != "0123" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short content: %q, %v", data, err)
	}
}

func TestDirSeek(t *testing.T) {
	in := memory{{"a", reg, ""}, {"b", reg, ""}, {"c", reg, ""}}
	f, err := in.build(new(Builder)).Open(".")
	if err != nil {
		t.Fatal(err)
	}
	d := f.(fs.ReadDirFile)
	for _, tt := range []struct {
		off  int64
		want string
	}{{2, "c"}, {0, "abc"}, {3, ""}, {1, "bc"}} {
		if pos, err := d.(io.Seeker).Seek(tt.off, io.SeekStart); pos != tt.off || err != nil {
			t.Fatalf("Seek(%d) = %d, %v", tt.off, pos, err)
		}
		list, err := d.ReadDir(-1)
		got := ""
		for _, e := range list {
			got += e.Name()
		}
		if got != tt.want || err != nil {
			t.Errorf("from %d: %q, %v, want %q", tt.off, got, err, tt.want)
		}
	}
	if _, err := d.(io.Seeker).Seek(4, io.SeekStart); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Seek behind the end: %v", err)
	}
}

func TestNoAllocation(t *testing.T) {
	fsys := memory{{"a/b/c", reg, "1"}, {"a/b/d", reg, "2"}, {"a/x", reg, "3"}}.build(new(Builder))
	if n := testing.AllocsPerRun(100, func() {
		if ref, ok := fsys.Lookup("a/b/d"); !ok || ref != 1 {
			t.Error("not found")
		}
	}); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
}
