package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// noise makes a file of n random bytes without a name, and returns it with its
// contents.
func noise(t testing.TB, dir string, n int) (*os.File, []byte) {
	t.Helper()
	f, err := os.CreateTemp(dir, "device")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	_, _ = rnd.Read(b)
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	return f, b
}

func run(f *os.File, off, size int64) attr.Run { return attr.Run{File: f, Off: off, Size: size} }

// sample returns extents of two devices that images can hold, and others, with
// the contents of the devices.
func sample(t testing.TB, dir string) (good, bad []attr.Run, contents map[*os.File][]byte) {
	f, fb := noise(t, dir, 3<<20+100)
	g, gb := noise(t, dir, 70_000)
	good = []attr.Run{
		run(f, 512, 1),
		run(f, 1024, 511),
		run(f, 1536, 512),
		run(f, 2048, 513),
		run(f, 512*7, 4096),
		run(f, 512*9, 4096), // the odd pages of the one before
		run(f, 1<<20+512, 1<<20),
		run(f, 3<<20-1024, 1000), // to the last block that is whole
		run(f, 0, 3<<20),
		run(g, 0, 69_000),
		run(g, 1024, 4097),
	}
	bad = []attr.Run{
		run(f, 512, 0),
		run(f, 513, 100),
		run(f, -512, 100),
		run(f, 3<<20, 100),
		run(f, 0, 3<<20+1),
		run(f, 1<<41, 1),
		run(f, 1024, 1<<63-1),
		run(g, 70_144, 1),
		run(nil, 0, 1),
	}
	return good, bad, map[*os.File][]byte{f: fb, g: gb}
}

// written writes an image and opens it, without the kernel.
func written(t *testing.T, im *image) fs.FS {
	t.Helper()
	var b bytes.Buffer
	if err := errors.Join(im.layout(), im.write(&b)); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != int64(im.blocks)*BlockSize {
		t.Errorf("%d bytes, want %d blocks", b.Len(), im.blocks)
	}
	var files []io.ReaderAt
	for _, d := range im.devices {
		files = append(files, d.file)
	}
	got, err := erofs.Open(bytes.NewReader(b.Bytes()), erofs.WithExtraDevices(files...))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestImage reads an image without the kernel.
func TestImage(t *testing.T) {
	good, bad, contents := sample(t, t.TempDir())
	im, ds, err := extents(slices.Values(slices.Concat(good, bad, good)))
	if err != nil {
		t.Fatal(err)
	}
	image := written(t, im)
	want := map[string]string{}
	for _, d := range ds.all {
		for _, e := range good {
			if e.File == d.file {
				want[d.name(e.Off, e.Size)] = string(contents[e.File][e.Off : e.Off+e.Size])
			}
		}
	}
	if len(want) != len(good) {
		t.Fatalf("%d names for %d extents", len(want), len(good))
	}
	names, err := fs.Glob(image, "*")
	if err != nil || len(names) != len(want)+1 || !slices.Contains(names, probeName) {
		t.Errorf("image has %q (%v), want %d names", names, err, len(want))
	}
	for name, content := range want {
		if got, err := fs.ReadFile(image, name); err != nil || string(got) != content {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(content))
		}
	}
}

// mounted mounts an image for the time of a test, which it skips where that is
// not possible.
func mounted(t testing.TB, extents []attr.Run) *Image {
	t.Helper()
	return mountedBy(t, extents, Options{})
}

func mountedBy(t testing.TB, extents []attr.Run, opts Options) *Image {
	t.Helper()
	m, err := Mount(slices.Values(extents), opts)
	if errors.Is(err, ErrUnavailable) {
		if os.Getenv("SNAPFS_TEST_PASSTHROUGH") == "require" {
			t.Fatalf("SNAPFS_TEST_PASSTHROUGH=require, but %v", err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil && !errors.Is(err, unix.EBADF) {
			t.Error(err)
		}
	})
	return m
}

func TestMount(t *testing.T) {
	mounted(t, nil) // or skip
	for _, loop := range []bool{false, true} {
		t.Run(fmt.Sprintf("loop=%v", loop), func(t *testing.T) { checkMount(t, Options{Loop: loop}) })
	}
}

func checkMount(t *testing.T, opts Options) {
	good, bad, contents := sample(t, t.TempDir())
	m := mountedBy(t, slices.Concat(bad, good, bad), opts)
	if m.Len() != len(good) {
		t.Errorf("Len is %d, want %d", m.Len(), len(good))
	}
	for _, e := range good {
		want := contents[e.File][e.Off : e.Off+e.Size]
		f, err := m.Open(e.File, e.Off, e.Size)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes at %d: got %d bytes, %v", e.Size, e.Off, len(got), err)
		}
		checkMapped(t, f, want)
		f.Close()
	}
	stranger, _ := noise(t, t.TempDir(), 5000)
	for _, e := range append(bad, run(good[0].File, 512, 2), run(stranger, 0, 100)) {
		if _, err := m.Open(e.File, e.Off, e.Size); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d bytes at %d: %v, want ErrNotExist", e.Size, e.Off, err)
		}
	}
	probe, err := m.Probe()
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	if b, err := io.ReadAll(probe); err != nil || len(b) != 0 {
		t.Errorf("probe: %q, %v", b, err)
	}
}

