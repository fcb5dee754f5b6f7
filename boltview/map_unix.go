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
