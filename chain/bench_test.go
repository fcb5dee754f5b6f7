package chain_test

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
)

// longChain writes a chain of layers, each with the same files.
func longChain(b testing.TB, layers, files int) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "snap")
	all := make([]sample.Layer, layers)
	for n := range all {
		all[n].Time = at(n)
		for i := range files {
			all[n].Files = append(all[n].Files, file(fmt.Sprintf("db%02d/default/%d", i%40, i), "0123456789abcdef", n))
		}
	}
	if err := sample.Write(path, all...); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkOpen opens a chain of 51 layers with 2,000 files each, and makes the
// newest view. The baseline reads the same headers and manifests with
// archive/tar, without merging anything.
func BenchmarkOpen(b *testing.B) {
	path := longChain(b, 51, 2000)
	b.Run("chain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c, err := chain.Open(path, chain.Options{})
			if err != nil {
				b.Fatal(err)
			}
			v, err := c.At(chain.Latest)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := v.ReadDir("."); err != nil {
				b.Fatal(err)
			}
			if err := c.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("archive-tar", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for n := range 51 {
				name := path
				if n > 0 {
					name = fmt.Sprintf("%s.%d", path, n-1)
				}
				readAll(b, name)
			}
		}
	})
}

func readAll(b *testing.B, name string) {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		if h.Name == chain.ManifestName {
			if _, err := chain.ReadManifest(tr); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkMemory measures what an open layer of 200,000 files keeps in memory,
// its tree included, beyond the names: each is kept whole in the index, and its
// last element in the tree.
func BenchmarkMemory(b *testing.B) {
	const n = 200_000
	path := longChain(b, 1, n)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var kept int64
	for b.Loop() {
		before := heap()
		c, err := chain.Open(path, chain.Options{})
		if err != nil {
			b.Fatal(err)
		}
		v, err := c.At(chain.Latest)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Stat("."); err != nil {
			b.Fatal(err)
		}
		kept = heap() - before
		for f := range v.Files() {
			kept -= int64(len(f.Name) + len(f.Name) - strings.LastIndexByte(f.Name, '/') - 1)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(kept)/n, "B/member")
}

// BenchmarkViews makes the views of all points of an open chain.
func BenchmarkViews(b *testing.B) {
	path := longChain(b, 51, 2000)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		c, err := chain.Open(path, chain.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		start := time.Now()
		for p := range c.Points() {
			if _, err := c.At(p.Name); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/51, "µs/view")
		b.StopTimer()
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
