package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/attr"
)

// Measure is one thing that is measured.
type Measure struct {
	Name     string `json:"name"`
	Unit     string `json:"unit"`
	Baseline string `json:"baseline,omitempty"`
	Less     bool   `json:"less,omitempty"` // is better
}

// Measures returns what is measured, in the order of reports.
func Measures() []Measure {
	return []Measure{
		{"open, cold", "s", TarCommand, true},
		{"open, warm", "s", TarCommand, true},
		{"find and stat, first", "files/s", Extracted, false},
		{"find and stat, again", "files/s", Extracted, false},
		{"open, read 4 KiB, close", "files/s", Extracted, false},
		{"read, first", "MB/s", Extracted, false},
		{"read, again", "MB/s", Extracted, false},
		{"read 4 KiB at random", "reads/s", Extracted, false},
		{"copy", "MB/s", TarCommand, false},
		{"list keys", "keys/s", Bbolt, false},
		{"memory", "MB", "", true},
		{"memory, peak", "MB", "", true},
	}
}

// Bounds of one measurement.
const (
	budget   = 3 * time.Second
	maxRead  = 512 << 20 // bytes, of sequential reads
	maxReads = 50_000    // at random
	maxOpens = 20_000

	// maxCopied is the number of files up to which copies are measured: of
	// more, what counts is the file system that they are copied to.
	maxCopied = 10_000

	pageSize = 4 << 10
)

// drop takes a file out of the page cache, as far as the kernel is willing.
func drop(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// warm reads a file into the page cache.
func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return err
}

// rate is how many were done in a time, for each second.
func rate(n int64, took time.Duration) float64 { return float64(n) / took.Seconds() }

// walk visits all below dir and asks for the attributes of each.
func walk(ctx context.Context, dir string) (float64, error) {
	var n int64
	began := time.Now()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			_, err = os.Lstat(path)
		}
		if err != nil {
			return err
		}
		n++
		return ctx.Err()
	})
	return rate(n, time.Since(began)), err
}

// opens opens files at random, and reads the first 4 KiB of each.
func opens(ctx context.Context, dir string, paths []string, rng *rand.Rand) (float64, error) {
	buf := make([]byte, pageSize)
	began := time.Now()
	n := 0
	for ; n < min(maxOpens, 4*len(paths)) && time.Since(began) < budget && ctx.Err() == nil; n++ {
		if err := openRead(filepath.Join(dir, paths[rng.IntN(len(paths))]), buf); err != nil {
			return 0, err
		}
	}
	return rate(int64(n), time.Since(began)), ctx.Err()
}

// openRead makes three system calls, and not those of package os besides, which
// adds each file to an epoll set.
func openRead(name string, buf []byte) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	_, err = unix.Pread(fd, buf, 0)
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return &os.PathError{Op: "read", Path: name, Err: err}
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// content is a file that is open for reading at any place.
type content struct {
	io.ReaderAt
	size  int64
	close func() error
}

// inDir returns what opens files below dir.
func inDir(dir string) func(path string) (content, error) {
	return func(path string) (content, error) {
		f, err := os.Open(filepath.Join(dir, path))
		if err != nil {
			return content{}, err
		}
		fi, err := f.Stat()
		if err != nil {
			return content{}, errors.Join(err, f.Close())
		}
		return content{f, fi.Size(), f.Close}, nil
	}
}

// inTars returns what reads files where they are in the tars of an open chain,
// with nothing in between.
func inTars(c *chain.Chain) (func(path string) (content, error), error) {
	view, err := c.At(chain.Latest)
	if err != nil {
		return nil, err
	}
	return func(path string) (content, error) {
		f, ok := view.File(path)
		if !ok {
			return content{}, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		r, err := f.Content()
		if err != nil {
			return content{}, err
		}
		e, ok := r.(attr.Extent)
		if !ok {
			return content{}, fmt.Errorf("%s is not in one piece", path)
		}
		file, off, _ := e.Extent()
		return content{io.NewSectionReader(file, off, f.Size), f.Size, func() error { return nil }}, nil
	}, nil
}

// sequential reads files from front to back.
func sequential(ctx context.Context, open func(string) (content, error), paths []string) (float64, error) {
	buf := make([]byte, 1<<20)
	var sum int64
	began := time.Now()
	for _, path := range paths {
		if sum >= maxRead || time.Since(began) >= budget || ctx.Err() != nil {
			break
		}
		c, err := open(path)
		if err != nil {
			return 0, err
		}
		for off := int64(0); off < c.size && time.Since(began) < budget; off += int64(len(buf)) {
			n, err := c.ReadAt(buf[:min(int64(len(buf)), c.size-off)], off)
			sum += int64(n)
			if noEOF(err) != nil {
				return 0, errors.Join(err, c.close())
			}
		}
		if err := c.close(); err != nil {
			return 0, err
		}
	}
	return rate(sum, time.Since(began)) / 1e6, ctx.Err()
}

// random reads pages of some files in any order.
func random(ctx context.Context, open func(string) (content, error), paths []string, rng *rand.Rand) (_ float64, err error) {
	var files []content
	defer func() {
		for _, c := range files {
			err = errors.Join(err, c.close())
		}
	}()
	for _, path := range paths[:min(len(paths), 8)] {
		c, err := open(path)
		if err != nil {
			return 0, err
		}
		files = append(files, c)
	}
	buf := make([]byte, pageSize)
	n := 0
	began := time.Now()
	for ; n < maxReads && time.Since(began) < budget && ctx.Err() == nil; n++ {
		c := files[rng.IntN(len(files))]
		if _, err := c.ReadAt(buf, rng.Int64N(max(1, c.size/pageSize))*pageSize); noEOF(err) != nil {
			return 0, err
		}
	}
	return rate(int64(n), time.Since(began)), ctx.Err()
}

// list counts the entries of a directory.
func list(dir string) (float64, error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var n int64
	began := time.Now()
	for {
		names, err := f.Readdirnames(1 << 12)
		n += int64(len(names))
		if err == io.EOF {
			return rate(n, time.Since(began)), nil
		}
		if err != nil {
			return 0, err
		}
	}
}
