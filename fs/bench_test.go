package fs

import (
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// BenchmarkRead reads a file of 64 MiB on disk directly and through a mount.
// "cold" has the pages of the mount dropped before, so that each is asked of
// the server; the file below stays in the page cache all the time.
func BenchmarkRead(b *testing.B) {
	const size = 64 << 20
	disk := b.TempDir()
	if err := os.WriteFile(filepath.Join(disk, "f"), noise(size), 0644); err != nil {
		b.Fatal(err)
	}
	mnt := testMount(b, os.DirFS(disk), Options{}).Dir()
	open := func(b *testing.B, dir string, cold bool) *os.File {
		f, err := os.Open(filepath.Join(dir, "f"))
		if err != nil {
			b.Fatal(err)
		}
		if cold {
			if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
				b.Fatal(err)
			}
		}
		return f
	}
	for _, bb := range []struct {
		name string
		dir  string
		cold bool
	}{{"disk/warm", disk, false}, {"mount/warm", mnt, false}, {"mount/cold", mnt, true}} {
		for _, block := range []int{4096, 128 << 10} {
			b.Run(fmt.Sprintf("sequential/%s/%d", bb.name, block), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(size)
				buf := make([]byte, block)
				for b.Loop() {
					f := open(b, bb.dir, bb.cold)
					if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, buf); n != size || err != nil {
						b.Fatal(n, err)
					}
					f.Close()
				}
			})
		}
		b.Run("random/"+bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(4096)
			f := open(b, bb.dir, bb.cold)
			defer f.Close()
			if bb.cold { // so that the kernel does not read ahead
				if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
					b.Fatal(err)
				}
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			buf := make([]byte, 4096)
			for i := 0; b.Loop(); i++ {
				if bb.cold && i%4096 == 4095 {
					if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := f.ReadAt(buf, rnd.Int64N(size/4096)*4096); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
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
