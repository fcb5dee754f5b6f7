package fs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

// noise returns n bytes that repeat nowhere.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// override returns m with another way to open the file name.
func override(m fstest.MapFS, name string, wrap func(iofs.File) iofs.File) hooks {
	return hooks{FS: m, open: map[string]func() (iofs.File, error){
		name: func() (iofs.File, error) {
			f, err := m.Open(name)
			if err != nil {
				return nil, err
			}
			return wrap(f), nil
		},
	}}
}

// TestTorn reads a file that breaks off. All pages before the break can be read,
// whatever the kernel read ahead, and the rest is EIO each time.
func TestTorn(t *testing.T) {
	content := noise(1<<20 + 77)
	m := fstest.MapFS{"torn": {Data: content, Mode: 0444}}
	page := int64(os.Getpagesize())
	for _, bad := range []int64{0, 1, page - 1, page, page + 900, 512<<10 + 100, 1<<20 - 1, 1 << 20, 1<<20 + 76} {
		for _, block := range []int{512, 4096, 128 << 10} {
			t.Run(fmt.Sprintf("%d by %d", bad, block), func(t *testing.T) {
				var log logBuffer
				s := testMount(t, override(m, "torn", func(f iofs.File) iofs.File { return tornFile{f, bad} }), Options{Logger: log.logger()})
				name := filepath.Join(s.Dir(), "torn")
				want := content[:bad/page*page]
				for try := range 2 {
					got, err := readPages(name, block)
					wantErrno(t, "read", err, syscall.EIO)
					if !bytes.Equal(got, want) {
						t.Errorf("try %d: %d bytes before the error, want %d", try, len(got), len(want))
					}
					fi, err := os.Stat(name)
					if err != nil || fi.Size() != int64(len(content)) {
						t.Errorf("try %d: size is now %d, %v", try, fi.Size(), err)
					}
				}
				if n := strings.Count(log.String(), errTorn.Error()); n != 2 {
					t.Errorf("%d log lines for two open files: %s", n, &log.b)
				}
			})
		}
	}
}

// shortFile ends before its size.
type shortFile struct {
	iofs.File
	end int64
}

func (f shortFile) ReadAt(p []byte, off int64) (int, error) {
	return io.NewSectionReader(f.File.(io.ReaderAt), 0, f.end).ReadAt(p, off)
}

func TestShort(t *testing.T) {
	content := noise(64 << 10)
	m := fstest.MapFS{"short": {Data: content, Mode: 0444}}
	s := testMount(t, override(m, "short", func(f iofs.File) iofs.File { return shortFile{f, 10_000} }), Options{})
	got, err := readPages(filepath.Join(s.Dir(), "short"), 4096)
	wantErrno(t, "read", err, syscall.EIO)
	if !bytes.Equal(got, content[:8192]) {
		t.Errorf("%d bytes, want the two whole pages", len(got))
	}
}

// plainFile can only be read forward.
type plainFile struct {
	f      iofs.File
	opened *atomic.Int32
}

func (f plainFile) Stat() (iofs.FileInfo, error) { return f.f.Stat() }
func (f plainFile) Close() error                 { f.opened.Add(-1); return f.f.Close() }
func (f plainFile) Read(p []byte) (int, error) {
	return f.f.Read(p[:min(len(p), 1000)]) // as readers may
}

func TestSequential(t *testing.T) {
	content := noise(300_001)
	m := fstest.MapFS{"plain": {Data: content, Mode: 0444}}
	var opened atomic.Int32
	tree := override(m, "plain", func(f iofs.File) iofs.File { opened.Add(1); return plainFile{f, &opened} })
	mnt := newMount(tree, (&Options{}).settings())

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	f, err := mnt.openFile("plain")
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		off := rnd.Int64N(int64(len(content)) + 100)
		buf := make([]byte, rnd.IntN(9000))
		n, err := f.read(buf, off)
		want := content[min(off, int64(len(content))):min(off+int64(len(buf)), int64(len(content)))]
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Fatalf("%d bytes at %d: %d, %v", len(buf), off, n, err)
		}
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
	if n := opened.Load(); n != 0 {
		t.Errorf("%d files left open", n)
	}

	s := testMount(t, tree, Options{})
	got, err := os.ReadFile(filepath.Join(s.Dir(), "plain"))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestSequentialReopen loses the file between two reads.
