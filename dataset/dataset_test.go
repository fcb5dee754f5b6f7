package dataset_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

func openSet(t *testing.T, path string, opts space.Options) *dataset.Set {
	t.Helper()
	tree, err := space.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree.Data()
}

// dump returns the selected points as text.
func dump(t *testing.T, set *dataset.Set, f dataset.Filter) []string {
	t.Helper()
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	var out []string
	for s, err := range set.Series(f) {
		if err != nil {
			out = append(out, "error "+err.Error())
			continue
		}
		for p, err := range set.Points(s, f) {
			if err != nil {
				out = append(out, "error "+err.Error())
				continue
			}
			line := fmt.Sprintf("%s.%s %s %s", s.Database, s.Policy, s.Key, time.Unix(0, p.Time).UTC().Format("02T15:04"))
			for _, v := range p.Fields {
				line += fmt.Sprintf(" %s=%v", v.Field.Name, v.Value)
			}
			out = append(out, line)
		}
	}
	return out
}

func TestSampleChain(t *testing.T) {
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	set := openSet(t, path, space.Options{})
	var got []string
	for _, sh := range set.Shards() {
		got = append(got, fmt.Sprintf("%s %s.%s %s-%s %v", sh.Path, sh.Database, sh.Policy, sh.Start.Format("01-02"), sh.End.Format("01-02"), sh.Ghost != ""))
	}
	want := []string{
		"events/default/3 events.default 10-26-11-02 false",
		"telemetry/default/1 telemetry.default 10-26-11-02 false",
		"telemetry/default/4 telemetry.default 11-02-11-09 false",
		"telemetry/week/2 telemetry.week 11-01-11-02 true", // older metadata know the ghost
	}
	if !slices.Equal(got, want) {
		t.Errorf("shards\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if lost := set.Lost(); len(lost) != 0 {
		t.Errorf("lost %v", lost)
	}

	// A series that two shards have is one, and its points are in order.
	f := dataset.Filter{Database: "telemetry", Policy: "default", Tags: []dataset.TagFilter{{Key: "host", Glob: "al*"}}, Measurement: "cpu"}
	points := dump(t, set, f)
	// 600 flushed, of which 8 times were written again; 12 and 90 of the next
	// week, which have none in common.
	if len(points) < 600 {
		t.Fatalf("%d points", len(points))
	}
	last := int64(math.MinInt64)
	n := 0
	for s, err := range set.Series(f) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Key != "cpu,host=alpha" || len(s.Shards()) != 2 {
			t.Errorf("series %s in %d shards", s.Key, len(s.Shards()))
		}
		for p, err := range set.Points(s, f) {
			if err != nil {
				t.Fatal(err)
			}
			if p.Time <= last {
				t.Fatalf("%d after %d", p.Time, last)
			}
			last = p.Time
			n++
		}
	}
	if n != len(points) {
		t.Errorf("%d points, then %d", len(points), n)
	}
}

