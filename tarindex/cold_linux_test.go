package tarindex

import (
	"archive/tar"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPredictFile has the kernel fetch, of a file that it has and of one of
// which it may have nothing.
func TestPredictFile(t *testing.T) {
	sizes := slices.Repeat([]int64{64 << 10}, 200)
	f := writeMembers(t, 1+len(sizes), 64<<10, tar.FormatUSTAR)
	for range 2 {
		ix, err := Build(f, fileSize(t, f), predict(sizes))
		if err != nil || ix.Len() != 1+len(sizes) {
			t.Fatal(err)
		}
		drop(t, f)
	}
}

// BenchmarkCold indexes a file that is not in the page cache, with its sizes
// predicted and without, beside one that is there.
func BenchmarkCold(b *testing.B) {
	const n, each = 1000, 512 << 10
	f := writeMembers(b, n, each, tar.FormatUSTAR)
	size := fileSize(b, f)
	for _, c := range []struct {
		name string
		opts Options
		cold bool
	}{
		{"predicted", predict(slices.Repeat([]int64{each}, n-1)), true},
		{"hopping", Options{}, true},
		{"warm/predicted", predict(slices.Repeat([]int64{each}, n-1)), false},
		{"warm/hopping", Options{}, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if c.cold {
					b.StopTimer()
					drop(b, f)
					b.StartTimer()
				}
				if ix, err := Build(f, size, c.opts); err != nil || ix.Len() != n {
					b.Fatal(err)
				}
			}
			perMember(b, n)
		})
	}
}

// drop takes a file out of the page cache, as far as the kernel is willing.
func drop(t testing.TB, f *os.File) {
	t.Helper()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}
