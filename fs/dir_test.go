package fs

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// bigDir is a tree with n empty files in its root. Their names are made when
// asked for.
type bigDir struct {
	n      int
	failAt int           // entries before the listing breaks off; 0 never
	seeks  bool          // whether the directory is an io.Seeker
	most   *atomic.Int64 // the most entries that ReadDir was asked for
}

func bigName(i int) string { return fmt.Sprintf("file%07d", i) }

func (b bigDir) Open(name string) (iofs.File, error) {
	if name == "." && b.seeks {
		return &bigHandleSeeker{bigHandle{b: b}}, nil
	}
	if name == "." {
		return &bigHandle{b: b}, nil
	}
	if _, err := b.Stat(name); err != nil {
		return nil, err
	}
	return fstest.MapFS{name: {Mode: 0444}}.Open(name)
}

func (b bigDir) Stat(name string) (iofs.FileInfo, error) {
	if name == "." {
		return bigInfo("."), nil
	}
	i, err := strconv.Atoi(strings.TrimPrefix(name, "file"))
	if err != nil || i < 0 || i >= b.n || bigName(i) != name {
		return nil, &iofs.PathError{Op: "stat", Path: name, Err: iofs.ErrNotExist}
	}
	return bigInfo(name), nil
}

type bigInfo string

func (i bigInfo) Name() string                 { return string(i) }
func (i bigInfo) Size() int64                  { return 0 }
func (i bigInfo) ModTime() time.Time           { return when }
func (i bigInfo) IsDir() bool                  { return i == "." }
func (i bigInfo) Sys() any                     { return nil }
func (i bigInfo) Type() iofs.FileMode          { return i.Mode().Type() }
func (i bigInfo) Info() (iofs.FileInfo, error) { return i, nil }
func (i bigInfo) Mode() iofs.FileMode {
	if i.IsDir() {
		return iofs.ModeDir | 0555
	}
	return 0444
}

type bigHandle struct {
	b    bigDir
	next int
}

func (h *bigHandle) Stat() (iofs.FileInfo, error) { return bigInfo("."), nil }
func (h *bigHandle) Read([]byte) (int, error)     { return 0, syscall.EISDIR }
func (h *bigHandle) Close() error                 { return nil }

func (h *bigHandle) ReadDir(n int) (list []iofs.DirEntry, err error) {
	if h.b.most != nil {
		if n <= 0 {
			n = h.b.n
		}
		h.b.most.Store(max(h.b.most.Load(), int64(n))) // by one reader
	}
	for ; h.next < h.b.n && (n <= 0 || len(list) < n); h.next++ {
		if h.b.failAt > 0 && h.next == h.b.failAt {
			return list, errTorn
		}
		list = append(list, bigInfo(bigName(h.next)))
	}
	if n > 0 && len(list) == 0 {
		return nil, io.EOF
	}
	return list, nil
}

type bigHandleSeeker struct{ bigHandle }

func (h *bigHandleSeeker) Seek(off int64, whence int) (int64, error) {
	if whence != io.SeekStart {
		return 0, iofs.ErrInvalid
	}
	h.next = int(min(off, int64(h.b.n)))
	return int64(h.next), nil
}

// TestDirSeek moves about in a directory and compares each entry with a list.
func TestDirSeek(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, tt := range []bigDir{
		{n: 0}, {n: 1}, {n: 3}, {n: dirBatch}, {n: 3*dirBatch + 7},
		{n: 0, seeks: true}, {n: 3*dirBatch + 7, seeks: true},
		{n: 1000, failAt: 600}, {n: 1000, failAt: 600, seeks: true}, {n: 2 * dirBatch, failAt: dirBatch},
	} {
		want := []string{".", ".."}
		for i := range tt.n {
			want = append(want, bigName(i))
		}
		bad := math.MaxInt // cookie at which the listing breaks off
		if tt.failAt > 0 {
			bad = tt.failAt + dirDots
		}
		var most atomic.Int64
		tt.most = &most
		d, err := newMount(tt, (&Options{}).settings()).newDir(".")
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for range 200 {
			at = rnd.IntN(len(want) + 5)
			if tt.seeks {
				at = min(at, bad) // it may be able to step over the damage, or not
			}
			no := d.seekTo(uint64(at))
			if at > bad {
				if no != fuse.EIO {
					t.Fatalf("%+v: seek to %d past the damage: %v", tt, at, no)
				}
				continue
			}
			if no != 0 {
				t.Fatalf("%+v: seek to %d: %v", tt, at, no)
			}
			for range rnd.IntN(2 * dirBatch) {
				err := d.come()
				switch {
				case at == bad:
					if errno(err) != syscall.EIO || errors.Is(err, io.EOF) {
						t.Fatalf("%+v: entry %d: %v, want damage", tt, at, err)
					}
					continue
				case at >= len(want):
					if !errors.Is(err, io.EOF) {
						t.Fatalf("%+v: entry %d past the end: %v", tt, at, err)
					}
					continue
				case err != nil:
					t.Fatalf("%+v: entry %d: %v", tt, at, err)
				}
				if e := d.entry; e.Name != want[at] || e.Off != uint64(at+1) {
					t.Fatalf("%+v: entry %d: %v, want %s", tt, at, e, want[at])
				}
				if rnd.IntN(8) > 0 { // and else there was no room for it
					d.ahead = false
					at++
				}
			}
		}
		if st := d.seekTo(1 << 63); st != fuse.EINVAL {
			t.Errorf("seek to a negative offset: %v", st)
		}
		if err := d.file.Close(); err != nil {
			t.Error(err)
		}
		if most := most.Load(); most > dirBatch {
			t.Errorf("%d entries asked for at a time", most)
		}
	}
}

