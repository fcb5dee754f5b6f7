package influx_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/influx"
)

// rcShard is a shard of a release candidate.
func rcShard() tree { return tree{"meta": tree{"index": be(9)}, "values": tree{}} }

// modelMeta knows the series m,t=0 to m,t=4 by these numbers.
func modelMeta() tree {
	tr := rcMeta()
	grid := tr["Databases"].(tree)["grid"].(tree)
	series := tree{}
	for i := range 5 {
		series[be(uint64(i))] = fmt.Sprintf(`{"ID":%d,"Tags":{"t":"%d"}}`, i, i)
	}
	grid["Series"] = tree{"m": series}
	grid["Measurements"] = tree{"m": `{"name":"m","fields":[{"id":2,"name":"i","type":"integer"},{"id":3,"name":"b","type":"boolean"},{"id":4,"name":"x","type":"time"}]}`}
	return tr
}

func TestCandidateShard(t *testing.T) {
	tr := rcShard()
	tr[be(1)] = tree{be(5): data(val{2, int64(7)}), be(6): data(val{4, "x"}), be(7): data(val{9, "x"})}
	tr[be(3)] = tree{}
	tr[be(8)] = tree{be(5): data(val{2, int64(7)})}
	tr["strange"] = tree{}
	meta := openMeta(t, modelMeta().bytes(t))
	want := []string{
		`!decode key 0000000000000008: series 8: database "grid" has no such series`,
		`!decode key 737472616e6765: not the bucket of a series`,
		`m,t=1 "m" [{"t" "1"}] true true`,
		`m,t=3 "m" [{"t" "3"}] true true`,
	}
	for _, opts := range []influx.ShardOptions{{Meta: meta, ID: 4}, {Meta: meta, Database: "grid"}, {Meta: meta, ID: 99, Database: "grid"}} {
		s := openShard(t, tr, opts)
		same(t, "series", seriesOf(s), want...)
		same(t, "points", allPoints(s, "m,t=1"), "5 i=7",
			`!decode key 0000000000000006 of bucket "0000000000000001": field "x" has type 0`,
			`!decode key 0000000000000007 of bucket "0000000000000001": field 9 is not defined`)
		same(t, "no points", allPoints(s, "m,t=2"))
		same(t, "no series", allPoints(s, "none"))
		var names []string
		for name, err := range s.Measurements() {
			if err == nil {
				names = append(names, name)
			}
		}
		same(t, "measurements", names, "m")
		if f, err := s.Fields("m"); len(f) != 3 || err != nil {
			t.Errorf("fields %v, %v", f, err)
		}
	}
	for why, opts := range map[string]influx.ShardOptions{
		"no metadata were given":                {},
		"the metadata have no shard 5":          {Meta: meta, ID: 5},
		`the metadata have no database "other"`: {Meta: meta, ID: 4, Database: "other"},
	} {
		got := seriesOf(openShard(t, tr, opts))
		if len(got) != 4 || !strings.HasSuffix(got[0], "series 1: "+why) {
			t.Errorf("%s: %q", why, got)
		}
		same(t, why, allPoints(openShard(t, tr, opts), "m,t=1"))
	}
}

