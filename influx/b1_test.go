package influx_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/sample"
)

func TestB1Points(t *testing.T) {
	tr := b1Shard()
	tr["m,a=1"] = tree{
		be(0):                       data(val{1, 0.5}),
		be(10):                      data(val{4, "x\"y"}, val{2, int64(-7)}, val{3, true}, val{1, 1e300}),
		be(20):                      data(val{2, int64(1)}, val{2, int64(2)}),
		be(math.MaxInt64):           data(val{3, false}),
		be(1 << 63):                 data(val{2, int64(math.MinInt64)}),
		be(uint64(math.MaxUint64)):  data(val{4, ""}),
		be(math.MaxUint64 - 10 + 1): data(val{1, math.Inf(1)}),
	}
	tr.log(1, "m,a=1", 10, data(val{2, int64(1)}))
	tr.log(2, "m,a=1", 15, data(val{2, int64(2)}))
	tr.log(3, "m,a=1", 10, data(val{2, int64(3)})) // the last of a time counts
	tr.log(4, "m,a=1", -10, data(val{2, int64(4)}))
	tr.log(5, "m,a=1", math.MaxInt64-1, data(val{2, int64(5)}))
	tr.log(6, "m,a=2", 11, data(val{2, int64(6)}))
	s := openShard(t, tr, influx.ShardOptions{})
	same(t, "all", allPoints(s, "m,a=1"),
		"-9223372036854775808 i=-9223372036854775808", "-10 i=4", "-1 s=", "0 f=0.5", "10 i=3", "15 i=2", "20 i=2",
		"9223372036854775806 i=5", "9223372036854775807 b=false")
	same(t, "log only", allPoints(s, "m,a=2"), "11 i=6")
	same(t, "none", allPoints(s, "m,a=3"))
	for _, tt := range []struct {
		from, to int64
		want     []string
	}{
		{0, 0, []string{"0 f=0.5"}},
		{-10, 10, []string{"-10 i=4", "-1 s=", "0 f=0.5", "10 i=3"}},
		{-9, -1, []string{"-1 s="}},
		{11, 14, nil},
		{12, 15, []string{"15 i=2"}},
		{10, 0, nil},
		{1, -1, nil},
		{math.MinInt64, math.MinInt64, []string{"-9223372036854775808 i=-9223372036854775808"}},
		{math.MaxInt64, math.MaxInt64, []string{"9223372036854775807 b=false"}},
	} {
		if got := pointsOf(s, "m,a=1", tt.from, tt.to); !slices.Equal(got, tt.want) {
			t.Errorf("%d to %d: %q, want %q", tt.from, tt.to, got, tt.want)
		}
	}
	for range s.Points("m,a=1", math.MinInt64, math.MaxInt64) {
		break // must not go on
	}

	// Without the log, the bucket shows.
	delete(tr, "wal")
	tr["wal"] = tree{}
	same(t, "no log", pointsOf(openShard(t, tr, influx.ShardOptions{}), "m,a=1", 10, 20), "10 b=true f=1e+300 i=-7 s=x\"y", "20 i=2")
}

// TestB1Values has the bytes of points that servers wrote.
func TestB1Values(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	for _, tt := range []struct{ data, want string }{
		{"\x01\x3f\xf8\x00\x00\x00\x00\x00\x00", "1 f=1.5"},
		{"\x02\xff\xff\xff\xff\xff\xff\xff\xfe\x03\x01", "1 b=true i=-2"},
		{"\x03\x02", "1 b=true"},
		{"\x04\x00\x00", "1 s="},
		{"\x04\x00\x02hi\x01\x00\x00\x00\x00\x00\x00\x00\x00", "1 f=0 s=hi"},
		{data(val{4, long[:65533]}), "1 s=" + long[:65533]},
		{data(val{4, long[:65535]}, val{3, false}), "1 b=false s=" + long[:65535]},
		{"\x04\x00\x00" + long, "!string \"s\" has lost its length of 64 KiB"},
		{"\x03\x01\x04\x00\x00" + long + "\x02\x00\x00\x00\x00\x00\x00\x00\x00", "!string \"s\" has lost its length of 64 KiB"},
		{"", "!point without fields"},
		{"\x00", "!field number 0"},
		{"\x07\x01", "!field 7 is not defined"},
		{"\x03\x01\x07", "!field 7 is not defined"},
		{"\x05\x01", "!field \"odd\" has type 6"},
		{"\x01\x3f\xf8\x00\x00\x00\x00\x00", "!field \"f\" is cut off: 7 of 8 bytes"},
		{"\x03", "!field \"b\" is cut off: 0 of 1 bytes"},
		{"\x04\x00", "!field \"s\" is cut off: 1 of 2 bytes"},
		{"\x04\x00\x03hi", "!field \"s\" is cut off: 4 of 5 bytes"},
	} {
		tr := b1Shard()
		tr["m"] = tree{be(1): tt.data, be(2): data(val{3, true})}
		s := openShard(t, tr, influx.ShardOptions{})
		want := tt.want
		if reason, bad := strings.CutPrefix(want, "!"); bad {
			want = `!decode key 0000000000000001 of bucket "m": ` + reason
		}
		same(t, "bucket", allPoints(s, "m"), want, "2 b=true")
		for _, err := range s.Points("m", 1, 1) {
			var bad *influx.ValueError
			undefined := strings.Contains(tt.want, "not defined")
			if err != nil && (!errors.As(err, &bad) || bad.Time != 1 || !errors.Is(err, influx.ErrValue) ||
				errors.Is(err, influx.ErrUndefined) != undefined || undefined != (bad.Undefined == 7)) {
				t.Errorf("%q: %#v", tt.data, err)
			}
		}

		tr = b1Shard()
		tr["m"] = tree{be(2): data(val{3, true})}
		tr.log(9, "m", 1, tt.data)
		want = strings.Replace(want, `0000000000000001 of bucket "m"`, `0000000000000009 of bucket "wal/0"`, 1)
		same(t, "log", allPoints(openShard(t, tr, influx.ShardOptions{}), "m"), want, "2 b=true")
	}
}

