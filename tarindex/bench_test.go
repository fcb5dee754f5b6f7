package tarindex

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// writeMembers writes an archive of n members of size bytes each, in
// directories of 1,000.
func writeMembers(t testing.TB, n int, size int64, format tar.Format) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "bench.tar"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w := bufio.NewWriterSize(f, 1<<20)
	tw := tar.NewWriter(w)
	data := make([]byte, size)
	mtime := time.Unix(1446433445, 0)
	if format == tar.FormatPAX {
		mtime = mtime.Add(1)
	}
	for i := range n {
		hdr := &tar.Header{Name: fmt.Sprintf("telemetry/default%04d/%08d", i/1000, i), Mode: 0o666, Size: size, ModTime: mtime, Format: format}
		if err := tw.WriteHeader(hdr); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return f
}

func fileSize(t testing.TB, f *os.File) int64 {
	t.Helper()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

func perMember(b *testing.B, n int) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "members/s")
}

// BenchmarkBuild indexes a warm file, beside archive/tar as it hops through
// the same one.
func BenchmarkBuild(b *testing.B) {
	for _, c := range []struct {
		name   string
		n      int
		size   int64
		format tar.Format
	}{
		{"empty", 200_000, 0, tar.FormatUSTAR},
		{"4KiB", 100_000, 4 << 10, tar.FormatUSTAR},
		{"64KiB", 10_000, 64 << 10, tar.FormatUSTAR},
		{"pax", 100_000, 0, tar.FormatPAX},
	} {
		f := writeMembers(b, c.n, c.size, c.format)
		size := fileSize(b, f)
		b.Run(c.name+"/tarindex", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ix, err := Build(f, size, Options{}); err != nil || ix.Len() != c.n {
					b.Fatal(err)
				}
			}
			perMember(b, c.n)
		})
		b.Run(c.name+"/archive-tar", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tr := tar.NewReader(io.NewSectionReader(f, 0, size))
				for {
					if _, err := tr.Next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
			perMember(b, c.n)
		})
	}
}

// BenchmarkMillion measures what an index of 1,000,000 members keeps in
// memory, without its tree and with it.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	f := writeMembers(b, n, 0, tar.FormatUSTAR)
	size := fileSize(b, f)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b.ReportAllocs()
	var index, tree uint64
	for b.Loop() {
		before := heap()
		ix, err := Build(f, size, Options{})
		if err != nil {
			b.Fatal(err)
		}
		index = heap() - before
		if _, err := ix.Stat("telemetry/default0999/00999999"); err != nil {
			b.Fatal(err)
		}
		tree = heap() - before
		runtime.KeepAlive(ix)
	}
	perMember(b, n)
	b.ReportMetric(float64(index)/n, "index-B/member")
	b.ReportMetric(float64(tree)/n, "index+tree-B/member")
}

// BenchmarkWalk visits all files of a tree, each with its FileInfo.
func BenchmarkWalk(b *testing.B) {
	const n = 100_000
	f := writeMembers(b, n, 0, tar.FormatUSTAR)
	ix, err := Build(f, fileSize(b, f), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		err := fs.WalkDir(ix, ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil {
				_, err = d.Info()
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	perMember(b, n)
}
