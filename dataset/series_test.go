package dataset_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// bothSeries compares series that are gathered with those that are merged, up to
// any of them.
func bothSeries(t *testing.T, set *dataset.Set, f dataset.Filter) int {
	t.Helper()
	gathered, merged := dataset.BothSeries(set, f)
	want, errs := collect(gathered)
	got, more := collect(merged)
	equal(t, "merged", got, want)
	if !slices.Equal(texts(errs), texts(more)) {
		t.Errorf("errors %q, want %q", texts(more), texts(errs))
	}
	for n := range min(len(want), 20) {
		i := 0
		for s, err := range merged {
			if err == nil && fmt.Sprint(s) != want[i] {
				t.Errorf("%v, want %s", s, want[i])
			}
			if err == nil {
				i++
			}
			if i > n {
				break
			}
		}
	}
	return len(want)
}

// texts returns errors as sorted text.
func texts(errs []error) (out []string) {
	for _, err := range errs {
		out = append(out, err.Error())
	}
	slices.Sort(out)
	return out
}

// TestMergedSeries: series that are merged are those that are gathered.
func TestMergedSeries(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	shards := map[string][]byte{}
	for id := range 7 {
		var s sample.Shard
		for k := range 40 {
			if r.IntN(3) == 0 {
				p := sample.Point{Series: fmt.Sprintf("m%d,a=%d", k%3, k), Time: sample.Start, Fields: map[string]any{"v": 1.0}}
				if r.IntN(2) == 0 {
					s.Flushed = append(s.Flushed, p)
				} else {
					s.WAL = append(s.WAL, p)
				}
			}
		}
		data, err := s.Bytes(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		shards[fmt.Sprintf("db/rp%d/%d", id%2, id+1)] = data
	}
	shards["db/rp0/99"] = []byte("no shard")
	set := openSet(t, writeShards(t, shards), space.Options{})
	for _, f := range []dataset.Filter{{}, {Measurement: "m1"}, {Series: "*a=3*"}, {Policy: "rp1"}, {Database: "none"}} {
		if n := bothSeries(t, set, f); n == 0 != (f.Database == "none") {
			t.Errorf("%+v: %d series", f, n)
		}
	}
	for _, sh := range set.Shards() {
		if n, sorted := sh.Keys(); n == 0 != (sh.ID == 99) || !sorted {
			t.Errorf("%s: %d keys, sorted %v", sh.Path, n, sorted)
		}
	}
	for _, snap := range realchains.All(t) {
		t.Logf("%s: %d series", snap, bothSeries(t, openSet(t, snap, space.Options{}), dataset.Filter{}))
	}
}