func TestSequentialReopen(t *testing.T) {
	first, err := fstest.MapFS{"f": mapFile("0123456789")}.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	s := &sequential{file: first, open: func() (iofs.File, error) { return nil, gone }}
	buf := make([]byte, 4)
	if n, err := s.ReadAt(buf, 4); n != 4 || err != nil {
		t.Error(n, err)
	}
	for range 2 {
		if n, err := s.ReadAt(buf, 0); n != 0 || !errors.Is(err, gone) {
			t.Error(n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// counterFile has another content for each open.
type volatileFS struct {
	fstest.MapFS
	opens *atomic.Int32
}

func (v volatileFS) content() []byte {
	return fmt.Appendf(nil, "open %s\n", strings.Repeat("I", int(v.opens.Load())))
}

func (v volatileFS) file() fstest.MapFS {
	return fstest.MapFS{"status": {Data: v.content(), Mode: 0444, ModTime: when, Sys: sys{ino: 77, volatile: true}}}
}

func (v volatileFS) Open(name string) (iofs.File, error) {
	if name == "status" {
		v.opens.Add(1)
		return v.file().Open(name)
	}
	return v.MapFS.Open(name)
}

func (v volatileFS) Stat(name string) (iofs.FileInfo, error) { return v.Lstat(name) }
func (v volatileFS) Lstat(name string) (iofs.FileInfo, error) {
	if name == "status" {
		return v.file().Lstat(name)
	}
	return v.MapFS.Lstat(name)
}

func TestVolatile(t *testing.T) { onEngines(t, testVolatile) }

func testVolatile(t *testing.T, mount mounter) {
	tree := volatileFS{fstest.MapFS{"status": {}, "other": mapFile("x")}, new(atomic.Int32)}
	s := mount(t, tree, Options{})
	name := filepath.Join(s.Dir(), "status")
	for i := 1; i <= 3; i++ {
		want := string(tree.content())
		fi, err := os.Stat(name)
		if err != nil || fi.Size() != int64(len(want)) {
			t.Errorf("stat %d: size %d, %v, want %d", i, fi.Size(), err, len(want))
		}
		want = strings.Replace(want, "\n", "I\n", 1)
		got, err := os.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("read %d: %q, %v, want %q", i, got, err, want)
		}
	}
	// An open file stays as it was when it was opened.
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, _ := io.ReadAll(f)
	if _, err := os.ReadFile(name); err != nil {
		t.Fatal(err)
	}
	after := make([]byte, len(before))
	if _, err := f.ReadAt(after, 0); err != nil || !bytes.Equal(before, after) {
		t.Errorf("%q became %q: %v", before, after, err)
	}
}

// TestVolatileDamage gets what there is of a file that is not cached, then the
// error.
func TestVolatileDamage(t *testing.T) {
	content := noise(10_000)
	m := fstest.MapFS{"f": {Data: content, Mode: 0444, Sys: sys{ino: 3, volatile: true}}}
	s := testMount(t, override(m, "f", func(f iofs.File) iofs.File { return tornFile{f, 5001} }), Options{})
	got, err := readPages(filepath.Join(s.Dir(), "f"), 4096)
	wantErrno(t, "read", err, syscall.EIO)
	if !bytes.Equal(got, content[:5001]) {
		t.Errorf("%d bytes, want 5001", len(got))
	}
}

// TestConcurrentReaders reads files at random offsets from many goroutines,
// through the page cache and around it.
func TestConcurrentReaders(t *testing.T) { onEngines(t, testConcurrentReaders) }

func testConcurrentReaders(t *testing.T, mount mounter) {
	m := fstest.MapFS{}
	for i := range 4 {
		m[fmt.Sprint("f", i)] = &fstest.MapFile{Data: noise(1<<20 + i*1001), Mode: 0444, Sys: sys{ino: uint64(1000 + i)}}
		m[fmt.Sprint("again/f", i)] = m[fmt.Sprint("f", i)]
	}
	s := mount(t, m, Options{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(g)))
			for range 50 {
				name := fmt.Sprint([]string{"", "again/"}[rnd.IntN(2)], "f", rnd.IntN(4))
				data := m[name].Data
				f, err := os.Open(filepath.Join(s.Dir(), name))
				if err != nil {
					t.Error(err)
					return
				}
				if rnd.IntN(4) == 0 { // throw the pages away, so that they are asked for again
					_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
				}
				for range 5 {
					off := rnd.IntN(len(data))
					buf := make([]byte, rnd.IntN(200_000))
					n, err := f.ReadAt(buf, int64(off))
					if err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(buf[:n], data[off:min(off+len(buf), len(data))]) {
						t.Errorf("%s at %d: %d bytes, %v", name, off, n, err)
					}
				}
				f.Close()
			}
		})
	}
	wg.Wait()
}

// TestSharedPages reads a file by one path, and then by another, which must not
// ask for the bytes again.
func TestSharedPages(t *testing.T) {
	f := &fstest.MapFile{Data: noise(1 << 20), Mode: 0444, Sys: sys{ino: 1 << 61}}
	s := testMount(t, fstest.MapFS{"a/f": f, "b/f": f}, Options{})
	var sums [2][32]byte
	var bytes [2]uint64
	for i, name := range []string{"a/f", "b/f"} {
		data, err := os.ReadFile(filepath.Join(s.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		sums[i], bytes[i] = sha256.Sum256(data), s.Counters()["read"].Bytes
	}
	if sums[0] != sums[1] || sums[0] != sha256.Sum256(f.Data) {
		t.Error("contents differ")
	}
	if bytes[0] != 1<<20 || bytes[1] != bytes[0] {
		t.Errorf("the server read %d bytes, then %d", bytes[0], bytes[1])
	}
}

// childMap maps the file args[0] and prints the hash of what it sees.
func childMap(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(fi.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	fmt.Printf("%x", sha256.Sum256(data))
	return unix.Munmap(data)
}

// TestMap does what bbolt does with a file: lock it and map it.
func TestMap(t *testing.T) { onEngines(t, testMap) }

func testMap(t *testing.T, mount mounter) {
	content := noise(1<<20 + 5)
	s := mount(t, fstest.MapFS{"f": {Data: content, Mode: 0444}}, Options{})
	out, err := child(t, "map", filepath.Join(s.Dir(), "f")).CombinedOutput()
	if want := fmt.Sprintf("%x", sha256.Sum256(content)); err != nil || string(out) != want {
		t.Errorf("%s, %v, want %s", out, err, want)
	}
}
