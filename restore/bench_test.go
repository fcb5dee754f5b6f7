package restore

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// plainCopy is what cp -r does, or, with sync, the least that anyone must do
// who wants each file to be whole after a power failure.
func plainCopy(dst string, src fs.FS, sync bool) error {
	return fs.WalkDir(src, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dst, p)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		in, err := src.Open(p)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.Create(to)
		if err != nil {
			return err
		}
		defer out.Close()
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
		if sync {
			return out.Sync()
		}
		return nil
	})
}

// readers hides that the files of a directory are files.
type readers struct{ fs.FS }

func (r readers) Open(name string) (fs.File, error) {
	f, err := r.FS.Open(name)
	if of, ok := f.(*os.File); ok {
		if st, err := of.Stat(); err == nil && st.Mode().IsRegular() {
			return struct {
				fs.File
				io.ReaderAt
			}{f, of}, nil
		}
	}
	return f, err
}

func benchmark(b *testing.B, files, size int) {
	dir := b.TempDir()
	data := noise(1, size)
	for i := range files {
		p := filepath.Join(dir, fmt.Sprintf("db%d/rp/%d", i%10, i))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	src := os.DirFS(dir)
	run := func(name string, do func(dst string) error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(files) * int64(size))
			b.ReportAllocs()
			tmp := b.TempDir()
			dst := filepath.Join(tmp, "dst")
			for b.Loop() {
				if err := do(dst); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := os.RemoveAll(dst); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
	run("plain", func(dst string) error { return plainCopy(dst, src, false) })
	run("plain+fsync", func(dst string) error { return plainCopy(dst, src, true) })
	for _, w := range []int{1, 2, defaultWorkers, 16} {
		for _, noSync := range []bool{true, false} {
			name := fmt.Sprintf("restore/workers=%d", w)
			if !noSync {
				name += "+fsync"
			}
			run(name, func(dst string) error {
				_, err := Copy(b.Context(), dst, src, Options{Workers: w, NoSync: noSync})
				return err
			})
		}
	}
	run("restore/readers", func(dst string) error {
		_, err := Copy(b.Context(), dst, readers{src}, Options{NoSync: true})
		return err
	})
}

func BenchmarkLarge(b *testing.B) { benchmark(b, 40, 16<<20) }
func BenchmarkSmall(b *testing.B) { benchmark(b, 5000, 4<<10) }

// BenchmarkPlan plans anew for 100,000 files that are not there yet.
func BenchmarkPlan(b *testing.B) {
	list := make([]fakeEntry, 100_000)
	for i := range list {
		list[i] = fakeEntry{fmt.Sprintf("file-%06d", i), 0o644, 4096}
	}
	src := &fakeFS{list: func(string) []fakeEntry { return list }}
	dst := filepath.Join(b.TempDir(), "new")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewPlan(b.Context(), dst, src, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
