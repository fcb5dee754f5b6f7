package dirtree

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
)

// paths is a source of files without content.
type paths []string

func (p paths) Info(uint32) Info                    { return Info{Mode: reg, ModTime: mtime} }
func (p paths) Content(uint32) (io.ReaderAt, error) { return nil, io.EOF }
func (p paths) Link(uint32) (string, error)         { return "", io.EOF }
func (p paths) build(b *Builder) *FS {
	b.Grow(len(p))
	for i, path := range p {
		b.Add(path, uint32(i), reg)
	}
	return b.Build(p)
}

func manyPaths(n int) paths {
	p := make(paths, n)
	for i := range p {
		p[i] = fmt.Sprintf("telemetry/default%04d/%08d", i/1000, i)
	}
	return p
}

func BenchmarkBuild(b *testing.B) {
	const n = 1_000_000
	for _, order := range []string{"sorted", "shuffled"} {
		p := manyPaths(n)
		if order == "shuffled" {
			rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { p[i], p[j] = p[j], p[i] })
		}
		b.Run(order, func(b *testing.B) {
			b.ReportAllocs()
			var kept uint64
			for b.Loop() {
				before := heap()
				fsys := p.build(new(Builder))
				kept = heap() - before
				runtime.KeepAlive(fsys)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "files/s")
			b.ReportMetric(float64(kept)/n, "heap-B/file")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkLookup finds random paths, beside a map that holds all of them.
func BenchmarkLookup(b *testing.B) {
	p := manyPaths(1_000_000)
	rng := rand.New(rand.NewPCG(1, 2))
	b.Run("tree", func(b *testing.B) {
		fsys := p.build(new(Builder))
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := fsys.Lookup(p[rng.IntN(len(p))]); !ok {
				b.Fatal("not found")
			}
		}
	})
	b.Run("map", func(b *testing.B) {
		m := make(map[string]uint32, len(p))
		for i, path := range p {
			m[path] = uint32(i)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := m[p[rng.IntN(len(p))]]; !ok {
				b.Fatal("not found")
			}
		}
	})
}
