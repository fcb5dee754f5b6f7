package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/influx"
)

// at names a point.
type at struct {
	database, policy, series string
	time                     int64
}

// fields are the values of a point: float64, int64, bool or string.
type fields map[string]any

// id is a series as text, whatever the order of its tags. Tags without a value
// are none, as servers have it.
func id(measurement string, tags map[string]string) string {
	s := fmt.Sprintf("%q", measurement)
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if tags[k] != "" {
			s += fmt.Sprintf(" %q=%q", k, tags[k])
		}
	}
	return s
}

func idOfKey(t testing.TB, key string) string {
	t.Helper()
	m, tags, err := influx.ParseSeriesKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id(m, tagMap(tags))
}

func tagMap(tags []influx.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

// same compares values and types, floats by their bits.
func same(a, b fields) bool {
	return maps.EqualFunc(a, b, func(x, y any) bool {
		fx, ok1 := x.(float64)
		fy, ok2 := y.(float64)
		if ok1 && ok2 {
			return math.Float64bits(fx) == math.Float64bits(fy)
		}
		return x == y
	})
}

// parsed is what an export says, in its order.
type parsed struct {
	order  []at
	points map[at]fields
}

func (p *parsed) add(t testing.TB, a at, f fields, merge bool) {
	t.Helper()
	have := p.points[a]
	if have == nil {
		p.order = append(p.order, a)
		p.points[a] = f
		return
	}
	if !merge || p.order[len(p.order)-1] != a {
		t.Fatalf("%v is there twice", a)
	}
	maps.Copy(have, f)
}

// parse reads an export with other programs' parsers.
func parse(t testing.TB, f export.Format, data []byte) *parsed {
	t.Helper()
	p := &parsed{points: map[at]fields{}}
	switch f {
	case export.CSV:
		p.csv(t, data)
	case export.JSONLines:
		p.json(t, data)
	default:
		p.lines(t, data)
	}
	return p
}

func (p *parsed) lines(t testing.TB, data []byte) {
	t.Helper()
	var a at
	// The parser skips comments, so each part is parsed by itself.
	for len(data) > 0 {
		if data[0] == '#' || data[0] == '\n' || bytes.HasPrefix(data, []byte("CREATE ")) {
			line, rest, _ := bytes.Cut(data, []byte("\n"))
			if s, ok := strings.CutPrefix(string(line), "# CONTEXT-DATABASE: "); ok {
				a.database = s
			} else if s, ok := strings.CutPrefix(string(line), "# CONTEXT-RETENTION-POLICY: "); ok {
				a.policy = s
			}
			data = rest
			continue
		}
		part := data
		if i := bytes.Index(data, []byte("\n# CONTEXT-")); i >= 0 {
			part = data[:i+1]
		}
		data = data[len(part):]
		for d := lineprotocol.NewDecoderWithBytes(part); d.Next(); {
			p.line(t, d, a)
		}
	}
}

func (p *parsed) line(t testing.TB, d *lineprotocol.Decoder, a at) {
	t.Helper()
	m, err := d.Measurement()
	if err != nil {
		t.Fatal(err)
	}
	measurement := string(m)
	tags := map[string]string{}
	for {
		k, v, err := d.NextTag()
		if err != nil {
			t.Fatal(err)
		}
		if k == nil {
			break
		}
		tags[string(k)] = string(v)
	}
	f := fields{}
	for {
		k, v, err := d.NextField()
		if err != nil {
			t.Fatal(err)
		}
		if k == nil {
			break
		}
		f[string(k)] = v.Interface()
	}
	tm, err := d.TimeBytes()
	if err == nil {
		a.time, err = strconv.ParseInt(string(tm), 10, 64)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.series = id(measurement, tags)
	p.add(t, a, f, false)
}

func (p *parsed) csv(t testing.TB, data []byte) {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(data))
	head, err := r.Read()
	if err != nil || strings.Join(head, " ") != "database policy measurement tags time field type value" {
		t.Fatalf("head %q, %v", head, err)
	}
	for {
		row, err := r.Read()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		a := at{database: row[0], policy: row[1], series: id(row[2], nil)}
		if row[3] != "" {
			_, tags, err := influx.ParseSeriesKey("m," + row[3])
			if err != nil {
				t.Fatal(err)
			}
			a.series = id(row[2], tagMap(tags))
		}
		if a.time, err = strconv.ParseInt(row[4], 10, 64); err != nil {
			t.Fatal(err)
		}
		p.add(t, a, fields{row[5]: typed(t, row[6], row[7])}, true)
	}
}

// typed returns a value of a type by its name.
func typed(t testing.TB, typ, text string) (v any) {
	t.Helper()
	var err error
	switch typ {
	case "float":
		v, err = strconv.ParseFloat(text, 64)
	case "integer":
		v, err = strconv.ParseInt(text, 10, 64)
	case "boolean":
		v, err = strconv.ParseBool(text)
	case "string":
		v = text
	default:
		err = fmt.Errorf("type %q", typ)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (p *parsed) json(t testing.TB, data []byte) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	d.DisallowUnknownFields()
	for {
		var o struct {
			Database, Policy, Measurement string
			Tags                          map[string]string
			Time                          int64
			Fields                        fields
		}
		if err := d.Decode(&o); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		for k, v := range o.Fields {
			n, ok := v.(json.Number)
			switch {
			case !ok:
			case strings.ContainsAny(n.String(), ".eE"):
				o.Fields[k] = typed(t, "float", n.String())
			default:
				o.Fields[k] = typed(t, "integer", n.String())
			}
		}
		p.add(t, at{o.Database, o.Policy, id(o.Measurement, o.Tags), o.Time}, o.Fields, false)
	}
}
