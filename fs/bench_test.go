package fs

import (
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// BenchmarkRead reads a file of 256 MiB on disk directly and through a mount on
// both engines. All of it is in the page cache, as the file on disk or that
// behind the mount; "first" has the pages of the mount itself dropped before, so
// that each is made anew, and "again" has them.
func BenchmarkRead(b *testing.B) {
	const size = 256 << 20
	disk := b.TempDir()
	for _, name := range []string{"f", "g"} {
		if err := os.WriteFile(filepath.Join(disk, name), noise(size), 0644); err != nil {
			b.Fatal(err)
		}
	}
	ways := []way{
		{"disk", disk, nil}, // never dropped: it would be read from the disk
		{"plain", testMount(b, os.DirFS(disk), Options{}).Dir(), nil},
	}
	ways[1].drop = func(b *testing.B, name string) { dropPages(b, openFile(b, filepath.Join(ways[1].dir, name))) }
	b.Run("passthrough", func(b *testing.B) {
		packed, runs := pack(b, os.DirFS(disk))
		image := testImage(b, runs)
		mnt := testMount(b, packed, Options{Backing: image}).Dir()
		readWays(b, way{"passthrough", mnt, func(b *testing.B, name string) {
			r := runs[int(name[0]-'f')]
			f, err := image.Open(r.File, r.Off, r.Size)
			if err != nil {
				b.Fatal(err)
			}
			dropPages(b, f)
		}})
	})
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) { readWays(b, w) })
	}
}

// way is a directory with the files f and g, and what drops their pages.
type way struct {
	name, dir string
	drop      func(b *testing.B, name string)
}

func readWays(b *testing.B, w way) {
	names := []string{filepath.Join(w.dir, "f"), filepath.Join(w.dir, "g")}
	size := readAll(b, names[0]) + readAll(b, names[1])
	drop := func() {
		if w.drop != nil {
			w.drop(b, "f")
			w.drop(b, "g")
		}
	}
	timed := func(name string, bytes int64, work func(b *testing.B)) {
		b.Run(name+"/first", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(bytes)
			for b.Loop() {
				b.StopTimer()
				drop()
				b.StartTimer()
				work(b)
			}
		})
		// What random reads left is pages one by one, which are slower.
		drop()
		readAll(b, names[0])
		readAll(b, names[1])
		b.Run(name+"/again", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(bytes)
			for b.Loop() {
				work(b)
			}
		})
	}
	timed("sequential", size/2, func(b *testing.B) { readAll(b, names[0]) })
	timed("two", size, func(b *testing.B) {
		var wg sync.WaitGroup
		for _, name := range names {
			wg.Go(func() { readAll(b, name) })
		}
		wg.Wait()
	})
	const count = 2000 // per loop, each time others: few pages stay in the caches of the processor
	rnd := rand.New(rand.NewPCG(1, 2))
	timed("random", count*4096, func(b *testing.B) {
		f := openFile(b, names[0])
		defer f.Close()
		fd := int(f.Fd()) // asking for it at each read would be a system call of its own
		buf := make([]byte, 4096)
		for range count {
			if n, err := unix.Pread(fd, buf, rnd.Int64N(size/2/4096)*4096); n != len(buf) || err != nil {
				b.Fatal(n, err)
			}
		}
	})
}

func openFile(b *testing.B, name string) *os.File {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// dropPages drops the pages of f from the page cache, and closes it.
func dropPages(b *testing.B, f *os.File) {
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		b.Fatal(err)
	}
	f.Close()
}

// readAll reads a file in blocks of 128 KiB, as cp does.
func readAll(b *testing.B, name string) int64 {
	f, err := os.Open(name)
	if err != nil {
		b.Error(err)
		return 0
	}
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 128<<10))
	if err != nil {
		b.Error(err)
	}
	return n
}

// BenchmarkWalk lists and stats 20,000 files in 100 directories: on disk, in a
// mount that was not looked at before, and in one that was.
func BenchmarkWalk(b *testing.B) {
	const dirs, files = 100, 200
	tree := fstest.MapFS{}
	for i := range dirs * files {
		tree[fmt.Sprintf("d%02d/f%03d", i/files, i%files)] = &fstest.MapFile{Mode: 0444}
	}
	disk := b.TempDir()
	if err := os.CopyFS(disk, tree); err != nil {
		b.Fatal(err)
	}
	walk := func(b *testing.B, dir string) {
		n := 0
		err := filepath.WalkDir(dir, func(_ string, e iofs.DirEntry, err error) error {
			if err == nil {
				_, err = e.Info()
				n++
			}
			return err
		})
		if err != nil || n != 1+dirs+dirs*files {
			b.Fatal(n, err)
		}
	}
	b.Run("disk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			walk(b, disk)
		}
	})
	b.Run("mount/cold", func(b *testing.B) {
		wantFUSE(b)
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			s, err := Mount(b.TempDir(), os.DirFS(disk), Options{})
			if err != nil {
				b.Fatal(err)
			}
			disablePoll(s.Dir())
			b.StartTimer()
			walk(b, s.Dir())
			b.StopTimer()
			if err := s.Unmount(); err != nil {
				b.Fatal(err)
			}
			s.Wait()
			b.StartTimer()
		}
	})
	b.Run("mount/warm", func(b *testing.B) {
		s := testMount(b, os.DirFS(disk), Options{})
		walk(b, s.Dir())
		b.ReportAllocs()
		for b.Loop() {
			walk(b, s.Dir())
		}
	})
}
