package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

// gated is an open file that cannot be read before the gate is open.
type gated struct {
	iofs.File
	gate <-chan struct{}
	came chan<- struct{} // told of each read
}

func (f gated) ReadAt(p []byte, off int64) (int, error) {
	f.came <- struct{}{}
	<-f.gate
	return f.File.(io.ReaderAt).ReadAt(p, off)
}

// TestSlow reads files that nothing comes of for a while, more of them than
// there are goroutines at rest: everything else is answered meanwhile.
func TestSlow(t *testing.T) {
	for _, memory := range []bool{false, true} {
		t.Run(fmt.Sprintf("memory %v", memory), func(t *testing.T) {
			slow := 3*runtime.GOMAXPROCS(0) + 10
			gate, came := make(chan struct{}), make(chan struct{}, 10*slow)
			tree := hooks{FS: fstest.MapFS{"quick": mapFile("quick")}, open: map[string]func() (iofs.File, error){}}
			for i := range slow {
				name := fmt.Sprint("slow", i)
				tree.FS.(fstest.MapFS)[name] = mapFile(name)
				tree.open[name] = func() (iofs.File, error) {
					f, err := tree.FS.Open(name)
					return gated{f, gate, came}, err
				}
			}
			var root iofs.FS = tree
			if memory {
				root = inMemory{tree}
			}
			dir := testMount(t, root, Options{}).Dir()
			var readers sync.WaitGroup
			for i := range slow {
				name := fmt.Sprint("slow", i)
				readers.Go(func() {
					if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != name {
						t.Errorf("%s: %q, %v", name, got, err)
					}
				})
			}
			for range slow {
				<-came
			}
			if got, err := os.ReadFile(filepath.Join(dir, "quick")); err != nil || string(got) != "quick" {
				t.Errorf("quick: %q, %v", got, err)
			}
			if list, err := os.ReadDir(dir); err != nil || len(list) != slow+1 {
				t.Errorf("%d files, %v", len(list), err)
			}
			close(gate)
			readers.Wait()
		})
	}
}

// changedFile is a file whose bytes on disk are not its content any more.
type changedFile struct{ extentFile }

func (f changedFile) Changed() error                    { return errTorn }
func (f changedFile) ReadAt([]byte, int64) (int, error) { return 0, errTorn }

// TestPush opens small files, whose contents come with that, and others.
func TestPush(t *testing.T) {
	m := fstest.MapFS{"large": mapFile(string(noise(mostPushed + 1))), "most": mapFile(string(noise(mostPushed))),
		"small": mapFile("small"), "empty": mapFile(""), "changed": mapFile("changed")}
	packed, runs := pack(t, m)
	b := make([]byte, 1)
	if _, err := unix.Preadv2(int(runs[0].File.Fd()), [][]byte{b}, runs[0].Off, unix.RWF_NOWAIT); err != nil && !cached(runs[0].File, runs[0].Off, 1) {
		t.Skipf("%s: it cannot be told what of it is in memory: %v", runs[0].File.Name(), err)
	}
	tree := packed.(hooks)
	whole := tree.open["changed"]
	tree.open["changed"] = func() (iofs.File, error) {
		f, err := whole()
		if err == nil {
			f = changedFile{f.(extentFile)}
		}
		return f, err
	}
	s := testMount(t, tree, Options{})
	moved := func() [2]uint64 { c := s.Counters(); return [2]uint64{c["open"].Bytes, c["read"].Bytes} }
	for _, tt := range []struct {
		name         string
		pushed, read uint64
	}{
		{"small", 5, 0}, {"small", 0, 0}, {"most", mostPushed, 0}, {"empty", 0, 0}, {"large", 0, mostPushed + 1}, {"large", 0, 0},
	} {
		before := moved()
		got, err := os.ReadFile(filepath.Join(s.Dir(), tt.name))
		if err != nil || !bytes.Equal(got, m[tt.name].Data) {
			t.Errorf("%s: %d bytes, %v", tt.name, len(got), err)
		}
		after := moved()
		if pushed, read := after[0]-before[0], after[1]-before[1]; pushed != tt.pushed || read != tt.read {
			t.Errorf("%s: %d bytes pushed and %d read, want %d and %d", tt.name, pushed, read, tt.pushed, tt.read)
		}
	}
	for range 2 {
		before := moved()
		if _, err := os.ReadFile(filepath.Join(s.Dir(), "changed")); !errors.Is(err, syscall.EIO) || moved() != before {
			t.Errorf("changed: %v, moved %v and before %v", err, moved(), before)
		}
	}

	// Pages that the kernel has dropped are read, and pushed once nobody has the
	// file open and it is known anew.
	f, err := os.Open(filepath.Join(s.Dir(), "small"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	before := moved()
	if got, err := os.ReadFile(filepath.Join(s.Dir(), "small")); err != nil || string(got) != "small" {
		t.Errorf("after its pages were dropped: %q, %v", got, err)
	}
	if after := moved(); after[0] != before[0] || after[1] != before[1]+5 {
		t.Errorf("of an open file: %v, before %v", after, before)
	}
}

func TestPushes(t *testing.T) {
	var p pushes
	is := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	is("the first handle", p.begin(7), true)
	is("the second", p.begin(7), false)
	p.forget(7)
	is("forgotten, but open", p.begin(7), false)
	for range 3 {
		p.end(7)
	}
	is("closed", p.begin(7), true)
	p.end(7)
	is("known", p.begin(7), false)
	p.end(7)
	other := uint64(8)
	for p.place(other) != p.place(7) {
		other++
	}
	p.forget(other)
	is("another was forgotten", p.begin(7), false)
	p.end(7)
	is("another in its place", p.begin(other), true)
	is("driven out", p.begin(7), true)
	p.end(7)
	p.end(other)
	if len(p.open) != 0 {
		t.Errorf("%d files are open", len(p.open))
	}
}

// TestPushConcurrent opens, reads and drops few small files from many sides.
func TestPushConcurrent(t *testing.T) {
	m := fstest.MapFS{}
	for i := range 8 {
		m[fmt.Sprint(i)] = mapFile(string(noise(1 + i*2000)))
	}
	s := mountPushed(t, m, Options{CacheTime: -1})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for side := range uint64(8) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, side))
			for range 300 {
				name := fmt.Sprint(rnd.IntN(len(m)))
				f, err := os.Open(filepath.Join(s.Dir(), name))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, m[name].Data) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
				if rnd.IntN(2) == 0 {
					if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
						t.Error(err)
					}
				}
				f.Close()
			}
		})
	}
	wg.Wait()
}
