package dataset_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// change is a change as text.
func change(c dataset.PointChange) string {
	text := c.Series.Key
	if c.Old != nil {
		text += fmt.Sprintf(" -%d", c.Old.Time)
		for _, f := range c.Old.Fields {
			text += fmt.Sprintf(" %s=%v", f.Field.Name, f.Value)
		}
	}
	if c.New != nil {
		text += fmt.Sprintf(" +%d", c.New.Time)
		for _, f := range c.New.Fields {
			text += fmt.Sprintf(" %s=%v", f.Field.Name, f.Value)
		}
	}
	return text
}

func TestDiffPoints(t *testing.T) {
	point := func(series string, ns int64, v any) sample.Point {
		return sample.Point{Series: series, Time: time.Unix(0, ns), Fields: map[string]any{"v": v}}
	}
	open := func(flushed, wal []sample.Point) *dataset.Shard {
		data, err := sample.Shard{Flushed: flushed, WAL: wal}.Bytes(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return openSet(t, writeShards(t, map[string][]byte{"db/rp/1": data}), space.Options{}).Shards()[0]
	}
	a := open([]sample.Point{point("m,a=1", 1, 1.0), point("m,a=1", 2, 2.0), point("m,a=2", -5, 0.0), point("gone", 1, "x")}, nil)
	b := open([]sample.Point{point("m,a=1", 1, 1.0), point("m,a=1", 3, 3.0), point("m,a=2", -5, math.Copysign(0, -1))}, []sample.Point{point("m,a=1", 1, 1.5), point("new", 7, true)})
	for _, tt := range []struct {
		a, b *dataset.Shard
		want []string
	}{
		{a, b, []string{"gone -1 v=x", "m,a=1 -1 v=1 +1 v=1.5", "m,a=1 -2 v=2", "m,a=1 +3 v=3", "m,a=2 --5 v=0 +-5 v=-0", "new +7 v=true"}},
		{a, a, nil},
		{nil, b, []string{"m,a=1 +1 v=1.5", "m,a=1 +3 v=3", "m,a=2 +-5 v=-0", "new +7 v=true"}},
		{b, nil, []string{"m,a=1 -1 v=1.5", "m,a=1 -3 v=3", "m,a=2 --5 v=-0", "new -7 v=true"}},
		{nil, nil, nil},
	} {
		var got []string
		for c, err := range dataset.DiffPoints(t.Context(), tt.a, tt.b) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, change(c))
		}
		equal(t, "changes", got, tt.want)
		for range dataset.DiffPoints(t.Context(), tt.a, tt.b) {
			break
		}
	}
}

// TestRealDiff: the changes between the copies of a shard are those of its points.
func TestRealDiff(t *testing.T) {
	for _, snap := range realchains.All(t) {
		tree, err := space.Open(snap, space.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		before := map[string]*dataset.Shard{}
		changes := 0
		for _, l := range tree.Chain().Layers() {
			for _, sh := range tree.LayerData(l).Shards() {
				old := before[sh.Path]
				before[sh.Path] = sh
				if old == nil {
					continue
				}
				state := map[string]string{}
				read := func(sh *dataset.Shard, do func(key, value string)) {
					for c, err := range dataset.DiffPoints(t.Context(), nil, sh) {
						if err == nil {
							do(fmt.Sprint(c.Series.Key, c.New.Time), change(c))
						}
					}
				}
				read(old, func(k, v string) { state[k] = v })
				for c, err := range dataset.DiffPoints(t.Context(), old, sh) {
					if err != nil {
						continue
					}
					changes++
					switch {
					case c.New == nil:
						delete(state, fmt.Sprint(c.Series.Key, c.Old.Time))
					default:
						key := fmt.Sprint(c.Series.Key, c.New.Time)
						c.Old = nil
						state[key] = change(c)
					}
				}
				n := 0
				read(sh, func(k, v string) {
					n++
					if state[k] != v {
						t.Errorf("%s %s: %q, want %q", snap, sh.Path, state[k], v)
					}
				})
				if n != len(state) {
					t.Errorf("%s %s: %d points, want %d", snap, sh.Path, len(state), n)
				}
			}
		}
		t.Logf("%s: %d changes", snap, changes)
	}
}
