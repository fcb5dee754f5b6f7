package fs

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/hint"
)

func TestMountFS(t *testing.T) { onEngines(t, testMountFS) }

func testMountFS(t *testing.T, mount mounter) {
	tree := sampleTree()
	s := mount(t, tree, Options{})
	var names []string
	for name := range tree {
		names = append(names, name)
	}
	if err := fstest.TestFS(os.DirFS(s.Dir()), names...); err != nil {
		t.Error(err)
	}
}

// compareTrees reports each difference between the mount and the tree.
func compareTrees(t *testing.T, dir string, tree iofs.FS) {
	t.Helper()
	list := func(fsys iofs.FS) (paths []string) {
		err := iofs.WalkDir(fsys, ".", func(p string, _ iofs.DirEntry, err error) error {
			paths = append(paths, p)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	mounted := os.DirFS(dir)
	want := list(tree)
	if got := list(mounted); !slices.Equal(got, want) {
		t.Errorf("paths %q, want %q", got, want)
	}
	for _, p := range want {
		a, err := iofs.Lstat(mounted, p)
		if err != nil {
			t.Error(err)
			continue
		}
		b, err := iofs.Lstat(tree, p)
		if err != nil {
			t.Error(err)
			continue
		}
		mtime := b.ModTime()
		if mtime.IsZero() {
			mtime = time.Unix(0, 0)
		}
		if a.Mode().Type() != b.Mode().Type() || !a.ModTime().Equal(mtime) {
			t.Errorf("%s: %v %v, want %v %v", p, a.Mode(), a.ModTime(), b.Mode(), mtime)
		}
		switch {
		case a.Mode().IsRegular():
			x, err1 := iofs.ReadFile(mounted, p)
			y, err2 := iofs.ReadFile(tree, p)
			if err1 != nil || err2 != nil || !bytes.Equal(x, y) || a.Size() != b.Size() {
				t.Errorf("%s: %d bytes, want %d: %v %v", p, len(x), len(y), err1, err2)
			}
		case a.Mode()&iofs.ModeSymlink != 0:
			x, err1 := iofs.ReadLink(mounted, p)
			y, err2 := iofs.ReadLink(tree, p)
			if err1 != nil || err2 != nil || x != y {
				t.Errorf("%s -> %s, want %s: %v %v", p, x, y, err1, err2)
			}
		}
	}
}

func TestMountEqual(t *testing.T) { onEngines(t, testMountEqual) }

func testMountEqual(t *testing.T, mount mounter) {
	for _, opts := range []Options{{}, {CacheTime: -1}, {CacheTime: time.Millisecond}} {
		s := mount(t, sampleTree(), opts)
		compareTrees(t, s.Dir(), sampleTree())
		compareTrees(t, s.Dir(), sampleTree())
	}
}

// TestMountOnDisk serves a directory of the operating system, whose files and
// directories are *os.File.
func TestMountOnDisk(t *testing.T) { onEngines(t, testMountOnDisk) }

func testMountOnDisk(t *testing.T, mount mounter) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, sampleTree()); err != nil {
		t.Fatal(err)
	}
	s := mount(t, os.DirFS(dir), Options{})
	compareTrees(t, s.Dir(), os.DirFS(dir))
	if out, err := child(t, "getdents", filepath.Join(s.Dir(), "db"), "2").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestMountInfo(t *testing.T) {
	source := `/back\ups/a, b #1/snap`
	s := testMount(t, sampleTree(), Options{Source: source})
	m, err := findMount(s.Dir())
	if err != nil || m == nil {
		t.Fatal(m, err)
	}
	if m.FSType != "fuse.snapfs" || m.Source != source {
		t.Errorf("type %q, source %q", m.FSType, m.Source)
	}
	have := strings.Split(m.Options+","+m.VFSOptions, ",")
	for _, want := range []string{"ro", "nosuid", "nodev", "default_permissions", "max_read=1048576"} {
		if want != "max_read=1048576" && !slices.Contains(have, want) {
			t.Errorf("no %s in %q", want, have)
		}
	}
	if slices.Contains(have, "allow_other") {
		t.Errorf("others may use it: %q", have)
	}
	if s := s.Counters(); s["getattr"].Count == 0 {
		t.Errorf("nothing was counted: %v", s)
	}
}

func TestMountStatfs(t *testing.T) {
	s := testMount(t, sampleTree(), Options{Totals: func() (int64, int64) { return 7, 10_000 }})
	var st unix.Statfs_t
	if err := unix.Statfs(s.Dir(), &st); err != nil {
		t.Fatal(err)
	}
	if st.Type != unix.FUSE_SUPER_MAGIC || st.Bsize != 4096 || st.Frsize != 4096 || st.Blocks != 3 || st.Bfree != 0 ||
		st.Bavail != 0 || st.Files != 7 || st.Ffree != 0 || st.Namelen != 255 {
		t.Errorf("%+v", st)
	}
	if st.Flags&unix.ST_RDONLY == 0 {
		t.Errorf("not read-only: flags %#x", st.Flags)
	}
}

func TestMountXattrs(t *testing.T) {
	attrs := []string{"layer", "snap.0", "offset", "1536", "key", "raw\x00\xff"}
	tree := fstest.MapFS{
		"with":    {Mode: 0444, Sys: sys{ino: 7, attrs: attrs}},
		"without": mapFile(""),
	}
	s := testMount(t, tree, Options{})
	name := filepath.Join(s.Dir(), "with")
	buf := make([]byte, 1000)
	n, err := unix.Listxattr(name, buf)
	if want := "user.snapfs.layer\x00user.snapfs.offset\x00user.snapfs.key\x00"; err != nil || string(buf[:max(n, 0)]) != want {
		t.Errorf("list: %q, %v", buf[:max(n, 0)], err)
	}
	for p := range slices.Chunk(attrs, 2) {
		n, err := unix.Getxattr(name, Prefix+p[0], buf)
		if err != nil || string(buf[:max(n, 0)]) != p[1] {
			t.Errorf("%s: %q, %v, want %q", p[0], buf[:max(n, 0)], err, p[1])
		}
		if n, err := unix.Getxattr(name, Prefix+p[0], nil); err != nil || n != len(p[1]) {
			t.Errorf("%s: length %d, %v", p[0], n, err)
		}
		_, err = unix.Getxattr(name, Prefix+p[0], buf[:2])
		wantErrno(t, "short buffer", err, unix.ERANGE)
	}
	_, err = unix.Getxattr(name, Prefix+"none", buf)
	wantErrno(t, "unknown name", err, unix.ENODATA)
	if n, err := unix.Listxattr(filepath.Join(s.Dir(), "without"), buf); n != 0 || err != nil {
		t.Errorf("file without: %d, %v", n, err)
	}
}

func TestPanic(t *testing.T) {
	boom := func() { panic("boom") }
	m := fstest.MapFS{"open": mapFile("x"), "read": mapFile("xx"), "stat": mapFile("xxx"), "dir/f": mapFile(""), "fine": mapFile("fine")}
	tree := hooks{FS: m,
		open: map[string]func() (iofs.File, error){
			"open": func() (iofs.File, error) { boom(); return nil, nil },
			"dir":  func() (iofs.File, error) { boom(); return nil, nil },
			"read": func() (iofs.File, error) {
				f, err := m.Open("read")
				return panicFile{f}, err
			},
		},
		lstat: map[string]func() (iofs.FileInfo, error){"stat": func() (iofs.FileInfo, error) { boom(); return nil, nil }},
	}
	var log logBuffer
	s := testMount(t, tree, Options{Logger: log.logger()})
	at := func(name string) string { return filepath.Join(s.Dir(), name) }
	for range 3 {
		_, err := os.ReadFile(at("open"))
		wantErrno(t, "open", err, unix.EIO)
		_, err = os.ReadFile(at("read"))
		wantErrno(t, "read", err, unix.EIO)
		_, err = os.Stat(at("stat"))
		wantErrno(t, "stat", err, unix.EIO)
		_, err = os.ReadDir(at("dir"))
		wantErrno(t, "readdir", err, unix.EIO)
		if got, err := os.ReadFile(at("fine")); err != nil || string(got) != "fine" {
			t.Errorf("the mount is gone: %q, %v", got, err)
		}
	}
	for _, want := range []string{"op=open", "op=read", "op=lookup", "op=opendir", "cause=boom", "panicFile.ReadAt"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log has no %s", want)
		}
	}
}

type panicFile struct{ iofs.File }

func (panicFile) ReadAt([]byte, int64) (int, error) { panic("boom") }

// TestAsksNothing looks whether a mount asks itself anything on the way: a
// process that is killed then would not end.
func TestAsksNothing(t *testing.T) {
	wantFUSE(t)
	s, err := Mount(t.TempDir(), sampleTree(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if asked := s.Counters(); len(asked) > 0 {
		t.Errorf("asked for %v", asked)
	}
	if _, err := os.Stat(s.Dir()); err != nil || len(s.Counters()) == 0 {
		t.Errorf("stat: %v, and nothing was asked for", err)
	}
	if err := s.Unmount(); err != nil {
		t.Fatal(err)
	}
	if asked := s.Counters(); asked["open"].Count+asked["opendir"].Count > 0 {
		t.Errorf("asked for %v", asked)
	}
	s.Wait()
}

// TestPoll opens files in the way that blocks a Go program on its own mount, if
// the kernel was not told before that there is no poll, as testMount does.
func TestPoll(t *testing.T) { onEngines(t, testPoll) }

func testPoll(t *testing.T, mount mounter) {
	s := mount(t, sampleTree(), Options{})
	fd, err := unix.Open(filepath.Join(s.Dir(), "manifest"), unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, 0); n != 1 || err != nil || p[0].Revents != unix.POLLIN {
		t.Errorf("poll: %d %v %#x", n, err, p[0].Revents)
	}
	// go-fuse answers the name itself; if it stops to, disablePoll is void.
	if _, err := os.Stat(filepath.Join(s.Dir(), ".go-fuse-epoll-hack")); err != nil {
		t.Errorf("the file that is polled: %v", err)
	}
}

func TestMountErrors(t *testing.T) {
	noRoot := hooks{FS: fstest.MapFS{}, lstat: map[string]func() (iofs.FileInfo, error){
		".": func() (iofs.FileInfo, error) { return nil, errTorn },
	}}
	if _, err := Mount(t.TempDir(), noRoot, Options{}); !errors.Is(err, errTorn) || errors.Is(err, ErrMountPoint) {
		t.Errorf("tree without root: %v", err)
	}
	aFile := hooks{FS: fstest.MapFS{}, lstat: map[string]func() (iofs.FileInfo, error){
		".": func() (iofs.FileInfo, error) { return fstest.MapFS{"x": mapFile("")}.Stat("x") },
	}}
	if _, err := Mount(t.TempDir(), aFile, Options{}); !errors.Is(err, syscall.ENOTDIR) || errors.Is(err, ErrMountPoint) {
		t.Errorf("root is a file: %v", err)
	}
	dir := t.TempDir()
	if _, err := Mount(dir, fstest.MapFS{}, Options{SourceDirs: []string{filepath.Dir(dir)}}); !errors.Is(err, ErrMountPoint) {
		t.Errorf("inside the source: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := Mount(missing, fstest.MapFS{}, Options{})
	if !errors.Is(err, ErrMountPoint) || !errors.Is(err, iofs.ErrNotExist) || hint.Of(err) != "mkdir "+missing {
		t.Errorf("no directory: %v, hint %q", err, hint.Of(err))
	}
}

// TestHidden reaches a directory that the listing of its parent leaves out.
func TestHidden(t *testing.T) {
	m := fstest.MapFS{"shown": mapFile("x"), ".snapfs/chain.json": mapFile("{}")}
	tree := hooks{FS: m, open: map[string]func() (iofs.File, error){
		".": func() (iofs.File, error) {
			e, err := m.Stat("shown")
			return &badDir{lists: [][]iofs.DirEntry{{iofs.FileInfoToDirEntry(e)}}}, err
		},
	}}
	s := testMount(t, tree, Options{})
	for range 2 {
		if list, err := os.ReadDir(s.Dir()); err != nil || len(list) != 1 {
			t.Errorf("root: %v, %v", list, err)
		}
		if list, err := os.ReadDir(filepath.Join(s.Dir(), ".snapfs")); err != nil || len(list) != 1 {
			t.Errorf(".snapfs: %v, %v", list, err)
		}
		if data, err := os.ReadFile(filepath.Join(s.Dir(), ".snapfs/chain.json")); err != nil || string(data) != "{}" {
			t.Errorf("chain.json: %q, %v", data, err)
		}
		if _, err := os.Stat(filepath.Join(s.Dir(), ".snap")); !errors.Is(err, iofs.ErrNotExist) {
			t.Errorf("a miss: %v", err)
		}
	}
	if n := s.Counters()["lookup"].Count; n > 4 {
		t.Errorf("%d lookups, though misses are kept", n)
	}
}

func TestDebug(t *testing.T) {
	var log logBuffer
	debug := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := testMount(t, sampleTree(), Options{Debug: true, Logger: debug})
	if _, err := os.Stat(filepath.Join(s.Dir(), "manifest")); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, "LOOKUP") || strings.Contains(got, "level=WARN") {
		t.Errorf("log: %s", got)
	}
}

func TestReadAhead(t *testing.T) {
	s := testMount(t, sampleTree(), Options{})
	if os.Geteuid() != 0 {
		t.Skip("only root may say how far")
	}
	got, err := os.ReadFile(fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(s.dev), unix.Minor(s.dev)))
	if err != nil {
		t.Skip(err)
	}
	if strings.TrimSpace(string(got)) != strconv.Itoa(readAheadKB) {
		t.Errorf("%s KiB", got)
	}
}

func TestAllowsOther(t *testing.T) {
	for conf, want := range map[string]bool{
		"":                    false,
		"#user_allow_other\n": false,
		"# about user_allow_other\nmount_max = 3\n": false,
		"mount_max = 3\n  user_allow_other  ":       true,
		"user_allow_other\r\n":                      true,
	} {
		if got := allowsOther(strings.NewReader(conf)); got != want {
			t.Errorf("%q: %v", conf, got)
		}
	}
}