func TestB1Series(t *testing.T) {
	tr := b1Shard()
	tr["series"] = tree{
		"m,a=1":        string(pb(1, "m,a=1", 2, pb(1, "a", 2, "1"))),
		"m,b=2,a=1":    string(pb(1, "m,b=2,a=1", 2, pb(1, "b", 2, "2"), 2, pb(1, "a", 2, "1"))), // servers sort the key; here it is not
		`w\,p=C:\,x=y`: string(pb(1, `w\,p=C:\,x=y`, 2, pb(1, "x", 2, "y"), 2, pb(1, "p", 2, `C:\`))),
		"broken":       "\x0a\xff",
		"other":        string(pb(1, "another")),
	}
	tr["m"] = tree{be(1): data(val{3, true})}
	tr[`we\ ird\,m,t\=1=a\,b\ c\=d`] = tree{}
	tr["m,a=1"] = tree{be(1): data(val{3, true})}
	tr["m,"] = tree{}
	tr[",x=1"] = tree{}
	tr.log(1, "logged,x=1", 1, data(val{3, true}))
	wal := tr["wal"].(tree)
	wal["\x00"].(tree)["short"] = "x"
	wal["\x00"].(tree)[be(7)] = be(1) + "\x00\x00\x00\x09m"
	wal["\x00"].(tree)[be(8)] = "few"
	wal["\x01"].(tree)[be(9)] = tree{}
	wal["\x08\x09"] = tree{}
	s := openShard(t, tr, influx.ShardOptions{})
	same(t, "series", seriesOf(s),
		`!decode key 0000000000000007 of bucket "wal/0": series key of 9 bytes in an entry of 13`,
		`!decode key 0000000000000008 of bucket "wal/0": entry of 3 bytes`,
		`!decode key 73686f7274 of bucket "wal/0": key is not a sequence number`,
		`!decode key 0000000000000009 of bucket "wal/1": a bucket, not an entry`,
		`!decode key 0809 of bucket "wal": not a partition`,
		`!decode key 62726f6b656e of bucket "series": Series at byte 0: field 1: unexpected EOF`,
		`!parse ",x=1": no measurement: not a series key`,
		`logged,x=1 "logged" [{"x" "1"}] false true`,
		`m "m" [] false true`,
		`!parse "m,": tag "": not a series key`,
		`m,a=1 "m" [{"a" "1"}] true true`,
		`!decode key 6f74686572 of bucket "series": Series at byte 0: record is of "another"`,
		`m,b=2,a=1 "m" [{"a" "1"} {"b" "2"}] true false`,
		`w\,p=C:\,x=y "w\\" [{"p" "C:\\"} {"x" "y"}] true false`,
		`we\ ird\,m,t\=1=a\,b\ c\=d "we ird,m" [{"t=1" "a,b c=d"}] false true`)
	var names []string
	for name, err := range s.Measurements() {
		if err == nil {
			names = append(names, name)
		}
	}
	same(t, "measurements", names, "logged", "m", `w\`, "we ird,m")
	fields, err := s.Fields("m")
	if err != nil || len(fields) != 5 || fields[0].Name != "b" || fields[0].ID != 3 || fields[0].Type != influx.Boolean || fields[4].Name != "s" {
		t.Errorf("fields %v, %v", fields, err)
	}
	if fields, err := s.Fields("none"); len(fields) != 0 || err != nil {
		t.Errorf("fields %v, %v", fields, err)
	}
	for series, err := range s.Series() {
		if err != nil && strings.Contains(err.Error(), `tag ""`) && series.Key != "m," {
			t.Errorf("key %q with %v", series.Key, err)
		}
		if err != nil && series.Key == "m," {
			break // must not go on
		}
	}
}

// TestB1Names has series whose points are in the engine's own buckets.
func TestB1Names(t *testing.T) {
	for _, name := range []string{"wal", "fields", "series", "meta"} {
		for _, modern := range []bool{false, true} {
			tr := b1Shard()
			if modern {
				tr["meta"] = tree{"format": "b1"}
			} else if name == "meta" {
				tr["meta"] = tree{}
			}
			tr["fields"].(tree)[name] = defs()
			tr["fields"].(tree)["8 bytes!"] = defs()
			tr["series"].(tree)["8 bytes!"] = string(pb(1, "8 bytes!"))
			tr["series"].(tree)[name] = string(pb(1, name))
			tr[name].(tree)[be(5)] = data(val{3, true})
			tr[name].(tree)[be(6)] = data(val{3, false})
			tr.log(1, name, 6, data(val{2, int64(9)}))
			s := openShard(t, tr, influx.ShardOptions{})
			if s.Engine() != influx.B1 {
				t.Errorf("%s: engine %s", name, s.Engine())
			}
			want := []string{`8 bytes! "8 bytes!" [] true false`, name + ` "` + name + `" [] true true`}
			same(t, name, seriesOf(s), want...)
			same(t, name, allPoints(s, name), "5 b=true", "6 i=9")
			if f, err := s.Fields("8 bytes!"); len(f) != 5 || err != nil {
				t.Errorf("%s: fields %v, %v", name, f, err)
			}
			var names []string
			for n, err := range s.Measurements() {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				names = append(names, n)
			}
			list := []string{"8 bytes!", "m", name}
			slices.Sort(list)
			same(t, name, names, list...)
		}
	}
}

func TestB1Undefined(t *testing.T) {
	tr := b1Shard()
	tr["gone"] = tree{be(1): data(val{1, int64(1)}), be(2): data(val{2, true}, val{3, false})}
	tr["fields"].(tree)["m"] = string(pb(1, pb(1, 3, 2, "b", 3, 3)))
	tr["m"] = tree{be(1): data(val{2, int64(5)}, val{3, true})}
	tr["fields"].(tree)["bad"] = "\x0a\x01"
	tr["bad"] = tree{be(1): data(val{1, 1.5})}
	more := func(m string) []influx.Field {
		return map[string][]influx.Field{
			"gone": {{ID: 2, Name: "z", Type: influx.Boolean}, {ID: 3, Name: "a", Type: influx.Boolean}, {ID: 1, Name: "n", Type: influx.Integer}, {ID: 0, Name: "no"}},
			"m":    {{ID: 3, Name: "not this", Type: influx.Float}, {ID: 2, Name: "i", Type: influx.Integer}},
			"bad":  {{ID: 1, Name: "f", Type: influx.Float}},
		}[m]
	}
	s := openShard(t, tr, influx.ShardOptions{})
	same(t, "gone", allPoints(s, "gone"), `!decode key 0000000000000001 of bucket "gone": field 1 is not defined`, `!decode key 0000000000000002 of bucket "gone": field 2 is not defined`)
	const bad = `!decode key 626164 of bucket "fields": MeasurementFields at byte 0: field 1: unexpected EOF`
	same(t, "bad", allPoints(s, "bad"), bad, `!decode key 0000000000000001 of bucket "bad": field 1 is not defined`)
	s = openShard(t, tr, influx.ShardOptions{Fields: more})
	same(t, "gone", allPoints(s, "gone"), "1 n=1", "2 a=false z=true")
	same(t, "m", allPoints(s, "m"), "1 b=true i=5")
	same(t, "bad", allPoints(s, "bad"), bad, "1 f=1.5")
}

func TestB1Bad(t *testing.T) {
	tr := b1Shard()
	tr["m"] = tree{be(1): tree{}, be(2): data(val{3, true}), "short": "x", "more than 8 bytes": "x"}
	s := openShard(t, tr, influx.ShardOptions{})
	same(t, "keys", allPoints(s, "m"),
		`!decode key 0000000000000001 of bucket "m": a bucket, not a point`, "2 b=true",
		`!decode key 6d6f7265207468616e2038206279746573 of bucket "m": key is not a time`,
		`!decode key 73686f7274 of bucket "m": key is not a time`)
	for _, tt := range []struct {
		tr     tree
		reason string
	}{
		{tree{}, "not the buckets"},
		{tree{"fields": tree{}, "series": tree{}}, "not the buckets"},
		{tree{"meta": tree{"format": "tsm1"}}, `format "tsm1"`},
		{tree{"meta": tree{"format": ""}}, `format "?"`},
		{tree{"meta": tree{"format": strings.Repeat("x", 100)}}, `format "?"`},
		{tree{"meta": tree{"format": tree{}}}, `format "?"`},
	} {
		_, err := influx.OpenShard(open(t, tt.tr.bytes(t)), influx.ShardOptions{})
		if !errors.Is(err, influx.ErrEngine) || !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%v: %v, want %q", tt.tr, err, tt.reason)
		}
	}
	for _, tt := range []struct {
		data string
		want influx.Engine
		err  error
	}{
		{"", "", influx.ErrEngine},
		{"\x16\xd1", "", influx.ErrEngine},
		{"\x16\xd1\x16\xd1\x01", influx.TSM1, nil},
		{string(tree{"meta": tree{}, "values": tree{}}.bytes(t)), influx.RC, nil},
		{string(tree{"meta": tree{"format": "v1"}}.bytes(t)), influx.B1, nil},
		{string(bz1Shard().bytes(t)), influx.BZ1, nil},
	} {
		e, err := influx.DetectEngine(strings.NewReader(tt.data), int64(len(tt.data)))
		if e != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%.8q: %q, %v, want %q", tt.data, e, err, tt.want)
		}
	}
}

// TestSampleShard reads what package sample wrote.
func TestSampleShard(t *testing.T) {
	start := time.Date(2015, 11, 2, 0, 0, 0, 0, time.UTC)
	var points []sample.Point
	for i := range 1000 {
		points = append(points, sample.Point{Series: "cpu,host=a", Time: start.Add(time.Duration(i) * time.Second),
			Fields: map[string]any{"load": float64(i) / 7, "n": int64(i), "on": i%3 == 0, "by": "Zoë"}})
	}
	data, err := sample.Shard{Flushed: points[:700], WAL: points[600:]}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := influx.OpenShard(open(t, data), influx.ShardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for p, err := range s.Points("cpu,host=a", math.MinInt64, math.MaxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		if i == len(points) {
			t.Fatal("more points than written")
		}
		if p.Time != points[i].Time.UnixNano() || !sameValues(values(p), points[i].Fields) {
			t.Errorf("point %d: %v, want %v", i, p, points[i])
		}
		i++
	}
	if i != len(points) {
		t.Errorf("%d points", i)
	}
}

// TestConcurrent reads one shard from several goroutines.
func TestConcurrent(t *testing.T) {
	tr := b1Shard()
	for i := range 50 {
		key := fmt.Sprintf("m,t=%02d", i)
		tr[key] = tree{be(1): data(val{2, int64(i)}), be(2): data(val{4, strings.Repeat("x", i)})}
		tr.log(uint64(i), key, 3, data(val{3, true}))
	}
	s := openShard(t, tr, influx.ShardOptions{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			n := 0
			for series, err := range s.Series() {
				if err != nil {
					t.Error(err)
				}
				same(t, series.Key, allPoints(s, series.Key), fmt.Sprintf("1 i=%d", n), "2 s="+strings.Repeat("x", n), "3 b=true")
				if f, err := s.Fields("m"); len(f) != 5 || err != nil {
					t.Errorf("fields %v, %v", f, err)
				}
				n++
			}
			if n != 50 {
				t.Errorf("%d series", n)
			}
		})
	}
	group.Wait()
}

// TestB1LongLog has entries that are too long to be kept in memory.
func TestB1LongLog(t *testing.T) {
	tr := b1Shard()
	var fields, point []byte
	want := "7"
	for i := range 20 {
		name, text := fmt.Sprintf("s%02d", i), strings.Repeat(string(rune('a'+i)), 65_000)
		fields = append(fields, pb(1, pb(1, i+1, 2, name, 3, 4))...)
		point = append(point, data(val{uint8(i + 1), text})...)
		want += " " + name + "=" + text
	}
	tr["fields"].(tree)["m"] = string(fields)
	tr.log(1, "m", 7, string(point))
	tr.log(2, "m", 8, data(val{1, "short"}))
	tr.log(3, "m", 9, string(point[:len(point)-1]))
	s := openShard(t, tr, influx.ShardOptions{})
	same(t, "points", allPoints(s, "m"), want, "8 s00=short",
		`!decode key 0000000000000003 of bucket "wal/0": field "s19" is cut off: 65001 of 65002 bytes`)
}