// TestCandidateBad has metadata that do not say what they should.
func TestCandidateBad(t *testing.T) {
	tr := modelMeta()
	grid := tr["Databases"].(tree)["grid"].(tree)
	grid["Series"] = tree{
		"m":     tree{be(1): `{"Tags":{"t":"1"}}`, be(2): `{"Tags":{"t":"1"}}`, be(3): `[]`, "short": `{}`},
		"plain": "value",
	}
	grid["Measurements"] = tree{"m": `{"fields":[{"id":256}]}`}
	meta := openMeta(t, tr.bytes(t))
	shard := rcShard()
	shard[be(1)] = tree{be(5): data(val{2, int64(7)})}
	shard[be(2)] = tree{be(5): data(val{2, int64(8)})}
	s := openShard(t, shard, influx.ShardOptions{Meta: meta, ID: 4})
	got := strings.Join(seriesOf(s), "\n")
	for _, want := range []string{"cannot unmarshal array", "the key is not a number", `Series/"plain"`, `series "m,t=1" is also number 1`, "series 2: database", "m,t=1 "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	points := allPoints(s, "m,t=1")
	if len(points) != 2 || !strings.Contains(points[0], "256") || !strings.Contains(points[1], "not defined") {
		t.Errorf("points %q", points)
	}

	for name, change := range map[string]func(tree){
		"number":  func(tr tree) { tr["Meta"].(tree)["index"] = "short" },
		"node":    func(tr tree) { tr["DataNodes"].(tree)[be(2)] = "{" },
		"user":    func(tr tree) { tr["Users"].(tree)["x"] = `{"admin":5}` },
		"value":   func(tr tree) { tr["Databases"].(tree)["x"] = "value" },
		"no meta": func(tr tree) { tr["Databases"].(tree)["x"] = tree{} },
		"time": func(tr tree) {
			tr["Databases"].(tree)["x"] = tree{"meta": `{"policies":[{"shardGroups":[{"startTime":"x"}]}]}`}
		},
		"too long": func(tr tree) {
			tr["Databases"].(tree)["x"] = tree{"meta": `{"name":"` + strings.Repeat("x", 9<<20) + `"}`}
		},
		"no bucket": func(tr tree) { delete(tr, "Meta") },
	} {
		tr := rcMeta()
		change(tr)
		data := tr.bytes(t)
		if _, err := influx.OpenMeta(strings.NewReader(string(data)), int64(len(data))); err == nil || !strings.HasPrefix(err.Error(), "read metadata: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCandidateDropped: shards keep the points of series that were dropped from
// the metadata. Older metadata tell what they were.
func TestCandidateDropped(t *testing.T) {
	grid := func(tr tree) tree { return tr["Databases"].(tree)["grid"].(tree) }
	metaWith := func(change func(series tree, grid tree)) *influx.Meta {
		tr := modelMeta()
		change(grid(tr)["Series"].(tree)["m"].(tree), grid(tr))
		return openMeta(t, tr.bytes(t))
	}
	tr := rcShard()
	for i := range 5 {
		tr[be(uint64(i))] = tree{be(5): data(val{2, int64(i)})}
	}
	older := openMeta(t, modelMeta().bytes(t))
	newest := metaWith(func(series, _ tree) { delete(series, be(1)); delete(series, be(3)) })
	opts := influx.ShardOptions{Meta: newest, ID: 4, Older: []*influx.Meta{older}}
	living := []string{`m,t=0 "m" [{"t" "0"}] true true`, `m,t=2 "m" [{"t" "2"}] true true`, `m,t=4 "m" [{"t" "4"}] true true`}
	s := openShard(t, tr, opts)
	same(t, "left out", seriesOf(s), living...)
	same(t, "left out", allPoints(s, "m,t=1"))

	opts.Dropped = true
	s = openShard(t, tr, opts)
	same(t, "dropped", seriesOf(s), living[0], `m,t=1 "m" [{"t" "1"}] true true`, living[1], `m,t=3 "m" [{"t" "3"}] true true`, living[2])
	same(t, "dropped", allPoints(s, "m,t=1"), "5 i=1")
	for series, err := range s.Series() {
		if gone := series.Key == "m,t=1" || series.Key == "m,t=3"; err != nil || series.Dropped != gone {
			t.Errorf("%+v, %v", series, err)
		}
	}

	// A measurement that is gone with all its series.
	opts.Meta = metaWith(func(_, grid tree) { grid["Series"], grid["Measurements"] = tree{}, tree{} })
	s = openShard(t, tr, opts)
	same(t, "measurement", allPoints(s, "m,t=4"), "5 i=4")

	// What cannot be told apart from what came after it is an error.
	opts.Meta = metaWith(func(series, _ tree) { delete(series, be(1)); series[be(7)] = `{"ID":7,"Tags":{"t":"1"}}` })
	s = openShard(t, tr, opts)
	if got := seriesOf(s); len(got) != 5 || !strings.HasSuffix(got[0], `series 1, "m,t=1": was dropped, and series 7 has its key`) {
		t.Errorf("%q", got)
	}
	opts.Meta = metaWith(func(series, grid tree) {
		delete(series, be(1))
		grid["Measurements"] = tree{"m": `{"name":"m","fields":[{"id":2,"name":"other","type":"float"}]}`}
	})
	s = openShard(t, tr, opts)
	if got := seriesOf(s); len(got) != 5 || !strings.HasSuffix(got[0], `series 1, "m,t=1": was dropped, and its measurement was defined anew`) {
		t.Errorf("%q", got)
	}

	// Metadata that do not know the shard may have the numbers for other series.
	opts.Meta, opts.ID, opts.Database = newest, 99, "grid"
	s = openShard(t, tr, opts)
	if got := seriesOf(s); len(got) != 5 || !strings.HasSuffix(got[0], `has no such series`) {
		t.Errorf("%q", got)
	}
}
