package dataset_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// collect returns the elements of a list as text, and its errors.
func collect[T any](seq func(func(T, error) bool)) (out []string, errs []error) {
	for v, err := range seq {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, fmt.Sprint(v))
	}
	return out, errs
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s\n%s, want\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCatalog(t *testing.T) {
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	set := openSet(t, path, space.Options{})
	got, errs := collect(set.Measurements(dataset.Filter{}))
	equal(t, "measurements", got, []string{
		"{events default deploy 1}",
		"{telemetry default cpu 2}", "{telemetry default mem 2}",
		"{telemetry week cpu 2}", "{telemetry week mem 2}",
	})
	fields, more := collect(set.Fields(dataset.Filter{Policy: "default"}))
	equal(t, "fields", fields, []string{
		"{events default deploy by [string]}", "{events default deploy version [string]}",
		"{telemetry default cpu load [float]}", "{telemetry default cpu throttled [boolean]}",
		"{telemetry default mem used [integer]}",
	})
	tags, most := collect(set.TagKeys(dataset.Filter{Measurement: "[cd]*", Series: "*a*"}))
	equal(t, "tags", tags, []string{
		"{events default deploy app [web]}",
		"{telemetry default cpu host [alpha beta]}", "{telemetry week cpu host [alpha beta]}",
	})
	if errs = slices.Concat(errs, more, most); len(errs) > 0 {
		t.Error(errs)
	}

	day := 24 * time.Hour
	dbs := set.Databases(dataset.Filter{})
	if len(dbs) != 2 || dbs[0].Name != "events" || dbs[1].Name != "telemetry" || dbs[1].Dropped || dbs[1].DefaultPolicy != "default" || len(dbs[1].Policies) != 2 {
		t.Fatalf("databases %+v", dbs)
	}
	p, week := dbs[1].Policies[0], dbs[1].Policies[1]
	if p.Shards != 2 || p.Dropped || p.Duration != 0 || p.GroupDuration != 7*day || p.Replicas != 1 || p.Ghosts != 0 || p.End.Sub(p.Start) != 14*day {
		t.Errorf("policy %+v", p)
	}
	// Older metadata tell of a ghost what the newest do not.
	if week.Shards != 1 || !week.Dropped || week.Duration != 7*day || week.GroupDuration != day || week.Ghosts != 1 {
		t.Errorf("policy %+v", week)
	}
	if got := set.Databases(dataset.Filter{Shards: []uint64{3}}); len(got) != 1 || got[0].Name != "events" {
		t.Errorf("databases with shard 3: %+v", got)
	}
}

