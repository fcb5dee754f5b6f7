package boltview_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// benchFile writes a file with n keys in one bucket, or n buckets with a few
// keys each, as shards have.
func benchFile(b *testing.B, n int, buckets bool) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bench.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoGrowSync: true, Timeout: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	const step = 20_000
	for from := 0; from < n; from += step {
		err := db.Update(func(tx *bbolt.Tx) error {
			for i := from; i < min(from+step, n); i++ {
				name := "cpu,host=one"
				if buckets {
					name = fmt.Sprintf("cpu,host=server%08d", i)
				}
				bucket, err := tx.CreateBucketIfNotExists([]byte(name))
				if err != nil {
					return err
				}
				bucket.FillPercent = 0.9
				keys := 1
				if buckets {
					keys = 10
				}
				for k := range keys {
					key := binary.BigEndian.AppendUint64(nil, uint64(i*keys+k)*1_000_000_000)
					if err := bucket.Put(key, make([]byte, 18)); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return path
}

// sizes returns how much the benchmarks write.
func sizes() (keys, buckets int) {
	if testing.Short() {
		return 100_000, 10_000
	}
	return 1_000_000, 100_000
}

func openView(b *testing.B, path string, mapped bool) (*boltview.DB, func()) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	fi, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	var r io.ReaderAt = f
	done := f.Close
	if mapped {
		m, err := boltview.Map(f)
		if err != nil {
			b.Fatal(err)
		}
		r, done = m, func() error { return errors.Join(m.Close(), f.Close()) }
	}
	db, err := boltview.Open(r, fi.Size(), boltview.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return db, func() {
		if err := done(); err != nil {
			b.Fatal(err)
		}
	}
}

func openBolt(b *testing.B, path string) *bbolt.DB {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	return db
}

// touch reads the bytes of b.
func touch(b []byte) (sum uint64) {
	for ; len(b) >= 8; b = b[8:] {
		sum += binary.LittleEndian.Uint64(b)
	}
	for _, c := range b {
		sum += uint64(c)
	}
	return sum
}

// viewScan reads all keys and values, and returns how many there are.
func viewScan(bucket *boltview.Bucket) (n int, sum uint64, err error) {
	for it, err := range bucket.All() {
		if err != nil {
			return n, sum, err
		}
		if it.IsBucket() {
			sub, err := it.Bucket()
			if err != nil {
				return n, sum, err
			}
			sn, sb, err := viewScan(sub)
			if err != nil {
				return n, sum, err
			}
			n, sum = n+sn, sum+sb
			continue
		}
		v, err := it.Value()
		if err != nil {
			return n, sum, err
		}
		n++
		sum += touch(it.Key) + touch(v)
	}
	return n, sum, nil
}

func boltScan(bucket *bbolt.Bucket) (n int, sum uint64) {
	c := bucket.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if v == nil {
			sn, sb := boltScan(bucket.Bucket(k))
			n, sum = n+sn, sum+sb
			continue
		}
		n++
		sum += touch(k) + touch(v)
	}
	return n, sum
}

func BenchmarkReader(b *testing.B) {
	keys, buckets := sizes()
	for _, file := range []struct {
		name    string
		n       int
		buckets bool
	}{{"keys", keys, false}, {"buckets", buckets, true}} {
		path := benchFile(b, file.n, file.buckets)
		total := file.n
		if file.buckets {
			total *= 10
		}
		for _, way := range []struct {
			name   string
			mapped bool
		}{{"pread", false}, {"map", true}} {
			b.Run(file.name+"/open/"+way.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					db, done := openView(b, path, way.mapped)
					n := 0
					for _, err := range db.Root().All() {
						if err != nil {
							b.Fatal(err)
						}
						n++
					}
					if n == 0 {
						b.Fatal("no buckets")
					}
					done()
				}
			})
			b.Run(file.name+"/scan/"+way.name, func(b *testing.B) {
				b.ReportAllocs()
				db, done := openView(b, path, way.mapped)
				defer done()
				for b.Loop() {
					if n, _, err := viewScan(db.Root()); n != total || err != nil {
						b.Fatal(n, err)
					}
				}
			})
			b.Run(file.name+"/get/"+way.name, func(b *testing.B) {
				b.ReportAllocs()
				db, done := openView(b, path, way.mapped)
				defer done()
				r := rand.New(rand.NewPCG(1, 2))
				for b.Loop() {
					viewGets(b, db, r, file.n, file.buckets)
				}
			})
		}
		// As in a chain: one map of the archive, and any number of files in it.
		b.Run(file.name+"/open/map-shared", func(b *testing.B) {
			b.ReportAllocs()
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			m, err := boltview.Map(f)
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			for b.Loop() {
				db, err := boltview.Open(m, m.Size(), boltview.Options{})
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for _, err := range db.Root().All() {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n == 0 {
					b.Fatal("no buckets")
				}
			}
		})
		b.Run(file.name+"/open/bbolt", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				db := openBolt(b, path)
				n := 0
				db.View(func(tx *bbolt.Tx) error {
					return tx.ForEach(func([]byte, *bbolt.Bucket) error { n++; return nil })
				})
				if n == 0 {
					b.Fatal("no buckets")
				}
				db.Close()
			}
		})
		b.Run(file.name+"/scan/bbolt", func(b *testing.B) {
			b.ReportAllocs()
			db := openBolt(b, path)
			defer db.Close()
			for b.Loop() {
				db.View(func(tx *bbolt.Tx) error {
					if n, _ := boltScan(tx.Cursor().Bucket()); n != total {
						b.Fatal(n)
					}
					return nil
				})
			}
		})
		b.Run(file.name+"/get/bbolt", func(b *testing.B) {
			b.ReportAllocs()
			db := openBolt(b, path)
			defer db.Close()
			r := rand.New(rand.NewPCG(1, 2))
			for b.Loop() {
				boltGets(b, db, r, file.n, file.buckets)
			}
		})
	}
}

// pick returns a random key, and the bucket that has it.
func pick(r *rand.Rand, n int, buckets bool) (bucket, key []byte) {
	i := r.IntN(n)
	if !buckets {
		return []byte("cpu,host=one"), binary.BigEndian.AppendUint64(nil, uint64(i)*1_000_000_000)
	}
	return fmt.Appendf(nil, "cpu,host=server%08d", i), binary.BigEndian.AppendUint64(nil, uint64(i*10+r.IntN(10))*1_000_000_000)
}

const gets = 10_000

func viewGets(b *testing.B, db *boltview.DB, r *rand.Rand, n int, buckets bool) {
	var bucket *boltview.Bucket
	for range gets {
		name, key := pick(r, n, buckets)
		if bucket == nil || buckets {
			var err error
			if bucket, err = db.Root().Bucket(name); err != nil {
				b.Fatal(err)
			}
		}
		if v, err := bucket.Get(key); err != nil || len(v) != 18 {
			b.Fatal(err)
		}
	}
}

func boltGets(b *testing.B, db *bbolt.DB, r *rand.Rand, n int, buckets bool) {
	db.View(func(tx *bbolt.Tx) error {
		var bucket *bbolt.Bucket
		for range gets {
			name, key := pick(r, n, buckets)
			if bucket == nil || buckets {
				bucket = tx.Bucket(name)
			}
			if len(bucket.Get(key)) != 18 {
				b.Fatal("no key")
			}
		}
		return nil
	})
}
