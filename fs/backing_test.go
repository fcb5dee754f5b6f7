package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// TestPassthrough reads files that the kernel reads by itself, and others beside
// them: the server is asked for the bytes of the others only.
func TestPassthrough(t *testing.T) {
	big := &fstest.MapFile{Data: noise(300_001), Mode: 0444, Sys: sys{ino: 1 << 61}}
	m := fstest.MapFS{"big": big, "again/big": big, "empty": mapFile(""), "small": mapFile("small\n"),
		"volatile": {Data: noise(200_000), Mode: 0444, Sys: sys{ino: 5, volatile: true}}}
	packed, extents := pack(t, m)
	wantFUSE(t)
	s := testMount(t, packed, Options{Backing: testImage(t, extents), MinBacked: 100})
	if err := s.Passthrough(); err != nil {
		noPassthrough(t, err)
	}
	var open []*os.File
	for _, name := range []string{"big", "again/big", "big"} { // one inode, open three times
		f, err := os.Open(filepath.Join(s.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		open = append(open, f)
	}
	for _, f := range open {
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, big.Data) {
			t.Errorf("%s: %d bytes, %v", f.Name(), len(got), err)
		}
	}
	bytesOf := func(op string) uint64 { return s.Counters()[op].Bytes }
	if n := bytesOf("read") + bytesOf("open"); n != 0 {
		t.Errorf("the server gave %d bytes", n)
	}
	for _, name := range []string{"empty", "small", "volatile"} {
		if got, err := os.ReadFile(filepath.Join(s.Dir(), name)); err != nil || !bytes.Equal(got, m[name].Data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if n := bytesOf("read") + bytesOf("open"); n != 200_006 {
		t.Errorf("the server gave %d bytes, want those of small and volatile", n)
	}
}

// flaky is a Backing that fails while broken is set.
type flaky struct {
	Backing
	broken atomic.Bool
}

func (f *flaky) Open(on *os.File, off, size int64) (*os.File, error) {
	if f.broken.Load() {
		return nil, unix.EMFILE
	}
	return f.Backing.Open(on, off, size)
}

// TestPassthroughFails opens a file that the backing cannot open at the time. It
// is read through the server, by later handles as well until all are closed, as
// the kernel does not take both at once.
func TestPassthroughFails(t *testing.T) {
	m := fstest.MapFS{"f": {Data: noise(300_000), Mode: 0444}, "g": {Data: noise(200_000), Mode: 0444}}
	packed, extents := pack(t, m)
	wantFUSE(t)
	backing := &flaky{Backing: testImage(t, extents)}
	var log logBuffer
	s := testMount(t, packed, Options{Backing: backing, MinBacked: 1, Logger: log.logger()})
	if err := s.Passthrough(); err != nil {
		noPassthrough(t, err)
	}
	open := func(name string) *os.File {
		t.Helper()
		f, err := os.Open(filepath.Join(s.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, m[name].Data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		return f
	}
	bytes := func() uint64 { return s.Counters()["read"].Bytes }
	backing.broken.Store(true)
	first := open("f")
	backing.broken.Store(false)
	second := open("f")
	open("g").Close()
	if n := bytes(); n != 300_000 {
		t.Errorf("the server was asked for %d bytes, want f once", n)
	}
	if !strings.Contains(log.String(), unix.EMFILE.Error()) {
		t.Errorf("log: %s", log.String())
	}
	first.Close()
	second.Close()
	// The kernel reports a closed file some time later, and a reader that
	// comes before is served like the ones before it.
	for i := range 3 {
		open("f").Close()
		open(fmt.Sprint([]string{"g", "f", "g"}[i])).Close()
	}
	if n := bytes(); n != 300_000 {
		t.Errorf("the server was asked for %d bytes, though the pages of f are cached", n)
	}
}

// TestRevoke revokes what is open on one of two files on disk.
func TestRevoke(t *testing.T) {
	wantFUSE(t)
	m := fstest.MapFS{"a/f": {Data: noise(3 << 20), Mode: 0444, Sys: sys{ino: 1 << 61}}, "g": {Data: noise(2 << 20), Mode: 0444}}
	packed, runs := pack(t, fstest.MapFS{"a/f": m["a/f"]})
	more, moreRuns := pack(t, fstest.MapFS{"g": m["g"]})
	tree := hooks{FS: m, open: packed.(hooks).open}
	tree.open["g"] = more.(hooks).open["g"]
	s := testMount(t, tree, Options{Backing: testImage(t, append(runs, moreRuns...)), MinBacked: 1})
	if err := s.Passthrough(); err != nil {
		noPassthrough(t, err)
	}
	var open []*os.File
	for _, name := range []string{"a/f", "a/f", "g"} {
		f, err := os.Open(filepath.Join(s.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.ReadAt(make([]byte, 100), 0); err != nil {
			t.Error(err)
		}
		open = append(open, f)
	}
	if n := s.Revoke(runs[0].File); n != 1 {
		t.Errorf("%d files revoked, want 1", n)
	}
	for _, f := range open[:2] {
		_, err := f.ReadAt(make([]byte, 100), 0)
		wantErrno(t, "read of a revoked file", err, unix.EIO)
	}
	if b, err := io.ReadAll(open[2]); err != nil || !bytes.Equal(b, m["g"].Data) {
		t.Errorf("the other file: %d bytes, %v", len(b), err)
	}
	_, err := os.ReadFile(filepath.Join(s.Dir(), "a/f"))
	wantErrno(t, "open of a revoked file", err, unix.EIO)
	if n := s.Revoke(moreRuns[0].File); n != 1 {
		t.Errorf("%d files revoked, want 1", n)
	}
	for _, f := range open {
		f.Close()
	}
}

// TestPassthroughUnfit has a backing whose files the kernel does not take.
func TestPassthroughUnfit(t *testing.T) {
	m := fstest.MapFS{"f": {Data: noise(300_000), Mode: 0444}}
	for name, backing := range map[string]Backing{"directory": dirBacking{}, "error": noBacking{}} {
		t.Run(name, func(t *testing.T) {
			s := testMount(t, m, Options{Backing: backing})
			if err := s.Passthrough(); err == nil {
				t.Error("passthrough is on")
			}
			if got, err := os.ReadFile(filepath.Join(s.Dir(), "f")); err != nil || !bytes.Equal(got, m["f"].Data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	if err := testMount(t, m, Options{}).Passthrough(); !errors.Is(err, errNoBacking) {
		t.Errorf("without a backing: %v", err)
	}
}

type noBacking struct{}

func (noBacking) Open(*os.File, int64, int64) (*os.File, error) { return nil, iofs.ErrNotExist }
func (noBacking) Probe() (*os.File, error)                      { return nil, errTorn }

type dirBacking struct{ noBacking }

func (dirBacking) Probe() (*os.File, error) { return os.Open("/") }

// TestPassthroughDescriptors reads many files once each, and holds some open.
func TestPassthroughDescriptors(t *testing.T) {
	const files = 1000
	m := fstest.MapFS{}
	for i := range files {
		m[fmt.Sprintf("d%d/f%d", i%7, i)] = &fstest.MapFile{Data: noise(512 + i), Mode: 0444}
	}
	before := descriptors(t)
	t.Run("mounted", func(t *testing.T) {
		packed, extents := pack(t, m)
		wantFUSE(t)
		s := testMount(t, packed, Options{Backing: testImage(t, extents), MinBacked: 1})
		if err := s.Passthrough(); err != nil {
			noPassthrough(t, err)
		}
		mounted, most := descriptors(t), 0
		for i := range files {
			name := fmt.Sprintf("d%d/f%d", i%7, i)
			got, err := os.ReadFile(filepath.Join(s.Dir(), name))
			if err != nil || !bytes.Equal(got, m[name].Data) {
				t.Fatalf("%s: %d bytes, %v", name, len(got), err)
			}
			if i%50 == 0 {
				most = max(most, descriptors(t))
			}
		}
		// The kernel reports closed files some time later, but in the order of
		// its requests: no more than what it has room for at a time.
		if most > mounted+2*maxBackground {
			t.Errorf("up to %d descriptors, %d at first", most, mounted)
		}
		if n := s.Counters()["read"].Bytes; n != 0 {
			t.Errorf("the server was asked for %d bytes", n)
		}
	})
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors after, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
