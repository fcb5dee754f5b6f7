package influx_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/influx"
)

func TestBZ1Points(t *testing.T) {
	i := func(n int64) string { return data(val{2, n}) }
	points := func(blocks ...[]entry) tree {
		b := tree{}
		for _, list := range blocks {
			k, v := block(list...)
			b[k] = v
		}
		return b
	}
	tr := bz1Shard()
	tr["points"] = tree{
		"m": points(
			[]entry{{math.MinInt64, i(1)}, {-7, i(2)}},
			[]entry{{-6, i(3)}, {6, i(4)}},
			[]entry{{7, i(5)}, {9, data(val{4, "x"}, val{1, 2.5})}},
			[]entry{{10, i(6)}, {math.MaxInt64, i(7)}}),
		"m,t=over": points(
			[]entry{{1, i(1)}, {5, i(1)}, {9, i(1)}, {20, i(1)}},
			[]entry{{2, i(2)}, {5, i(2)}, {6, i(2)}},
			[]entry{{5, i(3)}, {8, i(3)}, {9, i(3)}},
			[]entry{{30, i(4)}}),
	}
	s := openShard(t, tr, influx.ShardOptions{})
	same(t, "all", allPoints(s, "m"), "-9223372036854775808 i=1", "-7 i=2", "-6 i=3", "6 i=4", "7 i=5", "9 f=2.5 s=x", "10 i=6", "9223372036854775807 i=7")
	same(t, "overlap", allPoints(s, "m,t=over"), "1 i=1", "2 i=2", "5 i=3", "6 i=2", "8 i=3", "9 i=3", "20 i=1", "30 i=4")
	same(t, "none", allPoints(s, "m,t=none"))
	same(t, "-6 to 7", pointsOf(s, "m", -6, 7), "-6 i=3", "6 i=4", "7 i=5")
	same(t, "-5 to 5", pointsOf(s, "m", -5, 5))
	same(t, "6 to 9", pointsOf(s, "m,t=over", 6, 9), "6 i=2", "8 i=3", "9 i=3")
	same(t, "empty span", pointsOf(s, "m", 9, 6))
	n := 0
	for range s.Points("m,t=over", math.MinInt64, math.MaxInt64) {
		if n++; n == 3 {
			break // must not go on
		}
	}
}

func TestBZ1Bad(t *testing.T) {
	ok := data(val{3, true})
	_, sound := block(entry{5, ok}, entry{6, ok})
	raw := func(end int64, entries string) string { return be(uint64(end)) + snap(entries) }
	head := func(t int64, n uint32) string {
		return be(uint64(t)) + string(binary.BigEndian.AppendUint32(nil, n))
	}
	for _, tt := range []struct {
		name, value string
		want        []string
	}{
		{"short", "1234567", []string{"!block of 7 bytes"}},
		{"no block", be(6), []string{"!snappy block: s2: corrupt input"}},
		{"corrupt", be(6) + "\x04abcd", []string{"!snappy block: s2: corrupt input"}},
		{"claims", be(6) + "\xff\xff\xff\x7f\x00", []string{"!snappy block of 5 bytes claims 268435455"}},
		{"empty", raw(6, ""), nil},
		{"cut head", raw(6, head(5, 2)+ok+"x"), []string{"5 b=true", "!entry at byte 14 is cut off"}},
		{"cut entry", raw(6, head(5, 2)+ok+head(6, 3)+ok), []string{"5 b=true", "!entry at byte 14 has 3 bytes, of 2 left"}},
		{"huge entry", raw(6, head(5, 2)+ok+head(6, 1<<31)+ok), []string{"5 b=true", "!entry at byte 14 has 2147483648 bytes, of 2 left"}},
		{"before", raw(6, head(4, 2)+ok), []string{"!entry at byte 0 is out of order"}},
		{"behind", raw(6, head(5, 2)+ok+head(7, 2)+ok), []string{"5 b=true", "!entry at byte 14 is out of order"}},
		{"twice", raw(6, head(5, 2)+ok+head(5, 2)+ok), []string{"5 b=true", "!entry at byte 14 is out of order"}},
		{"undefined", raw(6, head(5, 2)+"\x09\x01"+head(6, 2)+ok), []string{"!field 9 is not defined", "6 b=true"}},
	} {
		tr := bz1Shard()
		_, next := block(entry{8, ok})
		tr["points"] = tree{"m": tree{be(5): tt.value, be(8): next}}
		var want []string
		for _, w := range append(tt.want, "8 b=true") {
			if reason, bad := strings.CutPrefix(w, "!"); bad {
				w = `!decode key 0000000000000005 of bucket "points/m": ` + reason
			}
			want = append(want, w)
		}
		same(t, tt.name, allPoints(openShard(t, tr, influx.ShardOptions{}), "m"), want...)
	}

	// More blocks over each other than anyone writes.
	b := tree{}
	for i := range int64(20) {
		k, v := block(entry{i, ok}, entry{100 + i, ok})
		b[k] = v
	}
	tr := bz1Shard()
	tr["points"] = tree{"m": b, "value": tree{"short": sound}}
	s := openShard(t, tr, influx.ShardOptions{})
	points, errs := 0, 0
	for _, err := range s.Points("m", math.MinInt64, math.MaxInt64) {
		if err == nil {
			points++
		} else if errs++; !strings.Contains(err.Error(), "overlaps 8 others") {
			t.Error(err)
		}
	}
	if points != 16 || errs != 12 {
		t.Errorf("%d points, %d errors", points, errs)
	}
	same(t, "key", allPoints(s, "value"), `!decode key 73686f7274 of bucket "points/value": key is not a time`)
}

