package influx_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/influx"
)

// FuzzShard reads shards of all engines that were edited: the first byte chooses
// the file, then come runs of an offset and a value. Whatever comes, it ends, and
// points come in order.
func FuzzShard(f *testing.F) {
	b1 := b1Shard()
	b1["series"] = tree{"m,a=1": string(pb(1, "m,a=1", 2, pb(1, "a", 2, "1")))}
	b1["m,a=1"] = tree{be(0): data(val{1, 0.5}), be(10): data(val{4, "text"}, val{3, true}), be(1 << 63): data(val{2, int64(7)})}
	b1["m"] = tree{be(9): data(val{1, 0.5}), be(10): data(val{200, 0.5}), be(11): data(val{2, int64(1)})[:5], be(12): ""}
	for i := range 20 {
		b1.log(uint64(i), "m,a=1", int64(i), data(val{2, int64(i)}))
	}
	bz1 := bz1Shard()
	bz1["meta"].(tree)["series"] = snap(`{"m,a=1":{"Key":"m,a=1","Tags":{"a":"1"}}}`)
	k1, v1 := block(entry{1, data(val{2, int64(1)})}, entry{9, data(val{4, "some text, some text, some text"})})
	k2, v2 := block(entry{5, data(val{3, true})}, entry{9, data(val{3, true})})
	bz1["points"] = tree{"m,a=1": tree{k1: v1, k2: v2}, "m": tree{k2: v2}}
	rc := rcShard()
	rc[be(1)] = tree{be(5): data(val{2, int64(7)}), be(6): data(val{3, true})}
	meta := openMeta(f, modelMeta().bytes(f))
	files := [][]byte{b1.bytes(f), bz1.bytes(f), rc.bytes(f)}

	for i := range files {
		f.Add([]byte{byte(i)})
		f.Add([]byte{byte(i), 0x20, 0x40, 0, 1, 5})
	}
	f.Fuzz(func(t *testing.T, edits []byte) {
		if len(edits) == 0 {
			return
		}
		file := bytes.Clone(files[int(edits[0])%len(files)])
		for edits = edits[1:]; len(edits) >= 4; edits = edits[4:] {
			at := int(binary.BigEndian.Uint32(edits)>>8) % len(file)
			// The metas stay: package boltview looks after those.
			if at >= 2*4096 {
				file[at] ^= edits[3]
			}
		}
		db, err := boltview.Open(bytes.NewReader(file), int64(len(file)), boltview.Options{})
		if err != nil {
			return
		}
		s, err := influx.OpenShard(db, influx.ShardOptions{Meta: meta, ID: 4})
		if err != nil {
			return
		}
		steps := 0
		for series, err := range s.Series() {
			if steps++; steps > 100_000 {
				t.Fatal("series without end")
			}
			if err != nil {
				continue
			}
			check(t, s, series.Key)
		}
		for _, err := range s.Measurements() {
			if steps++; steps > 200_000 {
				t.Fatalf("measurements without end: %v", err)
			}
		}
	})
}

// check reads the points of a series, and their times by themselves.
func check(t *testing.T, s *influx.Shard, key string) {
	type step struct{ time, err string }
	var points, times []step
	of := func(time int64, err error) step { return step{fmt.Sprint(time), fmt.Sprint(err)} }
	for p, err := range s.Points(key, math.MinInt64, math.MaxInt64) {
		points = append(points, of(p.Time, err))
		if len(points) > 100_000 {
			break
		}
	}
	for time, err := range s.Times(key, math.MinInt64, math.MaxInt64) {
		times = append(times, of(time, err))
		if len(times) > 100_000 {
			break
		}
	}
	if !slices.Equal(points, times) {
		t.Errorf("series %q: points %v, times %v", key, points, times)
	}
	first, last, steps := true, int64(0), 0
	for p, err := range s.Points(key, math.MinInt64, math.MaxInt64) {
		if steps++; steps > 100_000 {
			t.Fatal("points without end")
		}
		if err != nil {
			continue
		}
		if !first && p.Time <= last {
			t.Errorf("series %q: time %d after %d", key, p.Time, last)
		}
		first, last = false, p.Time
		if len(p.Fields) == 0 {
			t.Errorf("series %q: point without fields", key)
		}
		if _, err := influx.AppendPoint(nil, []byte("m"), p, 0); err != nil && !errors.Is(err, influx.ErrLine) && !errors.Is(err, influx.ErrNonFinite) {
			t.Error(err)
		}
	}
}
