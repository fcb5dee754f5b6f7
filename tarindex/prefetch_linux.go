package tarindex

import (
	"os"

	"golang.org/x/sys/unix"
)

// filePrefetcher has the kernel read into the page cache.
func filePrefetcher(f *os.File) Prefetcher { return pageCache{f} }

type pageCache struct{ f *os.File }

// samples is the number of places that are looked at first. If all of them are
// in memory, the rest will be, and needs no call for each.
const samples = 8

func (p pageCache) Prefetch(offsets []int64, n int) {
	conn, err := p.f.SyscallConn()
	if err != nil {
		return // the file is closed, as the next read will say
	}
	_ = conn.Control(func(fd uintptr) {
		buf := [][]byte{make([]byte, n)}
		cached := 0
		for i := range samples {
			off := offsets[i*(len(offsets)-1)/(samples-1)]
			if got, err := unix.Preadv2(int(fd), buf, off, unix.RWF_NOWAIT); err != nil || got <= 0 {
				break
			}
			cached++
		}
		if cached == samples {
			return
		}
		for _, off := range offsets {
			if unix.Fadvise(int(fd), off, int64(n), unix.FADV_WILLNEED) != nil {
				return
			}
		}
	})
}