// TestTypes: a field may have another type in another shard.
func TestTypes(t *testing.T) {
	shard := func(value any) []byte {
		data, err := sample.Shard{Flushed: []sample.Point{{Series: "m,a=b", Time: sample.Start, Fields: map[string]any{"v": value}}}}.Bytes(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	set := openSet(t, writeShards(t, map[string][]byte{"db/rp/1": shard(int64(1)), "db/rp/2": shard(1.5)}), space.Options{})
	got, errs := collect(set.Fields(dataset.Filter{}))
	equal(t, "fields", got, []string{"{db rp m v [float integer]}"})
	if errs != nil {
		t.Error(errs)
	}
	if dbs := set.Databases(dataset.Filter{}); len(dbs) != 1 || dbs[0].Dropped || dbs[0].Policies[0].Dropped || !dbs[0].Policies[0].Start.IsZero() {
		t.Errorf("without metadata: %+v", dbs)
	}
}

// writeShards writes a chain of one layer without metadata.
func writeShards(t *testing.T, shards map[string][]byte) string {
	t.Helper()
	l := sample.Layer{Time: sample.Start}
	for name, data := range shards {
		l.Files = append(l.Files, sample.File{Name: name, Data: data, Modified: sample.Start})
	}
	path := t.TempDir() + "/snap"
	if err := sample.Write(path, l); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLookup(t *testing.T) {
	keys := []string{"m,a=b", `m\,n,a=b`, "m,a=b\\,c=d", "plain"}
	var s sample.Shard
	for _, k := range keys {
		s.Flushed = append(s.Flushed, sample.Point{Series: k, Time: sample.Start, Fields: map[string]any{"v": 1.0}})
	}
	data, err := s.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	set := openSet(t, writeShards(t, map[string][]byte{"db/rp/1": data, "db/rp/2": data, "db/other/3": data}), space.Options{})
	for _, k := range keys {
		got, err := set.Lookup("db", "rp", k)
		if err != nil || len(got.Shards()) != 2 {
			t.Errorf("%s: %+v, %v", k, got, err)
			continue
		}
		for want, err := range set.Series(dataset.Filter{Policy: "rp"}) {
			if err != nil {
				t.Fatal(err)
			}
			if want.Key == k && (want.Measurement != got.Measurement || !slices.Equal(want.Tags, got.Tags)) {
				t.Errorf("%s is %q %q, listed as %q %q", k, got.Measurement, got.Tags, want.Measurement, want.Tags)
			}
		}
	}
	for _, k := range []string{"", "m", "m,a=c", "fields", `x\,y`} {
		if _, err := set.Lookup("db", "rp", k); !errors.Is(err, dataset.ErrNoSeries) {
			t.Errorf("%q: %v", k, err)
		}
	}
	if _, err := set.Lookup("none", "rp", "plain"); !errors.Is(err, dataset.ErrNoSeries) {
		t.Error(err)
	}
}

// TestNames: names that are as no others, which real servers let through.
func TestNames(t *testing.T) {
	data, err := sample.Shard{Flushed: []sample.Point{{Series: "m", Time: sample.Start, Fields: map[string]any{"v": 1.0}}}}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	group := func(id uint64) []sample.Group {
		return []sample.Group{{ID: id, Start: sample.Start, End: sample.Start.Add(time.Hour)}}
	}
	meta := sample.Meta{Databases: []sample.Database{
		{Name: "..", Policies: []sample.Policy{{Name: "rp", Groups: group(1)}}},
		{Name: "a/b", Policies: []sample.Policy{{Name: "rp", Groups: group(2)}}},
		{Name: "ok", Policies: []sample.Policy{{Name: "../esc", Groups: group(3)}, {Name: "x/y", Groups: group(4)}, {Name: "rp", Groups: group(7)}}},
		{Name: "meta", Policies: []sample.Policy{{Name: "rp", Groups: group(5)}}},
		{Name: "manifest", Policies: []sample.Policy{{Name: "rp", Groups: group(6)}}},
	}}
	shards := map[string][]byte{"meta": meta.Bytes()}
	// The last two have numbers that the metadata give to others.
	for _, name := range []string{"../rp/1", "a/b/rp/2", "esc/3", "ok/x/y/4", "meta/rp/5", "manifest/rp/6", "other/rp/7", "ok/rp/1"} {
		shards[name] = data
	}
	set := openSet(t, writeShards(t, shards), space.Options{})
	var got []string
	for _, sh := range set.Shards() {
		got = append(got, fmt.Sprintf("%s: %q %q %v", sh.Path, sh.Database, sh.Policy, sh.Start.IsZero()))
		if e, err := sh.Decodable(); e != influx.B1 || err != nil {
			t.Errorf("%s: %s, %v", sh.Path, e, err)
		}
	}
	equal(t, "shards", got, []string{
		`%2E%2E/rp/1: ".." "rp" false`, `a/b/rp/2: "a/b" "rp" false`, `manifest.d/rp/6: "manifest" "rp" false`, `meta.d/rp/5: "meta" "rp" false`,
		`esc/3: "ok" "../esc" false`, `ok/rp/1: "ok" "rp" true`, `ok/x/y/4: "ok" "x/y" false`, `other/rp/7: "other" "rp" true`,
	})
}

// TestTSM1: shards of the engine that came after those that are decoded.
func TestTSM1(t *testing.T) {
	tsm := "\x16\xd1\x16\xd1" + strings.Repeat("x", 5000)
	set := openSet(t, writeShards(t, map[string][]byte{"db/rp/1": []byte(tsm), "db/rp/2/000001.tsm1": []byte(tsm), "db/rp/3": []byte("no shard"), "db/rp/4/text": []byte("x")}), space.Options{})
	var got []string
	for _, sh := range set.Shards() {
		e, err := sh.Decodable()
		got = append(got, fmt.Sprintf("%d %s %v", sh.ID, e, errors.Is(err, influx.ErrEngine)))
	}
	equal(t, "shards", got, []string{"1 tsm1 true", "2 tsm1 true", "3  false"})
}
