package tarindex

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

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
