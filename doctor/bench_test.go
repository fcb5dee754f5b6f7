package doctor_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/doctor"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/seal"
)

// BenchmarkVerify compares with a SHA-256 of the same bytes, which is what
// somebody who only wants to know whether a file can be read would do: x-sha256
// is the time as a multiple of that.
func BenchmarkVerify(b *testing.B) {
	path, size := bigChain(b, false)
	for _, depth := range []struct {
		name string
		opts doctor.Options
	}{{"quick", doctor.Options{Depth: doctor.Signs}}, {"trees", doctor.Options{}}, {"full", doctor.Options{Depth: doctor.Points}}} {
		b.Run(depth.name, func(b *testing.B) {
			ratio(b, path, size, func() error {
				r, err := doctor.Examine(b.Context(), path, depth.opts)
				if err == nil && !r.Sound() {
					err = fmt.Errorf("not sound: %v", r.Findings)
				}
				return err
			})
		})
	}
	b.Run("bz1", func(b *testing.B) {
		path, size := bigChain(b, true)
		ratio(b, path, size, func() error {
			r, err := doctor.Examine(b.Context(), path, doctor.Options{Depth: doctor.Points})
			if err == nil && !r.Sound() {
				err = fmt.Errorf("not sound: %v", r.Findings)
			}
			return err
		})
	})
	b.Run("small-bz1", func(b *testing.B) { // 117 shards of 35 KB
		path := filepath.Join(realchains.Dir(b), "v0.9.5.1-small", "snap")
		r, err := doctor.Examine(b.Context(), path, doctor.Options{})
		if err != nil {
			b.Fatal(err)
		}
		ratio(b, path, r.Checked.Bytes, func() error {
			_, err := doctor.Examine(b.Context(), path, doctor.Options{Depth: doctor.Points})
			return err
		})
	})
	b.Run("seal", func(b *testing.B) {
		c, err := chain.Open(path, chain.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		ratio(b, path, size, func() error {
			_, err := seal.Make(b.Context(), c, seal.Options{})
			return err
		})
	})
}

// ratio measures do, beside hashing the layers of path in the same run.
func ratio(b *testing.B, path string, size int64, do func() error) {
	layers, err := filepath.Glob(path + "*")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	var ours, base time.Duration
	for b.Loop() {
		start := time.Now()
		if err := do(); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		b.StopTimer()
		start = time.Now()
		for _, l := range layers {
			f, err := os.Open(l)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(sha256.New(), f); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
		base += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(ours)/float64(base), "x-sha256")
}

// bigChain writes a full snapshot of some shards with many points, of engine b1
// or bz1.
func bigChain(b *testing.B, compressed bool) (path string, size int64) {
	dir := b.TempDir()
	start := time.Date(2015, 11, 2, 0, 0, 0, 0, time.UTC)
	var points []sample.Point
	for i := range 25000 {
		for _, host := range []string{"a", "b", "c", "d"} {
			points = append(points, sample.Point{Series: "cpu,host=" + host, Time: start.Add(time.Duration(i) * time.Second),
				Fields: map[string]any{"load": float64(i) / 7, "user": int64(i), "idle": i%2 == 0}})
		}
	}
	data, err := sample.Shard{Flushed: points, Compressed: compressed}.Bytes(dir)
	if err != nil {
		b.Fatal(err)
	}
	week := sample.Policy{Name: "default", GroupDuration: 7 * 24 * time.Hour}
	l := sample.Layer{Time: start.AddDate(1, 0, 0)}
	for id := range uint64(4) {
		from := start.AddDate(0, 0, 7*int(id))
		week.Groups = append(week.Groups, sample.Group{ID: id, Start: from, End: from.AddDate(0, 0, 7)})
		l.Files = append(l.Files, sample.File{Name: fmt.Sprintf("db/default/%d", id), Data: data, Modified: start})
	}
	meta := sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{week}}}}
	l.Files = append(l.Files, sample.File{Name: "meta", Data: meta.Bytes(), Modified: l.Time})
	path = filepath.Join(dir, "snap")
	if err := sample.Write(path, l); err != nil {
		b.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return path, st.Size()
}
