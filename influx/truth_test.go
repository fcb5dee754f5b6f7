package influx_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/influx"
)

// truth is a shard as InfluxDB's own engine reads it.
type truth struct {
	Format string                `json:"format"`
	Keys   []string              `json:"series_keys"`
	WAL    int                   `json:"wal_entries_before_flush"`
	points map[at]map[string]any // nil: InfluxDB cannot decode the point
}

// at names a point.
type at struct {
	series string
	time   int64
}

// readTruth returns the truth on a member of a tar, nil if there is none.
func readTruth(t *testing.T, tar, name string) *truth {
	t.Helper()
	file := strings.ReplaceAll(strings.ReplaceAll(name, "..", "DOTDOT"), "/", "__") + ".jsonl"
	f, err := os.Open(filepath.Join(filepath.Dir(tar), "truth", "shards", filepath.Base(tar), file))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	if !lines.Scan() {
		t.Fatalf("%s is empty: %v", f.Name(), lines.Err())
	}
	tr := &truth{points: map[at]map[string]any{}}
	if err := json.Unmarshal(lines.Bytes(), tr); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		var p struct {
			Series, Time string
			Fields       map[string]json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		ns, err := strconv.ParseInt(p.Time, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		fields := map[string]any{}
		if _, bad := p.Fields["?"]; bad {
			fields = nil
		} else {
			for k, raw := range p.Fields {
				fields[k] = truthValue(t, raw)
			}
		}
		tr.points[at{p.Series, ns}] = fields
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	return tr
}

// truthValue decodes {"float":"1.5"}.
func truthValue(t *testing.T, raw json.RawMessage) any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil || len(v) != 1 {
		t.Fatalf("%s: %v", raw, err)
	}
	var out any
	var err error
	for typ, x := range v {
		switch typ {
		case "float":
			out, err = strconv.ParseFloat(x.(string), 64)
		case "integer":
			out, err = strconv.ParseInt(x.(string), 10, 64)
		case "boolean":
			out = x.(bool)
		case "string":
			out = x.(string)
		default:
			t.Fatalf("type %q", typ)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// values returns the fields of a point.
func values(p influx.Point) map[string]any {
	m := map[string]any{}
	for _, f := range p.Fields {
		m[f.Field.Name] = f.Value.Any()
	}
	return m
}

// sameValues compares values and types, floats by their bits.
func sameValues(a, b map[string]any) bool {
	if len(a) != len(b) {
		return false
	}
	for k, x := range a {
		y, ok := b[k]
		if fx, isFloat := x.(float64); isFloat {
			fy, isFloat := y.(float64)
			if !isFloat || math.Float64bits(fx) != math.Float64bits(fy) {
				return false
			}
		} else if !ok || x != y {
			return false
		}
	}
	return true
}

// contents reads all of a shard. Points that do not decode are nil; other errors
// are returned.
func contents(t testing.TB, s *influx.Shard) (points map[at]map[string]any, keys []string, errs []error) {
	t.Helper()
	points = map[at]map[string]any{}
	for series, err := range s.Series() {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if len(keys) > 0 && keys[len(keys)-1] >= series.Key {
			t.Errorf("series %q after %q", series.Key, keys[len(keys)-1])
		}
		keys = append(keys, series.Key)
		if m, tags, err := influx.ParseSeriesKey(series.Key); err == nil && (m != series.Measurement || !slices.Equal(tags, series.Tags)) {
			t.Errorf("series %q has measurement %q, tags %q", series.Key, series.Measurement, series.Tags)
		}
		first, last := true, int64(0)
		for p, err := range s.Points(series.Key, math.MinInt64, math.MaxInt64) {
			var bad *influx.ValueError
			switch {
			case err == nil:
				points[at{series.Key, p.Time}] = values(p)
			case errors.As(err, &bad) && bad.Time != 0:
				p.Time = bad.Time
				points[at{series.Key, p.Time}] = nil
			default:
				errs = append(errs, err)
				continue
			}
			if !first && p.Time <= last {
				t.Errorf("series %q: time %d after %d", series.Key, p.Time, last)
			}
			first, last = false, p.Time
		}
	}
	return points, keys, errs
}

// TestShardTruth compares every shard that InfluxDB's own code has read.
func TestShardTruth(t *testing.T) {
	for chain, tars := range layers(t) {
		shards, equal, undecoded, wrong := 0, 0, 0, 0
		for _, tar := range tars {
			for name, data := range members(t, tar) {
				want := readTruth(t, tar, name)
				if want == nil {
					continue
				}
				shards++
				s, err := influx.OpenShard(open(t, data), influx.ShardOptions{})
				if err != nil {
					t.Errorf("%s: %s: %v", tar, name, err)
					continue
				}
				e, err := influx.DetectEngine(bytes.NewReader(data), int64(len(data)))
				if string(s.Engine()) != want.Format || e != s.Engine() || err != nil {
					t.Errorf("%s: %s: engine %s, %s, %v, want %s", tar, name, s.Engine(), e, err, want.Format)
				}
				got, keys, errs := contents(t, s)
				for _, err := range errs {
					t.Errorf("%s: %s: %v", tar, name, err)
				}
				for _, key := range want.Keys {
					if !slices.Contains(keys, key) {
						t.Errorf("%s: %s: no series %q", tar, name, key)
					}
				}
				for p, fields := range want.points {
					g, ok := got[p]
					switch {
					case !ok || (g == nil) != (fields == nil) || !sameValues(g, fields):
						wrong++
						t.Errorf("%s: %s: %v is %v, want %v", tar, name, p, g, fields)
					case fields == nil:
						undecoded++
					default:
						equal++
					}
				}
				for p, fields := range got {
					if _, ok := want.points[p]; !ok {
						wrong++
						t.Errorf("%s: %s: %v is %v, and nobody wants it", tar, name, p, fields)
					}
				}
			}
		}
		t.Logf("%s: %d shards, %d points equal, %d rightly not decoded, %d wrong", chain, shards, equal, undecoded, wrong)
	}
}

// TestLateDefinitions decodes points whose fields a shard does not define yet
// with the definitions of later copies of the shard, and finds in those copies
// the same values.
func TestLateDefinitions(t *testing.T) {
	for chain, tars := range layers(t) {
		copies := map[string][]*influx.Shard{}
		for _, tar := range tars {
			for name, data := range members(t, tar) {
				if name == "manifest" || name == "meta" {
					continue
				}
				s, err := influx.OpenShard(open(t, data), influx.ShardOptions{})
				if err != nil {
					t.Fatal(err)
				}
				copies[name] = append(copies[name], s)
			}
		}
		decoded, differ, left := 0, 0, 0
		for _, tar := range tars {
			for name, data := range members(t, tar) {
				want := readTruth(t, tar, name)
				if want == nil {
					continue
				}
				s, err := influx.OpenShard(open(t, data), influx.ShardOptions{Fields: func(m string) []influx.Field {
					var all []influx.Field
					for _, c := range copies[name] {
						f, err := c.Fields(m)
						if err != nil {
							t.Error(err)
						}
						all = append(all, f...)
					}
					return all
				}})
				if err != nil {
					t.Fatal(err)
				}
				got, _, _ := contents(t, s)
				last, _, _ := contents(t, copies[name][len(copies[name])-1])
				for p, fields := range want.points {
					if fields != nil {
						continue
					}
					switch {
					case got[p] == nil:
						left++
					case last[p] != nil && !sameValues(got[p], last[p]):
						differ++
						t.Errorf("%s: %s: %v is %v, later %v", tar, name, p, got[p], last[p])
					default:
						decoded++
					}
				}
			}
		}
		t.Logf("%s: of the points that InfluxDB cannot decode %d decode, %d of them not as later, %d do not", chain, decoded, differ, left)
	}
}
