package influx_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/snapfs/snapfs/influx"
)

// line is a line of line protocol as the client library of InfluxDB reads it.
type line struct {
	measurement string
	tags        []influx.Tag
	fields      map[string]any
	time        int64
}

// parse reads lines.
func parse(text []byte) ([]line, error) {
	var out []line
	dec := lineprotocol.NewDecoderWithBytes(text)
	for dec.Next() {
		var l line
		name, err := dec.Measurement()
		if err != nil {
			return nil, err
		}
		l.measurement = string(name)
		for {
			k, v, err := dec.NextTag()
			if err != nil {
				return nil, err
			}
			if k == nil {
				break
			}
			l.tags = append(l.tags, influx.Tag{Key: string(k), Value: string(v)})
		}
		l.fields = map[string]any{}
		for {
			k, v, err := dec.NextField()
			if err != nil {
				return nil, err
			}
			if k == nil {
				break
			}
			l.fields[string(k)] = v.Interface()
		}
		at, err := dec.Time(lineprotocol.Nanosecond, time.Time{})
		if err != nil {
			return nil, err
		}
		l.time = at.UnixNano()
		out = append(out, l)
	}
	return out, nil
}

func fieldValues(pairs ...any) []influx.FieldValue {
	var out []influx.FieldValue
	for i := 0; i < len(pairs); i += 2 {
		f := influx.FieldValue{Field: &influx.Field{Name: pairs[i].(string)}}
		switch v := pairs[i+1].(type) {
		case float64:
			f.Value = influx.FloatValue(v)
		case int64:
			f.Value = influx.IntegerValue(v)
		case bool:
			f.Value = influx.BooleanValue(v)
		case string:
			f.Value = influx.StringValue([]byte(v))
		}
		out = append(out, f)
	}
	return out
}

func TestAppendPoint(t *testing.T) {
	for _, tt := range []struct {
		measurement string
		tags        []influx.Tag
		fields      []influx.FieldValue
		time        int64
		want        string
	}{
		{"cpu", nil, fieldValues("v", 1.0), 0, "cpu v=1 0\n"},
		{"cpu", []influx.Tag{{"host", "a"}, {"region", "eu west"}}, fieldValues("v", int64(42)), 1, `cpu,host=a,region=eu\ west v=42i 1` + "\n"},
		{"m, =\\n", []influx.Tag{{"k, =", `v, =\x`}}, fieldValues("f, =", true), -1, `m\,\ =\n,k\,\ \==v\,\ \=\x f\,\ \==true -1` + "\n"},
		{"größe", []influx.Tag{{"東", "京"}, {"z", "a\"b"}}, fieldValues("ß", "é"), 5, "größe,東=京,z=a\"b ß=\"é\" 5\n"},
		{"m", nil, fieldValues("s", `a "quoted" \ and \n`+"\nnew, line=1"), 5, `m s="a \"quoted\" \\ and \\n` + "\n" + `new, line=1" 5` + "\n"},
		{"m", nil, fieldValues("s", ""), 5, "m s=\"\" 5\n"},
		{"m", nil, fieldValues("a", false, "b", int64(math.MinInt64), "c", int64(math.MaxInt64)), math.MinInt64,
			"m a=false,b=-9223372036854775808i,c=9223372036854775807i -9223372036854775808\n"},
		{"m", nil, fieldValues("a", 0.1, "b", 0.0, "c", 1e20, "d", 1e21, "e", 1e-6, "f", 9.9e-7, "g", math.MaxFloat64, "h", math.SmallestNonzeroFloat64),
			math.MaxInt64, "m a=0.1,b=0,c=100000000000000000000,d=1e+21,e=0.000001,f=9.9e-07,g=1.7976931348623157e+308,h=5e-324 9223372036854775807\n"},
		{"m", nil, fieldValues("z", math.Copysign(0, -1), "third", 1.0/3), 5, "m z=-0,third=0.3333333333333333 5\n"},
		{"m", []influx.Tag{{"a", ""}, {"b", "x"}}, fieldValues("f", 1.5), 5, "m,b=x f=1.5 5\n"},
	} {
		series, err := influx.AppendSeries([]byte("before"), tt.measurement, tt.tags)
		if err != nil {
			t.Errorf("%q: %v", tt.want, err)
			continue
		}
		p := influx.Point{Time: tt.time, Fields: tt.fields}
		got, err := influx.AppendPoint([]byte("# before\n"), series[len("before"):], p, 0)
		if err != nil || string(got) != "# before\n"+tt.want {
			t.Errorf("%q, %v, want %q", got, err, tt.want)
		}
		lines, err := parse(got)
		if err != nil || len(lines) != 1 {
			t.Errorf("%q does not parse: %v", got, err)
			continue
		}
		tags := tt.tags
		for len(tags) > 0 && tags[0].Value == "" {
			tags = tags[1:]
		}
		l := lines[0]
		if l.measurement != tt.measurement || fmt.Sprint(l.tags) != fmt.Sprint(tags) || l.time != tt.time || !sameValues(l.fields, values(p)) {
			t.Errorf("%q parses as %v", got, l)
		}
	}
}