// badDir lists names or errors as it is told.
type badDir struct {
	bigHandle
	lists [][]iofs.DirEntry
}

func (d *badDir) ReadDir(int) ([]iofs.DirEntry, error) {
	if len(d.lists) == 0 {
		return nil, io.EOF
	}
	l := d.lists[0]
	d.lists = d.lists[1:]
	return l, nil
}

func TestDirBad(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "nul\x00", strings.Repeat("x", 256), "no progress"} {
		lists := [][]iofs.DirEntry{{bigInfo("good")}, {bigInfo(name), bigInfo("more")}}
		if name == "no progress" {
			lists[1] = nil
		}
		tree := hooks{FS: fstest.MapFS{}, open: map[string]func() (iofs.File, error){
			".": func() (iofs.File, error) { return &badDir{lists: lists}, nil },
		}}
		var log logBuffer
		g := testNodes(tree, Options{Logger: log.logger()})
		var d fuse.OpenOut
		if st := g.OpenDir(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: fuse.FUSE_ROOT_ID}}, &d); st != fuse.OK {
			t.Fatal(st)
		}
		read := func(off uint64) ([]fuse.DirEntry, fuse.Status) {
			list := fuse.NewDirEntryList(make([]byte, 4096), off)
			st := g.ReadDir(nil, &fuse.ReadIn{Fh: d.Fh, Offset: off}, list)
			entries, err := fuse.ParseDirEntries(list.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			return entries, st
		}
		if e, st := read(2); st != fuse.OK || len(e) != 1 || e[0].Name != "good" {
			t.Errorf("%q: %v %v", name, e, st)
		}
		if log.String() != "" {
			t.Errorf("%q: logged early: %s", name, &log.b)
		}
		for range 3 { // it must not get over it
			if e, st := read(3); st != fuse.EIO {
				t.Errorf("%q: %v %v, want EIO", name, e, st)
			}
		}
		if !strings.Contains(log.String(), "op=readdir") {
			t.Errorf("%q: log %q", name, &log.b)
		}
	}
}

func TestBigDir(t *testing.T) {
	const n = 100_000
	var most atomic.Int64
	s := testMount(t, bigDir{n: n, most: &most}, Options{})
	for _, pass := range []string{"from the tree", "from the cache"} {
		d, err := os.Open(s.Dir())
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for {
			names, err := d.Readdirnames(1000)
			for _, name := range names {
				if name != bigName(got) {
					t.Fatalf("%s: entry %d is %s", pass, got, name)
				}
				got++
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		d.Close()
		if got != n {
			t.Errorf("%s: %d entries", pass, got)
		}
	}
	if most := most.Load(); most > dirBatch {
		t.Errorf("%d entries asked for at a time", most)
	}
	t.Logf("%+v", s.Counters())
}

func TestDamagedListing(t *testing.T) {
	for _, failAt := range []int{1, 100, 5000} {
		s := testMount(t, bigDir{n: 10_000, failAt: failAt}, Options{})
		for range 3 { // the kernel must not keep the short list
			list, err := os.ReadDir(s.Dir())
			wantErrno(t, "readdir", err, syscall.EIO)
			if len(list) != failAt {
				t.Errorf("%d entries before the error, want %d", len(list), failAt)
			}
		}
		if _, err := os.Stat(filepath.Join(s.Dir(), bigName(failAt+1))); err != nil {
			t.Error(err) // a file past the damage is still there
		}
	}
}
