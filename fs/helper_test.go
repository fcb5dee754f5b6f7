package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"iter"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

// childEnv names the function of children that this binary shall run instead of
// the tests. What maps or executes a file of a mount, or shall die, must be
// another process.
const childEnv = "SNAPFS_TEST_CHILD"

var children = map[string]func(args []string) error{
	"getdents": childGetdents,
	"hold":     childHold,
	"serve":    childServe,
	"map":      childMap,
	"bolt":     childBolt,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if err := children[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child returns the command for a function of children.
func child(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	if children[name] == nil {
		t.Fatalf("no child %q", name)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	return cmd
}

// wantFUSE skips the test, or fails it, as SNAPFS_TEST_FUSE says: "auto" (the
// default) skips where mounting is not possible, "require" fails there, "off"
// always skips.
func wantFUSE(t testing.TB) {
	t.Helper()
	mode := os.Getenv("SNAPFS_TEST_FUSE")
	if mode == "off" {
		t.Skip("SNAPFS_TEST_FUSE=off")
	}
	err := checkDevice()
	if err == nil && os.Geteuid() != 0 {
		_, err = helper()
	}
	if err != nil {
		missing(t, "no FUSE: %v", err)
	}
}

// missing skips the test for want of something, unless all must be there.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("SNAPFS_TEST_FUSE") == "require" {
		t.Fatalf("SNAPFS_TEST_FUSE=require, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// testMount mounts the tree for the time of the test, which fails if the mount
// cannot be taken down at its end.
func testMount(t testing.TB, tree iofs.FS, opts Options) *Server {
	t.Helper()
	wantFUSE(t)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	s, err := Mount(t.TempDir(), tree, opts)
	if err != nil {
		t.Fatal(err)
	}
	disablePoll(s.Dir())
	t.Cleanup(func() {
		if err := s.Unmount(); err != nil {
			t.Error(err)
			if err := s.Detach(); err != nil {
				t.Error(err)
			}
			return
		}
		s.Wait()
	})
	return s
}

// disablePoll makes the kernel ask once for poll(2) on a file, which go-fuse
// does not have, and then never again. Otherwise a test that serves a mount and
// opens a file in it may wait for itself: the runtime adds each file to an epoll
// set, and takes that for a call that does not block.
func disablePoll(dir string) {
	fd, err := unix.Open(dir+"/.go-fuse-epoll-hack", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
}

type testWriter struct{ testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// logBuffer is a log to look at.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// realDir makes a directory and returns the path by which the kernel knows it.
func realDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// sys is what a file of a test tree tells beyond io/fs.
type sys struct {
	ino      uint64
	attrs    []string // name, value, name, value …
	volatile bool
}

func (s sys) Ino() uint64    { return s.ino }
func (s sys) Volatile() bool { return s.volatile }
func (s sys) Attrs() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for p := range slices.Chunk(s.attrs, 2) {
			if !yield(p[0], p[1]) {
				return
			}
		}
	}
}

var when = time.Date(2015, 11, 2, 3, 4, 5, 123456789, time.UTC)

// mapFile is a readable file of a MapFS.
func mapFile(content string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(content), Mode: 0644, ModTime: when}
}

// bigSize is the size of db/default/1 in sampleTree, no multiple of the page.
const bigSize = 70_005

// sampleTree has a file of each kind that tools stumble over.
func sampleTree() fstest.MapFS {
	return fstest.MapFS{
		"manifest":                  mapFile(`{"files":null}`),
		"empty":                     mapFile(""),
		"db/default/1":              &fstest.MapFile{Data: noise(bigSize), Mode: 0666, ModTime: when},
		"db/default/2":              mapFile(strings.Repeat("x", 4096)),
		"db/rp with space/3":        mapFile("three\n"),
		"%2E%2E/default/1":          mapFile("escaped\n"),
		"meter-für-strom/ünï/4":     mapFile("four\n"),
		strings.Repeat("n", 255):    mapFile("long name\n"),
		"link":                      {Data: []byte("db/default/2"), Mode: iofs.ModeSymlink | 0777, ModTime: when},
		"deep/a/b/c/d/e/f/g/h/file": mapFile("deep\n"),
		"emptydir":                  {Mode: iofs.ModeDir | 0755, ModTime: when},
	}
}

// hooks is a tree with some of its methods replaced.
type hooks struct {
	iofs.FS
	open  map[string]func() (iofs.File, error)
	lstat map[string]func() (iofs.FileInfo, error)
}

func (h hooks) Open(name string) (iofs.File, error) {
	if f := h.open[name]; f != nil {
		return f()
	}
	return h.FS.Open(name)
}

func (h hooks) Stat(name string) (iofs.FileInfo, error) { return h.Lstat(name) }
func (h hooks) ReadLink(name string) (string, error)    { return iofs.ReadLink(h.FS, name) }
func (h hooks) Lstat(name string) (iofs.FileInfo, error) {
	if f := h.lstat[name]; f != nil {
		return f()
	}
	return iofs.Lstat(h.FS, name)
}

// tornFile is a file that cannot be read from the offset bad on.
type tornFile struct {
	iofs.File
	bad int64
}

var errTorn = errors.New("member is cut short")

func (f tornFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.bad {
		return 0, errTorn
	}
	cut := int(min(int64(len(p)), f.bad-off))
	n, err := f.File.(io.ReaderAt).ReadAt(p[:cut], off)
	if err == nil && cut < len(p) {
		err = errTorn
	}
	return n, err
}

func wantErrno(t testing.TB, what string, err error, want syscall.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// readPages reads a file from its start in blocks and returns the number of
// bytes up to the first error, and the error.
func readPages(name string, block int) (data []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, block)
	for {
		n, err := f.Read(buf)
		data = append(data, buf[:n]...)
		if errors.Is(err, io.EOF) {
			return data, nil
		}
		if err != nil {
			return data, err
		}
	}
}
