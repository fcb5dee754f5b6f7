package restore_test

import (
	"archive/tar"
	"bufio"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/restore"
	"github.com/snapfs/snapfs/tarindex"
)

var (
	speedFiles = flag.Int("speed.files", 40, "files that BenchmarkSpeed restores")
	speedSize  = flag.Int64("speed.size", 64<<10, "their size in bytes")
	speedWays  = flag.String("speed.ways", "restore fsync verify", "what it measures beside cp and tar")
	speedDir   = flag.String("speed.dir", "", "where it works; by default where tests do")
)

// makeTar writes a tar of files of noise, 1000 to a directory.
func makeTar(b *testing.B, name string, files int, size int64) {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	w := tar.NewWriter(out)
	data := make([]byte, min(size, 1<<20))
	rnd := rand.NewChaCha8([32]byte{1})
	rnd.Read(data)
	for i := range files {
		if i%1000 == 0 {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprintf("d%03d/", i/1000), Mode: 0o755, ModTime: time.Unix(1446433445, 0)}); err != nil {
				b.Fatal(err)
			}
		}
		h := &tar.Header{Name: fmt.Sprintf("d%03d/f%06d", i/1000, i), Size: size, Mode: 0o644, ModTime: time.Unix(1446433445, 0)}
		if err := w.WriteHeader(h); err != nil {
			b.Fatal(err)
		}
		for n := size; n > 0; n -= int64(len(data)) {
			if _, err := w.Write(data[:min(n, int64(len(data)))]); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSpeed restores the files of a tar and has cp -r and tar -x do the
// same, one after another in each round. It reports the median times, and their
// ratios. Everything that is read is in memory, and what was written before is
// on the disk.
//
//	go test -run '^$' -bench Speed -benchtime 5x ./restore -speed.files 200000 -speed.size 4096
func BenchmarkSpeed(b *testing.B) {
	dir := *speedDir
	if dir == "" {
		dir = b.TempDir()
	}
	archive, src := filepath.Join(dir, "speed.tar"), filepath.Join(dir, "src")
	defer os.RemoveAll(src)
	defer os.Remove(archive)
	makeTar(b, archive, *speedFiles, *speedSize)
	if err := os.Mkdir(src, 0o755); err != nil {
		b.Fatal(err)
	}
	run := func(name string, args ...string) func(string) error {
		return func(dst string) error {
			args := slices.Clone(args)
			for i := range args {
				if args[i] == "DST" {
					args[i] = dst
				}
			}
			out, err := exec.Command(name, args...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s: %w: %s", name, err, out)
			}
			return nil
		}
	}
	if err := run("tar", "-xf", archive, "-C", src)(""); err != nil {
		b.Skip(err)
	}
	f, err := os.Open(archive)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	tree := func() (fs.FS, error) { return tarindex.Build(f, st.Size(), tarindex.Options{}) }
	swap := func(opts restore.Options) func(string) error {
		return func(dst string) error {
			t, err := tree() // finding the members is part of it, as it is for tar
			if err != nil {
				return err
			}
			s, err := restore.NewSwap(context.Background(), []restore.Part{{Target: dst, Tree: t, Options: opts}}, restore.SwapOptions{})
			if err != nil {
				return err
			}
			_, err = s.Run(context.Background())
			return err
		}
	}
	ways := []struct {
		name string
		do   func(dst string) error
		took []time.Duration
	}{
		{name: "cp", do: run("cp", "-r", src, "DST")},
		{name: "tar", do: run("sh", "-c", `mkdir "$1" && tar -xf "$0" -C "$1"`, archive, "DST")},
		{name: "restore", do: swap(restore.Options{NoSync: true})},
		{name: "fsync", do: swap(restore.Options{})},
		{name: "verify", do: swap(restore.Options{Verify: true})},
	}
	for i := len(ways) - 1; i >= 2; i-- {
		if !slices.Contains(strings.Fields(*speedWays), ways[i].name) {
			ways = slices.Delete(ways, i, i+1)
		}
	}
	dst := filepath.Join(dir, "dst")
	b.SetBytes(int64(*speedFiles) * *speedSize)
	for b.Loop() {
		for i := range ways {
			w := &ways[i]
			flush(b, dir)
			start := time.Now()
			err := w.do(dst)
			w.took = append(w.took, time.Since(start))
			if err != nil {
				b.Fatalf("%s: %v", w.name, err)
			}
			if got := count(b, dst); got != *speedFiles {
				b.Fatalf("%s made %d files", w.name, got)
			}
			if err := os.RemoveAll(dst); err != nil {
				b.Fatal(err)
			}
		}
	}
	median := func(i int) float64 {
		slices.Sort(ways[i].took)
		return ways[i].took[len(ways[i].took)/2].Seconds()
	}
	for i, w := range ways {
		b.ReportMetric(1000*median(i), w.name+"-ms")
		if i >= 2 {
			b.ReportMetric(median(i)/median(0), w.name+"/cp")
			b.ReportMetric(median(i)/median(1), w.name+"/tar")
		}
	}
}

// flush has all that was written before be on the disk.
func flush(b *testing.B, dir string) {
	b.Helper()
	d, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		b.Fatal(err)
	}
}

func count(b *testing.B, dir string) (n int) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}
