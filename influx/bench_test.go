package influx_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/influx"
)

const (
	benchSeries = 100
	benchPoints = 5000 // per series
)

// benchShard writes a shard with narrow points, one float each, and returns its
// path.
func benchShard(b *testing.B, tr tree, points func(series string, list []entry) tree) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "shard")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	update := func(tr tree) {
		err := db.Update(func(tx *bolt.Tx) error {
			for k, v := range tr {
				sub, err := tx.CreateBucketIfNotExists([]byte(k))
				if err != nil {
					return err
				}
				if err := v.(tree).put(sub); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	update(tr)
	for i := range benchSeries {
		key := fmt.Sprintf("m,host=server%04d", i)
		var list []entry
		for k := range int64(benchPoints) {
			list = append(list, entry{1446422400e9 + k*10e9, data(val{1, float64(k) / 8})})
		}
		update(points(key, list))
	}
	return path
}

func b1Bench(b *testing.B) string {
	return benchShard(b, b1Shard(), func(key string, list []entry) tree {
		points := tree{}
		for _, e := range list {
			points[be(uint64(e.time))] = e.data
		}
		return tree{key: points}
	})
}

// logBench is a shard whose points are all in the write-ahead log, as they come:
// one of each series, then the next.
func logBench(b *testing.B) string {
	tr := b1Shard()
	seq := uint64(0)
	for k := range int64(benchPoints) {
		for i := range benchSeries {
			seq++
			tr.log(seq, fmt.Sprintf("m,host=server%04d", i), 1446422400e9+k*10e9, data(val{1, float64(k) / 8}))
		}
	}
	return benchShard(b, tr, func(string, []entry) tree { return nil })
}

func bz1Bench(b *testing.B) string {
	return benchShard(b, bz1Shard(), func(key string, list []entry) tree {
		blocks := tree{}
		for len(list) > 0 {
			n := min(len(list), 4096/21+1)
			k, v := block(list[:n]...)
			blocks[k] = v
			list = list[n:]
		}
		return tree{"points": tree{key: blocks}}
	})
}

// openFile opens a shard, through a map or not.
func openFile(b *testing.B, path string, mapped bool) *influx.Shard {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	var db *boltview.DB
	if mapped {
		m, err := boltview.Map(f)
		if err != nil {
			b.Skip(err)
		}
		b.Cleanup(func() { m.Close() })
		db, err = boltview.Open(m, st.Size(), boltview.Options{})
		if err != nil {
			b.Fatal(err)
		}
	} else if db, err = boltview.Open(f, st.Size(), boltview.Options{}); err != nil {
		b.Fatal(err)
	}
	s, err := influx.OpenShard(db, influx.ShardOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// report says how long a point took, and how many came in a second.
func report(b *testing.B, points int) {
	if points != benchSeries*benchPoints*b.N {
		b.Fatalf("%d points, want %d", points, benchSeries*benchPoints*b.N)
	}
	b.ReportMetric(float64(points)/b.Elapsed().Seconds(), "points/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(points), "ns/point")
}

// baseline reads every key and value of a shard with bbolt.
func baseline(b *testing.B, path string) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	b.ReportAllocs()
	points, sum := 0, uint64(0)
	for b.Loop() {
		err := db.View(func(tx *bolt.Tx) error {
			return tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
				if len(name) < 8 {
					return nil // not a series
				}
				c := bucket.Cursor()
				for k, v := c.First(); k != nil; k, v = c.Next() {
					sum += binary.BigEndian.Uint64(k) + uint64(v[len(v)-1])
					points++
				}
				return nil
			})
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	report(b, points)
}

// walk reads every key and value of a shard with package boltview.
func walk(b *testing.B, path string) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	m, err := boltview.Map(f)
	if err != nil {
		b.Skip(err)
	}
	defer m.Close()
	st, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	db, err := boltview.Open(m, st.Size(), boltview.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	points, sum := 0, uint64(0)
	for b.Loop() {
		for it, err := range db.Root().All() {
			if err != nil {
				b.Fatal(err)
			}
			if len(it.Key) < 8 {
				continue
			}
			bucket, err := it.Bucket()
			if err != nil {
				b.Fatal(err)
			}
			for it, err := range bucket.All() {
				if err != nil {
					b.Fatal(err)
				}
				v, err := it.Value()
				if err != nil {
					b.Fatal(err)
				}
				sum += binary.BigEndian.Uint64(it.Key) + uint64(v[len(v)-1])
				points++
			}
		}
	}
	report(b, points)
}

// decode reads every point, and its value.
func decode(b *testing.B, s *influx.Shard) {
	b.ReportAllocs()
	points, sum := 0, uint64(0)
	for b.Loop() {
		for series, err := range s.Series() {
			if err != nil {
				b.Fatal(err)
			}
			for p, err := range s.Points(series.Key, math.MinInt64, math.MaxInt64) {
				if err != nil {
					b.Fatal(err)
				}
				sum += uint64(p.Time) + uint64(p.Fields[0].Value.Integer())
				points++
			}
		}
	}
	report(b, points)
}

// writeLines writes every point as a line.
func writeLines(b *testing.B, s *influx.Shard) {
	b.ReportAllocs()
	points := 0
	var line []byte
	for b.Loop() {
		for series, err := range s.Series() {
			if err != nil {
				b.Fatal(err)
			}
			head, err := influx.AppendSeries(nil, series.Measurement, series.Tags)
			if err != nil {
				b.Fatal(err)
			}
			for p, err := range s.Points(series.Key, math.MinInt64, math.MaxInt64) {
				if err != nil {
					b.Fatal(err)
				}
				if line, err = influx.AppendPoint(line[:0], head, p, influx.Nanosecond); err != nil {
					b.Fatal(err)
				}
				points++
			}
		}
	}
	report(b, points)
}

// BenchmarkB1 reads a b1 shard with 500,000 narrow points; "bbolt" is the
// baseline that only reads keys and values.
func BenchmarkB1(b *testing.B) {
	path := b1Bench(b)
	b.Run("bbolt", func(b *testing.B) { baseline(b, path) })
	b.Run("boltview", func(b *testing.B) { walk(b, path) })
	b.Run("points", func(b *testing.B) { decode(b, openFile(b, path, false)) })
	b.Run("mapped", func(b *testing.B) { decode(b, openFile(b, path, true)) })
	b.Run("line", func(b *testing.B) { writeLines(b, openFile(b, path, true)) })
}

// BenchmarkLog reads the same points from a write-ahead log, opening the shard
// each time, since an open one keeps the log.
func BenchmarkLog(b *testing.B) {
	path := logBench(b)
	b.ReportAllocs()
	points := 0
	for b.Loop() {
		s := openFile(b, path, true)
		for series, err := range s.Series() {
			if err != nil {
				b.Fatal(err)
			}
			for _, err := range s.Points(series.Key, math.MinInt64, math.MaxInt64) {
				if err != nil {
					b.Fatal(err)
				}
				points++
			}
		}
	}
	report(b, points)
}

// BenchmarkBZ1 reads a bz1 shard with the same points.
func BenchmarkBZ1(b *testing.B) {
	path := bz1Bench(b)
	b.Run("points", func(b *testing.B) { decode(b, openFile(b, path, false)) })
	b.Run("mapped", func(b *testing.B) { decode(b, openFile(b, path, true)) })
	b.Run("line", func(b *testing.B) { writeLines(b, openFile(b, path, true)) })
}