// checkMapped compares a map of the file with its content. Of what follows in
// the last page, no more than the rest of the last block may be from the
// device: a reader of a map sees it.
func checkMapped(t *testing.T, f *os.File, want []byte) {
	t.Helper()
	page := os.Getpagesize()
	size := (len(want) + page - 1) / page * page
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Munmap(b)
	if !bytes.Equal(b[:len(want)], want) {
		t.Errorf("map of %d bytes differs", len(want))
	}
	end := (len(want) + BlockSize - 1) / BlockSize * BlockSize
	if strings.Trim(string(b[end:]), "\x00") != "" {
		t.Errorf("map of %d bytes has something behind block %d of the page", len(want), end/BlockSize)
	}
}

// TestRelease looks for what an image leaves behind.
func TestRelease(t *testing.T) {
	good, _, contents := sample(t, t.TempDir())
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	fds := openFiles(t)
	m := mounted(t, good)
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("in the directory for temporary files: %v, %v", left, err)
	}
	if n := openFiles(t); n != fds+1 {
		t.Errorf("%d descriptors for an image, want 1", n-fds)
	}
	f, err := m.Open(good[0].File, good[0].Off, good[0].Size)
	if err != nil {
		t.Fatal(err)
	}
	// Others on the machine mount, too: only what is on its device is ours.
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	device := fmt.Sprintf(" %d:%d ", unix.Major(st.Dev), unix.Minor(st.Dev))
	if table := read(t, "/proc/self/mountinfo"); strings.Contains(table, device) {
		t.Errorf("the mount of device%sis visible:\n%s", device, table)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(good[0].File, good[0].Off, good[0].Size); err == nil {
		t.Error("opened an extent of an image that is closed")
	}
	want := contents[good[0].File][good[0].Off:][:good[0].Size]
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after Close: %d bytes, %v", len(got), err)
	}
	f.Close()
	if n := openFiles(t); n != fds {
		t.Errorf("%d descriptors more than before", n-fds)
	}
}

// TestNoNames has nothing appear in the directory for temporary files, not even
// for a moment: what has no name is gone with the process.
func TestNoNames(t *testing.T) {
	good, _, _ := sample(t, t.TempDir())
	mounted(t, good) // or skip
	tmp, dir := t.TempDir(), t.TempDir()
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, tmp, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_DELETE); err != nil {
		t.Fatal(err)
	}
	m, err := Mount(slices.Values(good), Options{TempDirs: []string{tmp}})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	tree := fstest.MapFS{"d/f": {Data: []byte("copied")}}
	if _, err := MountTree(t.Context(), dir, tree, TreeOptions{TempDirs: []string{tmp}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Error(err)
	}
	events := make([]byte, 4096)
	if n, err := unix.Read(watch, events); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("%d bytes of events (%v): %q", n, err, events[:max(n, 0)])
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestPlace takes the first directory that can hold an image.
func TestPlace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gets that far")
	}
	const shm = "/dev/shm"
	var st unix.Statfs_t
	if err := unix.Statfs(shm, &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Skip("no tmpfs at " + shm)
	}
	good, _, contents := sample(t, t.TempDir())
	mounted(t, good) // or skip
	none := t.TempDir() + "/none"
	t.Setenv("TMPDIR", none)
	im, _, err := extents(slices.Values(good))
	if err == nil {
		err = im.layout()
	}
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{none, shm}
	_, err = mountFirst(place{dirs: bad}, im)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, errPlace) || !strings.Contains(err.Error(), "tmpfs") || !strings.Contains(err.Error(), none) {
		t.Errorf("got %v", err)
	}
	if _, err := Mount(slices.Values(good), Options{TempDirs: bad[:1]}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	m, err := Mount(slices.Values(good), Options{TempDirs: append(bad, t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	f, err := m.Open(good[0].File, good[0].Off, good[0].Size)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, contents[good[0].File][good[0].Off:][:good[0].Size]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// BenchmarkMount makes and mounts an image of 40,000 extents, which is more
// than 10 TB of shards are.
func BenchmarkMount(b *testing.B) {
	f, _ := noise(b, b.TempDir(), 40_001*1024)
	var extents []attr.Run
	for i := range int64(40_000) {
		extents = append(extents, run(f, i*1024, 1000))
	}
	mounted(b, extents)
	b.ReportAllocs()
	for b.Loop() {
		m, err := Mount(slices.Values(extents), Options{})
		if err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}