func TestFilter(t *testing.T) {
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	set := openSet(t, path, space.Options{})
	monday := time.Date(2015, 11, 2, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		f    dataset.Filter
		want []string
	}{
		{dataset.Filter{Database: "events"}, []string{"deploy,app=web"}},
		{dataset.Filter{Database: "e*"}, []string{"deploy,app=web"}},
		{dataset.Filter{Policy: "week"}, []string{"cpu,host=alpha", "cpu,host=beta", "mem,host=alpha", "mem,host=beta"}},
		{dataset.Filter{Measurement: "cpu", Policy: "default"}, []string{"cpu,host=alpha", "cpu,host=beta"}},
		{dataset.Filter{Series: "*host=beta", Policy: "default"}, []string{"cpu,host=beta", "mem,host=beta"}},
		{dataset.Filter{Shards: []uint64{3}}, []string{"deploy,app=web"}},
		{dataset.Filter{Tags: []dataset.TagFilter{{Key: "app", Glob: "web"}}}, []string{"deploy,app=web"}},
		{dataset.Filter{Tags: []dataset.TagFilter{{Key: "app", Glob: "web"}, {Key: "host", Glob: "*"}}}, nil},
		{dataset.Filter{From: monday.UnixNano(), To: monday.Add(time.Hour).UnixNano(), Measurement: "mem"}, []string{"mem,host=alpha", "mem,host=beta"}},
		{dataset.Filter{Database: "none"}, nil},
	} {
		var got []string
		for s, err := range set.Series(tt.f) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s.Key)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.f, got, tt.want)
		}
	}
	// 13 a quarter of an hour apart, both ends included; times are those of
	// shard 4 alone.
	f := dataset.Filter{From: monday.UnixNano(), To: monday.Add(time.Hour).UnixNano(), Series: "mem,host=alpha", Policy: "default"}
	if got := dump(t, set, f); len(got) != 5 || !strings.Contains(got[0], "02T00:00 used=") || !strings.Contains(got[4], "02T01:00") {
		t.Errorf("an hour: %q", got)
	}
	if err := (dataset.Filter{Series: "[x"}).Check(); err == nil {
		t.Error("no error for a bad glob")
	}
}

// TestOverlap: shards that no metadata know may hold the same times.
func TestOverlap(t *testing.T) {
	at := func(m int) time.Time { return sample.Start.Add(time.Duration(m) * time.Minute) }
	shard := func(value float64, minutes ...int) []byte {
		var s sample.Shard
		for _, m := range minutes {
			s.Flushed = append(s.Flushed, sample.Point{Series: "m,a=b", Time: at(m), Fields: map[string]any{"v": value}})
		}
		data, err := s.Bytes(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	path := t.TempDir() + "/snap"
	err := sample.Write(path, sample.Layer{Time: at(0), Files: []sample.File{
		{Name: "db/rp/9", Data: shard(9, 1, 3, 5), Modified: at(0)},
		{Name: "db/rp/10", Data: shard(10, 3, 4), Modified: at(0)},
		{Name: "db/rp/11", Data: []byte("no shard"), Modified: at(0)},
		{Name: "db/rp/text", Data: []byte("not even a number"), Modified: at(0)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	set := openSet(t, path, space.Options{})
	got := dump(t, set, dataset.Filter{})
	want := []string{
		"db.rp m,a=b 01T03:05 v=9",
		"db.rp m,a=b 01T03:07 v=10",
		"db.rp m,a=b 01T03:08 v=10",
		"db.rp m,a=b 01T03:09 v=9",
	}
	if len(got) != 5 || !strings.HasPrefix(got[0], "error db/rp/11: ") || !slices.Equal(got[1:], want) {
		t.Errorf("points\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, sh := range set.Shards() {
		_, err := sh.Decodable()
		var se *dataset.ShardError
		if bad := sh.ID == 11; bad != (err != nil) || bad && !errors.As(err, &se) {
			t.Errorf("shard %d: %v", sh.ID, err)
		}
	}
}

// TestLost: a shard group that was made and never written, or lost.
func TestLost(t *testing.T) {
	day := 24 * time.Hour
	m := sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{{Name: "rp", Groups: []sample.Group{
		{ID: 1, Start: sample.Start, End: sample.Start.Add(day)}, {ID: 2, Start: sample.Start.Add(day), End: sample.Start.Add(2 * day)}}}}}}}
	data, err := sample.Shard{}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/snap"
	err = sample.Write(path, sample.Layer{Time: sample.Start, Files: []sample.File{{Name: "meta", Data: m.Bytes()}, {Name: "db/rp/1", Data: data}}})
	if err != nil {
		t.Fatal(err)
	}
	set := openSet(t, path, space.Options{})
	if lost := set.Lost(); len(lost) != 1 || lost[0].ID != 2 || !lost[0].Start.Equal(sample.Start.Add(day)) {
		t.Errorf("lost %+v", lost)
	}
	if e, err := set.Shards()[0].Decodable(); e != influx.B1 || err != nil {
		t.Errorf("engine %q, %v", e, err)
	}
}
