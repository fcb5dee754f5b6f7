package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

// childGetdents reads the directory args[0] with getdents64 through two
// handles at once, with rewinds and seeks, and checks what it gets.
func childGetdents(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for _, size := range []int{300, 4096, 1 << 16} {
		a, err := openDents(args[0], size)
		if err != nil {
			return err
		}
		b, err := openDents(args[0], size)
		if err != nil {
			return err
		}
		// Two readers by turns, the second one starting again now and then.
		seed := uint64(time.Now().UnixNano())
		rnd := rand.New(rand.NewPCG(seed, 0))
		cookies := []int64{0}
		var all []string
		for {
			e, err := a.next()
			if err != nil {
				return err
			}
			if e == nil {
				break
			}
			all = append(all, e.name)
			cookies = append(cookies, e.off)
			if rnd.IntN(500) == 0 {
				at := rnd.IntN(len(cookies))
				if err := b.seek(cookies[at]); err != nil {
					return err
				}
				for i := range 3 {
					e, err := b.next()
					switch {
					case err != nil:
						return err
					case at+i < len(all) && (e == nil || e.name != all[at+i]):
						return fmt.Errorf("seed %d: entry %d after a seek is %v, want %s", seed, at+i, e, all[at+i])
					}
				}
			}
		}
		if len(all) != n+2 || all[0] != "." || all[1] != ".." {
			return fmt.Errorf("buffer of %d: %d entries, the first %q", size, len(all), all[:min(3, len(all))])
		}
		slices.Sort(all)
		if len(slices.Compact(all)) != n+2 {
			return errors.New("entries are there twice")
		}
		// The end stays the end, and the start is found again.
		if e, err := a.next(); e != nil || err != nil {
			return fmt.Errorf("after the end: %v %v", e, err)
		}
		if err := a.seek(0); err != nil {
			return err
		}
		if e, err := a.next(); err != nil || e == nil || e.name != "." {
			return fmt.Errorf("after rewinding: %v %v", e, err)
		}
	}
	return nil
}

// dents reads a directory as readdir(3) does.
type dents struct {
	fd   int
	buf  []byte
	rest []byte
}

type dent struct {
	name string
	ino  uint64
	off  int64
}

func openDents(dir string, size int) (*dents, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return &dents{fd: fd, buf: make([]byte, size)}, err
}

func (d *dents) seek(off int64) error {
	d.rest = nil
	_, err := unix.Seek(d.fd, off, io.SeekStart)
	return err
}

// next returns nil at the end. A record is d_ino, d_off (8 bytes each), d_reclen
// (2), d_type (1), and the name up to a NUL.
func (d *dents) next() (*dent, error) {
	if len(d.rest) == 0 {
		n, err := unix.Getdents(d.fd, d.buf)
		if n <= 0 || err != nil {
			return nil, err
		}
		d.rest = d.buf[:n]
	}
	le := func(b []byte, n int) (v uint64) {
		for i := range n {
			v |= uint64(b[i]) << (8 * i)
		}
		return v
	}
	rec := d.rest[:le(d.rest[16:], 2)]
	d.rest = d.rest[len(rec):]
	name, _, _ := bytes.Cut(rec[19:], []byte{0})
	return &dent{string(name), le(rec, 8), int64(le(rec[8:], 8))}, nil
}

func TestGetdents(t *testing.T) {
	const n = 5000
	for _, seeks := range []bool{false, true} {
		for _, cache := range []time.Duration{0, -1} {
			s := testMount(t, bigDir{n: n, seeks: seeks}, Options{CacheTime: cache})
			for range 2 {
				if out, err := child(t, "getdents", s.Dir(), strconv.Itoa(n)).CombinedOutput(); err != nil {
					t.Errorf("seeks=%v cache=%v: %v: %s", seeks, cache, err, out)
				}
			}
		}
	}
}

// TestDirInodes compares the numbers in listings with those of stat.
func TestDirInodes(t *testing.T) {
	tree := sampleTree()
	tree["same/a"] = &fstest.MapFile{Data: []byte("s"), Sys: sys{ino: 1 << 61}}
	tree["same/b"] = &fstest.MapFile{Data: []byte("s"), Sys: sys{ino: 1 << 61}}
	s := testMount(t, tree, Options{})
	err := filepath.WalkDir(s.Dir(), func(p string, e iofs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		d, err := openDents(p, 4096)
		if err != nil {
			return err
		}
		defer unix.Close(d.fd)
		for {
			e, err := d.next()
			if err != nil || e == nil {
				return err
			}
			if p == s.Dir() && e.name == ".." {
				continue // the kernel says what is above the mount
			}
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(p, e.name), &st); err != nil {
				return err
			}
			if e.ino != st.Ino || st.Ino == 0 {
				t.Errorf("%s/%s: number %d in the listing, %d in stat", p, e.name, e.ino, st.Ino)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