func TestPrecision(t *testing.T) {
	for _, tt := range []struct {
		prec influx.Precision
		time int64
		want string
	}{
		{0, 1999999999, "1999999999"},
		{influx.Nanosecond, -1, "-1"},
		{influx.Microsecond, 1999999999, "1999999"},
		{influx.Millisecond, 1999999999, "1999"},
		{influx.Second, 1999999999, "1"},
		{influx.Second, -1, "-1"},
		{influx.Second, -1000000000, "-1"},
		{influx.Second, -1000000001, "-2"},
		{influx.Second, math.MinInt64, "-9223372037"},
	} {
		got, err := influx.AppendPoint(nil, []byte("m"), influx.Point{Time: tt.time, Fields: fieldValues("b", true)}, tt.prec)
		if want := "m b=true " + tt.want + "\n"; err != nil || string(got) != want {
			t.Errorf("%d in %d: %q, %v, want %q", tt.time, tt.prec, got, err, want)
		}
	}
}

func TestAppendBad(t *testing.T) {
	for _, tt := range []struct {
		measurement, key, value string
	}{
		{"", "k", "v"}, {"#m", "k", "v"}, {`m\`, "k", "v"}, {"m\n", "k", "v"},
		{"m", "", "v"}, {"m", `k\`, "v"}, {"m", "k", `v\`}, {"m", "k", "v\n"}, {"m", "k\r", "v"},
	} {
		got, err := influx.AppendSeries([]byte("x"), tt.measurement, []influx.Tag{{Key: "a", Value: "b"}, {Key: tt.key, Value: tt.value}})
		var bad *influx.LineError
		if string(got) != "x" || !errors.Is(err, influx.ErrLine) || !errors.As(err, &bad) || bad.Skipped != 0 {
			t.Errorf("%q: %q, %v", tt, got, err)
		}
	}
	for _, tt := range []struct {
		fields  []influx.FieldValue
		want    string
		skipped int
		err     error
		reason  string
	}{
		{fieldValues("a", math.NaN(), "b", 1.0, "c", math.Inf(1), "d", true), "m b=1,d=true 5\n", 2, influx.ErrNonFinite, `"a" as line protocol: value is NaN`},
		{fieldValues("a", math.Inf(-1)), "", 1, influx.ErrNonFinite, "-Inf"},
		{fieldValues(`a\`, 1.0, "b", math.NaN(), "c", true), "m c=true 5\n", 2, influx.ErrLine, "backslash"},
		{fieldValues("", 1.0), "", 1, influx.ErrLine, "empty"},
		{fieldValues("a\nb", 1.0, "b", "x"), "m b=\"x\" 5\n", 1, influx.ErrLine, "line break"},
		{fieldValues("a", nil), "", 1, influx.ErrLine, "no type"},
		{nil, "", 0, influx.ErrLine, "no fields"},
	} {
		got, err := influx.AppendPoint([]byte("x"), []byte("m"), influx.Point{Time: 5, Fields: tt.fields}, 0)
		var bad *influx.LineError
		if string(got) != "x"+tt.want || !errors.Is(err, tt.err) || !errors.As(err, &bad) || bad.Skipped != tt.skipped || !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%v: %q, %v", tt.fields, got, err)
		}
	}
}

// TestLines writes all points of a shard and reads them back.
func TestLines(t *testing.T) {
	tr := b1Shard()
	tr["m,a=1"] = tree{
		be(1): data(val{1, 0.5}, val{2, int64(-3)}, val{3, true}, val{4, "two\nlines \\ \"q\""}),
		be(2): data(val{1, math.NaN()}, val{3, false}),
		be(3): data(val{1, math.NaN()}),
	}
	s := openShard(t, tr, influx.ShardOptions{})
	var out []byte
	skipped := 0
	for p, err := range s.Points("m,a=1", math.MinInt64, math.MaxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		var bad *influx.LineError
		if out, err = influx.AppendPoint(out, []byte("m,a=1"), p, influx.Nanosecond); errors.As(err, &bad) {
			skipped += bad.Skipped
		}
	}
	const want = "m,a=1 b=true,f=0.5,i=-3i,s=\"two\nlines \\\\ \\\"q\\\"\" 1\nm,a=1 b=false 2\n"
	if string(out) != want || skipped != 2 {
		t.Errorf("%q, %d skipped, want %q", out, skipped, want)
	}
	lines, err := parse(out)
	if err != nil || len(lines) != 2 || lines[0].fields["s"] != "two\nlines \\ \"q\"" {
		t.Errorf("%v, %v", lines, err)
	}
}
