package space_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// benchTree opens a chain with one shard of so many series and points of each.
func benchTree(b *testing.B, series, points int) *space.Tree {
	b.Helper()
	path := filepath.Join(b.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{"fields", "series", "wal"} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		// Field 1, "v", is a float.
		if err := tx.Bucket([]byte("fields")).Put([]byte("m"), []byte("\x0a\x07\x08\x01\x12\x01v\x18\x01")); err != nil {
			return err
		}
		for i := range series {
			s, err := tx.CreateBucket(fmt.Appendf(nil, "m,host=server%08d,region=west", i))
			if err != nil {
				return err
			}
			s.FillPercent = 1
			for p := range points {
				v := binary.BigEndian.AppendUint64([]byte{1}, math.Float64bits(float64(p)/4))
				if err := s.Put(binary.BigEndian.AppendUint64(nil, uint64(epoch.UnixNano()+int64(p)*1e9)), v); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	p := filepath.Join(b.TempDir(), "snap")
	if err := sample.Write(p, sample.Layer{Time: epoch, Files: []sample.File{{Name: "db/rp/1", Data: data, Modified: epoch}}}); err != nil {
		b.Fatal(err)
	}
	tree, err := space.Open(p, space.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { tree.Close() })
	return tree
}

// BenchmarkLines reads a series of 100,000 points as a file; the baseline only
// loops over the points.
func BenchmarkLines(b *testing.B) {
	const points = 100000
	tree := benchTree(b, 1, points)
	b.Run("points", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, err := tree.Data().Lookup("db", "rp", "m,host=server00000000,region=west")
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for range tree.Data().Points(s, dataset.Filter{}) {
				n++
			}
			if n != points {
				b.Fatal(n)
			}
		}
		b.ReportMetric(points*float64(b.N)/b.Elapsed().Seconds(), "points/s")
	})
	b.Run("file", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f, err := tree.Open(".snapfs/influx/db/rp/m/m,host=server00000000,region=west.lp")
			if err != nil {
				b.Fatal(err)
			}
			n, err := io.Copy(struct{ io.Writer }{io.Discard}, f)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(n)
			f.Close()
		}
		b.ReportMetric(points*float64(b.N)/b.Elapsed().Seconds(), "points/s")
	})
}

// BenchmarkListSeries lists a directory of 50,000 series, with what a mount asks
// of each entry; the baseline only loops over the series.
func BenchmarkListSeries(b *testing.B) {
	const series = 50000
	tree := benchTree(b, series, 1)
	b.Run("series", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for range tree.Data().Series(dataset.Filter{}) {
				n++
			}
			if n != series {
				b.Fatal(n)
			}
		}
	})
	b.Run("dir", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f, err := tree.Open(".snapfs/influx/db/rp/m")
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for {
				entries, err := f.(fs.ReadDirFile).ReadDir(256)
				for _, e := range entries {
					if _, err := e.Info(); err != nil {
						b.Fatal(err)
					}
				}
				n += len(entries)
				if err == io.EOF {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			if n != series+2 {
				b.Fatal(n)
			}
			f.Close()
		}
	})
}