func TestBZ1Meta(t *testing.T) {
	tr := bz1Shard()
	tr["meta"].(tree)["fields"] = snap(`{"m` + "\xef\xbf\xbd" + `":` + jsonDefs + `,"bad":{"fields":{"a":{"id":256,"type":1},"b":{"id":2,"type":1}}},"empty":{"fields":{}}}`)
	tr["meta"].(tree)["series"] = snap(`{"m` + "\xef\xbf\xbd" + `,a=1":{"Key":"…","Tags":{"a":"1"}},"w\\,p=C:\\,x=y":{"Key":"…","Tags":{"x":"y","p":"C:\\"}},"z":{"Key":"z","Tags":{}},"a\u003c":{}}`)
	_, b := block(entry{5, data(val{3, true})})
	tr["points"] = tree{"m\xfc,a=1": tree{be(5): b}, "new,x=1": tree{be(5): b}, "z": tree{be(5): b}}
	s := openShard(t, tr, influx.ShardOptions{})
	same(t, "series", seriesOf(s),
		`a< "a<" [] true false`,
		`m`+"\xfc"+`,a=1 "m\xfc" [{"a" "1"}] true true`,
		`new,x=1 "new" [{"x" "1"}] false true`,
		`w\,p=C:\,x=y "w\\" [{"p" "C:\\"} {"x" "y"}] true false`,
		`z "z" [] true true`)
	same(t, "points", allPoints(s, "m\xfc,a=1"), "5 b=true")
	same(t, "new", allPoints(s, "new,x=1"), `!decode key 0000000000000005 of bucket "points/new,x=1": field 3 is not defined`)
	fields, err := s.Fields("bad")
	if len(fields) != 1 || fields[0].Name != "b" || err == nil || !strings.Contains(err.Error(), "number 256") {
		t.Errorf("fields %v, %v", fields, err)
	}

	for name, tt := range map[string]struct{ key, value, want string }{
		"fields are not snappy": {"fields", "\xff", "snappy block"},
		"fields are not JSON":   {"fields", snap("{"), "unexpected end"},
		"fields are a list":     {"fields", snap("[]"), "cannot unmarshal"},
		"series are not snappy": {"series", "\xff", "snappy block"},
		"series are not JSON":   {"series", snap(`{"m":{}`), "EOF"},
		"series are a number":   {"series", snap(`5`), "no JSON object"},
	} {
		tr := bz1Shard()
		tr["meta"].(tree)[tt.key] = tt.value
		tr["points"] = tree{"m": tree{be(5): b}}
		s := openShard(t, tr, influx.ShardOptions{Fields: func(string) []influx.Field { return []influx.Field{{ID: 3, Name: "b", Type: influx.Boolean}} }})
		all := slices.Concat(seriesOf(s), allPoints(s, "m"))
		errs, found := 0, false
		for _, line := range all {
			if strings.HasPrefix(line, "!") {
				errs++
				if !strings.Contains(line, tt.want) {
					t.Errorf("%s: %s", name, line)
				}
			}
			found = found || line == "5 b=true"
		}
		if errs != 1 || !found {
			t.Errorf("%s: %q", name, all)
		}
	}
	// Nothing but the format: a shard whose metadata were not written yet.
	s = openShard(t, tree{"meta": tree{"format": "bz1"}}, influx.ShardOptions{})
	same(t, "bare", seriesOf(s))
	same(t, "bare", allPoints(s, "m"))
}

