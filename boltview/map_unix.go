//go:build unix

package boltview

import (
	"os"

	"golang.org/x/sys/unix"
)

func mmap(f *os.File, size int) ([]byte, error) {
	return unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
}

func munmap(b []byte) {
	if b != nil {
		// What mmap returned is always unmapped.
		_ = unix.Munmap(b)
	}
}

// release gives the pages of a map back; who touches one gets it again.
func release(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }
