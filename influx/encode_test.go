package influx_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/snapfs/snapfs/influx"
)

// val is a value of field number id.
type val struct {
	id uint8
	v  any
}

// data encodes the fields of a point, in the order given.
func data(list ...val) string {
	var b []byte
	for _, f := range list {
		b = append(b, f.id)
		switch v := f.v.(type) {
		case float64:
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
		case int64:
			b = binary.BigEndian.AppendUint64(b, uint64(v))
		case bool:
			b = append(b, map[bool]byte{true: 1}[v])
		case string:
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...)
		default:
			panic(fmt.Sprintf("type %T", v))
		}
	}
	return string(b)
}

// defs are the fields that tests use, as b1 has them.
func defs() string {
	return string(pb(1, pb(1, 1, 2, "f", 3, 1), 1, pb(1, 2, 2, "i", 3, 2), 1, pb(1, 3, 2, "b", 3, 3), 1, pb(1, 4, 2, "s", 3, 4), 1, pb(1, 5, 2, "odd", 3, 6)))
}

const jsonDefs = `{"fields":{"f":{"id":1,"name":"f","type":1},"i":{"id":2,"name":"i","type":2},"b":{"id":3,"name":"b","type":3},"s":{"id":4,"name":"s","type":4}},"Codec":{}}`

// b1Shard is a b1 shard with a measurement m.
func b1Shard() tree {
	wal := tree{}
	for p := range byte(8) {
		wal[string([]byte{p})] = tree{}
	}
	return tree{"fields": tree{"m": defs()}, "series": tree{}, "wal": wal}
}

// log adds an entry to the write-ahead log.
func (tr tree) log(seq uint64, series string, time int64, data string) {
	h := fnv.New64a()
	h.Write([]byte(series))
	part := tr["wal"].(tree)[string([]byte{byte(h.Sum64() % 8)})].(tree)
	part[be(seq)] = be(uint64(time)) + string(binary.BigEndian.AppendUint32(nil, uint32(len(series)))) + series + data
}

// entry is a point of a block.
type entry struct {
	time int64
	data string
}

// block encodes a block from its points: key and value.
func block(list ...entry) (key, value string) {
	var b []byte
	for _, e := range list {
		b = binary.BigEndian.AppendUint64(b, uint64(e.time))
		b = binary.BigEndian.AppendUint32(b, uint32(len(e.data)))
		b = append(b, e.data...)
	}
	return be(uint64(list[0].time)), be(uint64(list[len(list)-1].time)) + snap(string(b))
}

func snap(s string) string { return string(s2.EncodeSnappy(nil, []byte(s))) }

// bz1Shard is a bz1 shard with a measurement m.
func bz1Shard() tree {
	return tree{"meta": tree{"format": "bz1", "fields": snap(`{"m":` + jsonDefs + `}`)}, "points": tree{}}
}

func openShard(t testing.TB, tr tree, opts influx.ShardOptions) *influx.Shard {
	t.Helper()
	s, err := influx.OpenShard(open(t, tr.bytes(t)), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pointsOf returns the points of a series as text, errors as "!reason".
func pointsOf(s *influx.Shard, key string, from, to int64) []string {
	var out []string
	for p, err := range s.Points(key, from, to) {
		if err != nil {
			out = append(out, "!"+err.Error())
			continue
		}
		text := fmt.Sprint(p.Time)
		for _, f := range p.Fields {
			text += fmt.Sprintf(" %s=%v", f.Field.Name, f.Value)
		}
		out = append(out, text)
	}
	return out
}

func allPoints(s *influx.Shard, key string) []string {
	return pointsOf(s, key, math.MinInt64, math.MaxInt64)
}

// seriesOf returns the series of a shard as text, errors as "!reason".
func seriesOf(s *influx.Shard) []string {
	var out []string
	for series, err := range s.Series() {
		if err != nil {
			out = append(out, "!"+err.Error())
			continue
		}
		out = append(out, fmt.Sprintf("%s %q %q %v %v", series.Key, series.Measurement, series.Tags, series.Listed, series.Stored))
	}
	return out
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}