// TestFieldsAsked holds that other copies of a shard are read only for points
// that need them, and then once for a measurement.
func TestFieldsAsked(t *testing.T) {
	tr := b1Shard()
	tr["m"] = tree{be(1): data(val{3, true}), be(2): data(val{9, true}), be(3): data(val{9, false}), be(4): data(val{8, true})}
	var asked []string
	s := openShard(t, tr, influx.ShardOptions{Fields: func(m string) []influx.Field {
		asked = append(asked, m)
		return []influx.Field{{ID: 9, Name: "late", Type: influx.Boolean}, {ID: 3, Name: "not this", Type: influx.Float}}
	}})
	for p, err := range s.Points("m", 1, 1) {
		if err != nil || len(p.Fields) != 1 {
			t.Errorf("%v, %v", p, err)
		}
	}
	if len(asked) != 0 {
		t.Errorf("asked for the fields of %q, which are all there", asked)
	}
	for range 2 {
		same(t, "m", allPoints(s, "m"), "1 b=true", "2 late=true", "3 late=false", `!decode key 0000000000000004 of bucket "m": field 8 is not defined`)
	}
	if fields, err := s.Fields("m"); err != nil || !slices.ContainsFunc(fields, func(f influx.Field) bool { return f.Name == "late" }) {
		t.Errorf("fields %v, %v", fields, err)
	}
	if !slices.Equal(asked, []string{"m"}) {
		t.Errorf("asked for %q", asked)
	}
}

// TestModel writes random points into shards of each engine and compares with
// a map.
func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for round := range 30 {
		want := map[string]map[int64]string{}
		set := func(series string, time int64, text string) {
			if want[series] == nil {
				want[series] = map[int64]string{}
			}
			want[series][time] = text
		}
		anyTime := func() int64 {
			switch rnd.IntN(10) {
			case 0:
				return math.MinInt64 + rnd.Int64N(3)
			case 1:
				return math.MaxInt64 - rnd.Int64N(3)
			case 2:
				return rnd.Int64() - rnd.Int64()
			}
			return rnd.Int64N(200) - 100
		}
		series := func() string { return fmt.Sprintf("m,t=%d", rnd.IntN(5)) }
		b1, bz1, rc := b1Shard(), bz1Shard(), rcShard()
		for n := range rnd.IntN(300) { // buckets
			key, at := series(), anyTime()
			if b1[key] == nil {
				b1[key] = tree{}
			}
			b1[key].(tree)[be(uint64(at))] = data(val{2, int64(n)})
			set(key, at, fmt.Sprintf("%d i=%d", at, n))
		}
		flushed := map[string][]int64{}
		for key, points := range want {
			for at := range points {
				flushed[key] = append(flushed[key], at)
			}
			slices.Sort(flushed[key])
			// The same as blocks, which do not overlap, and by number.
			blocks, byNumber := tree{}, tree{}
			for list := flushed[key]; len(list) > 0; {
				n := 1 + rnd.IntN(len(list))
				var entries []entry
				for _, at := range list[:n] {
					v := b1[key].(tree)[be(uint64(at))].(string)
					entries = append(entries, entry{at, v})
					byNumber[be(uint64(at))] = v
				}
				k, v := block(entries...)
				blocks[k] = v
				list = list[n:]
			}
			bz1["points"].(tree)[key] = blocks
			rc[be(uint64(key[4]-'0'))] = byNumber
		}
		compare := func(engine string, s *influx.Shard) {
			for i := range 6 {
				from, to := int64(math.MinInt64), int64(math.MaxInt64)
				if i > 0 {
					from, to = anyTime(), anyTime()
				}
				for n := range 5 {
					key := fmt.Sprintf("m,t=%d", n)
					var list []int64
					for at := range want[key] {
						if from <= at && at <= to {
							list = append(list, at)
						}
					}
					slices.Sort(list)
					var lines []string
					for _, at := range list {
						lines = append(lines, want[key][at])
					}
					same(t, fmt.Sprintf("round %d, %s, %s, %d to %d", round, engine, key, from, to), pointsOf(s, key, from, to), lines...)
				}
			}
		}
		compare("bz1", openShard(t, bz1, influx.ShardOptions{}))
		compare("rc", openShard(t, rc, influx.ShardOptions{Meta: openMeta(t, modelMeta().bytes(t)), ID: 4}))
		for n := range rnd.IntN(300) { // then the log
			key, at := series(), anyTime()
			b1.log(uint64(n), key, at, data(val{3, n%2 == 0}))
			set(key, at, fmt.Sprintf("%d b=%v", at, n%2 == 0))
		}
		compare("b1", openShard(t, b1, influx.ShardOptions{}))
	}
}
