package sample_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// twice writes a chain two times, compares the files, and returns the path of
// one.
func twice(t *testing.T, write func(dir string) (string, error), names ...string) string {
	t.Helper()
	a, b := t.TempDir(), t.TempDir()
	path, err := write(a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write(b); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		x, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Errorf("%s is not the same each time", name)
		}
	}
	return path
}

func TestChain(t *testing.T) {
	path := twice(t, sample.Chain, "snap", "snap.0", "snap.1", "snap.2")
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 4 {
		t.Errorf("left behind: %q", left)
	}

	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "telemetry/default/1" {
			checkShard(t, data)
		}
	}
	want := []string{"manifest", "events/default/3", "meta", "telemetry/default/1", "telemetry/week/2"}
	if len(names) != len(want) {
		t.Fatalf("members %q, want %q", names, want)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Fatalf("members %q, want %q", names, want)
		}
	}
}

func checkShard(t *testing.T, data []byte) {
	path := filepath.Join(t.TempDir(), "shard")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("check: %v", err)
		}
		if n := tx.Bucket([]byte("cpu,host=alpha")).Stats().KeyN; n != 600 {
			t.Errorf("cpu,host=alpha has %d points", n)
		}
		if int64(len(data)) != tx.Size() {
			t.Errorf("%d bytes, but the high-water mark says %d", len(data), tx.Size())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCandidate(t *testing.T) {
	snap := twice(t, sample.Candidate, "snap", "snap.0")
	tree, err := space.Open(snap, space.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	var got []string
	for s, err := range tree.Data().Series(dataset.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, sh := range s.Shards() {
			c, err := sh.Count(t.Context())
			if err != nil || c.Err != nil {
				t.Error(err, c.Err)
			}
			got = append(got, fmt.Sprintf("%s %s %s in %d: %d", s.Database, s.Policy, s.Key, sh.ID, c.Points))
		}
	}
	want := []string{"grid default m,host=a in 1: 1", "grid default m,host=a in 2: 1", "other default m,host=a in 3: 1"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestCompressed reads the points of several blocks back.
func TestCompressed(t *testing.T) {
	var points []sample.Point
	for i := range 2500 {
		for _, host := range []string{"a", "b"} {
			points = append(points, sample.Point{Series: "cpu,host=" + host, Time: sample.Start.Add(time.Duration(2499-i) * time.Second),
				Fields: map[string]any{"load": float64(i) / 4, "name": strings.Repeat("x", i%50)}})
		}
	}
	shard := sample.Shard{Compressed: true, Flushed: points}
	data, err := shard.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := shard.Bytes(t.TempDir()); err != nil || !bytes.Equal(again, data) {
		t.Errorf("not the same each time, %v", err)
	}
	db, err := boltview.Open(bytes.NewReader(data), int64(len(data)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := influx.OpenShard(db, influx.ShardOptions{})
	if err != nil || s.Engine() != influx.BZ1 {
		t.Fatal(s, err)
	}
	for _, host := range []string{"a", "b"} {
		n := 0
		for p, err := range s.Points("cpu,host="+host, math.MinInt64, math.MaxInt64) {
			i := 2499 - n
			if err != nil || p.Time != sample.Start.Add(time.Duration(n)*time.Second).UnixNano() || len(p.Fields) != 2 ||
				p.Fields[0].Value.Any() != float64(i)/4 || p.Fields[1].Value.Any() != strings.Repeat("x", i%50) {
				t.Fatalf("point %d of %s: %v, %v", n, host, p, err)
			}
			n++
		}
		if n != 2500 {
			t.Errorf("%d points of %s", n, host)
		}
	}
}

// TestEscapes: keys of series have escapes, measurements and tags beside them
// have none.
func TestEscapes(t *testing.T) {
	const key = `we\ ird\,m=,re\ gion=eu\ west,t\=x=a\,b\=c`
	points := []sample.Point{{Series: key, Time: sample.Start, Fields: map[string]any{"load": 1.5}}}
	for _, shard := range []sample.Shard{{Flushed: points}, {WAL: points}, {Compressed: true, Flushed: points}} {
		data, err := shard.Bytes(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		db, err := boltview.Open(bytes.NewReader(data), int64(len(data)), boltview.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := influx.OpenShard(db, influx.ShardOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for one, err := range s.Series() {
			tags := []influx.Tag{{Key: "re gion", Value: "eu west"}, {Key: "t=x", Value: "a,b=c"}}
			if n++; err != nil || one.Key != key || one.Measurement != "we ird,m=" || !slices.Equal(one.Tags, tags) || !one.Listed || !one.Stored {
				t.Errorf("%s: series %+v, %v", s.Engine(), one, err)
			}
		}
		for p, err := range s.Points(key, math.MinInt64, math.MaxInt64) {
			if n++; err != nil || p.Fields[0].Value.Any() != 1.5 {
				t.Errorf("%s: point %v, %v", s.Engine(), p, err)
			}
		}
		if f, err := s.Fields("we ird,m="); n != 2 || len(f) != 1 || err != nil {
			t.Errorf("%s: %d series and points, fields %v, %v", s.Engine(), n, f, err)
		}
	}
}
