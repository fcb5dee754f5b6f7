package export_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// narrowShard writes a b1 shard in which each of the series has points of one
// float, ten seconds apart.
func narrowShard(tb testing.TB, path string, start time.Time, series, points int) {
	tb.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		tb.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{"fields", "series", "wal"} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		// MeasurementFields {1 Field {1 ID, 2 Name, 3 Type}}
		return tx.Bucket([]byte("fields")).Put([]byte("cpu"), []byte("\x0a\x0b\x08\x01\x12\x05value\x18\x01"))
	})
	for i := 0; i < series && err == nil; i++ {
		err = db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket(fmt.Appendf(nil, "cpu,host=server%04d", i))
			if err != nil {
				return err
			}
			b.FillPercent = 0.9
			for k := range points {
				key := binary.BigEndian.AppendUint64(nil, uint64(start.UnixNano()+int64(k)*10e9))
				value := binary.BigEndian.AppendUint64([]byte{1}, math.Float64bits(float64(k%1000)/8))
				if err := b.Put(key, value); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// narrowChain writes a chain of one tar with shards of a week each.
func narrowChain(tb testing.TB, dir string, shards, series, points int) (snap, shard string) {
	tb.Helper()
	type file struct {
		Name     string    `json:"name"`
		Size     int64     `json:"size"`
		Modified time.Time `json:"lastModified"`
	}
	var manifest struct {
		Files []file `json:"files"`
	}
	start := time.Date(2015, 6, 1, 0, 0, 0, 0, time.UTC)
	week := 7 * 24 * time.Hour
	policy := sample.Policy{Name: "default", GroupDuration: week}
	var paths []string
	for i := range shards {
		begin := start.Add(time.Duration(i) * week)
		shard = filepath.Join(dir, fmt.Sprint(i+1))
		narrowShard(tb, shard, begin, series, points)
		fi, err := os.Stat(shard)
		if err != nil {
			tb.Fatal(err)
		}
		manifest.Files = append(manifest.Files, file{fmt.Sprintf("db/default/%d", i+1), fi.Size(), start})
		paths = append(paths, shard)
		policy.Groups = append(policy.Groups, sample.Group{ID: uint64(i + 1), Start: begin, End: begin.Add(week)})
	}
	meta := sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{policy}}}}.Bytes()
	manifest.Files = append(manifest.Files, file{"meta", int64(len(meta)), start})
	list, err := json.Marshal(manifest)
	if err != nil {
		tb.Fatal(err)
	}
	snap = filepath.Join(dir, "snap")
	out, err := os.Create(snap)
	if err != nil {
		tb.Fatal(err)
	}
	defer out.Close()
	w := tar.NewWriter(out)
	add := func(name string, size int64, r io.Reader) {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o666, ModTime: start}); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.Copy(w, r); err != nil {
			tb.Fatal(err)
		}
	}
	add("manifest", int64(len(list)), bytes.NewReader(list))
	for i, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			tb.Fatal(err)
		}
		add(manifest.Files[i].Name, manifest.Files[i].Size, f)
		f.Close()
	}
	add("meta", int64(len(meta)), bytes.NewReader(meta))
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return snap, shard
}

// BenchmarkExport exports a shard of 500,000 narrow points, beside a loop of bbolt
// that reads every key and value of the extracted file.
func BenchmarkExport(b *testing.B) {
	const series, points = 100, 5000
	snap, shard := narrowChain(b, b.TempDir(), 1, series, points)
	// Time of the processors, user and system: other work on the machine does not
	// count.
	var base float64 // time of bbolt's loop
	perPoint := func(b *testing.B, before time.Duration) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(series*points), "ns/point")
		b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/(series*points), "cpu-ns/point")
		if perOp := float64(b.Elapsed()) / float64(b.N); base == 0 {
			base = perOp
		} else {
			b.ReportMetric(perOp/base, "x-bbolt")
		}
	}
	b.Run("bbolt", func(b *testing.B) {
		b.ReportAllocs()
		before := cpuTime(b)
		for b.Loop() {
			readAll(b, shard, series*points)
		}
		perPoint(b, before)
	})
	for _, workers := range []int{1, 2} {
		for _, f := range []export.Format{export.LineProtocol, export.CSV, export.JSONLines, export.Parquet} {
			if f == export.Parquet && workers > 1 {
				continue // tables are written one after the other
			}
			b.Run(fmt.Sprintf("%s-%d", f, workers), func(b *testing.B) {
				b.ReportAllocs()
				before := cpuTime(b)
				for b.Loop() {
					tree, err := space.Open(snap, space.Options{})
					if err != nil {
						b.Fatal(err)
					}
					r, err := export.Write(b.Context(), io.Discard, tree.Data(), export.Options{Format: f, Workers: workers}, "")
					if err != nil || r.Points != series*points || r.Lost() {
						b.Fatal(r, err)
					}
					if err := tree.Close(); err != nil {
						b.Fatal(err)
					}
				}
				perPoint(b, before)
			})
		}
	}
}

// readAll reads every key and value of a Bolt file.
func readAll(b *testing.B, path string, want int) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	n, sum := 0, 0
	var walk func(*bolt.Bucket) error
	walk = func(bucket *bolt.Bucket) error {
		return bucket.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(bucket.Bucket(k))
			}
			for _, c := range k {
				sum += int(c)
			}
			for _, c := range v {
				sum += int(c)
			}
			n++
			return nil
		})
	}
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, bucket *bolt.Bucket) error { return walk(bucket) })
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	if n < want || sum == 0 {
		b.Fatalf("%d values", n)
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
