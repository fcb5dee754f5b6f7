package export_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// sampleTree opens the sample chain.
func sampleTree(t testing.TB, opts space.Options) *space.Tree {
	t.Helper()
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return openTree(t, path, opts)
}

func openTree(t testing.TB, path string, opts space.Options) *space.Tree {
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
	return tree
}

// shardSet returns the data of a chain with one shard, db/rp/1.
func shardSet(t testing.TB, points ...sample.Point) *dataset.Set {
	t.Helper()
	data, err := sample.Shard{Flushed: points}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/snap"
	if err := sample.Write(path, sample.Layer{Time: sample.Start, Files: []sample.File{{Name: "db/rp/1", Data: data, Modified: sample.Start}}}); err != nil {
		t.Fatal(err)
	}
	return openTree(t, path, space.Options{}).Data()
}

func write(t testing.TB, set *dataset.Set, o export.Options) (string, export.Report) {
	t.Helper()
	var b bytes.Buffer
	r, err := export.Write(t.Context(), &b, set, o, "")
	if err != nil {
		t.Fatal(err)
	}
	if r.Bytes != int64(b.Len()) {
		t.Errorf("%d bytes, report %d", b.Len(), r.Bytes)
	}
	return b.String(), r
}

func unix(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func TestFormats(t *testing.T) {
	set := shardSet(t,
		sample.Point{Series: `m,a=x,b=ü`, Time: unix(-1), Fields: map[string]any{"f": 1.0, "i": int64(math.MaxInt64), "b": true, "s": "a \"q\"\\\n\x01\xff,é"}},
		sample.Point{Series: `m,a=x,b=ü`, Time: unix(1e18), Fields: map[string]any{"f": 1e-7}},
		sample.Point{Series: "n", Time: unix(0), Fields: map[string]any{"f": math.Copysign(0, -1), "s": ""}},
	)
	header := "# DDL\nCREATE DATABASE \"db\"\nCREATE RETENTION POLICY \"rp\" ON \"db\" DURATION INF REPLICATION 1\n\n# DML\n# CONTEXT-DATABASE: db\n# CONTEXT-RETENTION-POLICY: rp\n"
	lines := `m,a=x,b=ü b=true,f=1,i=9223372036854775807i,s="a \"q\"\\` + "\n\x01\xff,é\" -1\n" +
		`m,a=x,b=ü f=1e-07 1000000000000000000` + "\n" +
		`n f=-0,s="" 0` + "\n"
	row := `db,rp,m,"a=x,b=ü",`
	for _, tt := range []struct {
		o    export.Options
		want string
	}{
		{export.Options{}, header + lines},
		{export.Options{LinesOnly: true}, lines},
		{export.Options{LinesOnly: true, Filter: dataset.Filter{Measurement: "n"}}, "n f=-0,s=\"\" 0\n"},
		{export.Options{Format: export.CSV}, "database,policy,measurement,tags,time,field,type,value\n" +
			row + "-1,b,boolean,true\n" + row + "-1,f,float,1.0\n" + row + "-1,i,integer,9223372036854775807\n" +
			row + "-1,s,string,\"a \"\"q\"\"\\\n\x01\xff,é\"\n" + row + "1000000000000000000,f,float,1e-07\n" +
			"db,rp,n,\"\",0,f,float,-0.0\ndb,rp,n,\"\",0,s,string,\"\"\n"},
		{export.Options{Format: export.JSONLines, Databases: map[string]string{"db": "new"}, Policies: map[string]string{"rp": ""}},
			`{"database":"new","policy":"","measurement":"m","tags":{"a":"x","b":"ü"},"time":-1,"fields":{"b":true,"f":1.0,"i":9223372036854775807,"s":"a \"q\"\\\n\u0001\udcff,é"}}` + "\n" +
				`{"database":"new","policy":"","measurement":"m","tags":{"a":"x","b":"ü"},"time":1000000000000000000,"fields":{"f":1e-07}}` + "\n" +
				`{"database":"new","policy":"","measurement":"n","tags":{},"time":0,"fields":{"f":-0.0,"s":""}}` + "\n"},
		{export.Options{LinesOnly: true, Precision: influx.Second, Filter: dataset.Filter{Series: "m*"}, NonFinite: export.NonFiniteFail},
			strings.ReplaceAll(strings.ReplaceAll(lines[:strings.Index(lines, "n f=-0")], "1000000000000000000", "1000000000"), " -1\n", " -1\n")},
	} {
		got, r := write(t, set, tt.o)
		if got != tt.want {
			t.Errorf("%+v:\n%q, want\n%q", tt.o, got, tt.want)
		}
		if r.Lost() || r.NonFinite != 0 || r.SameTime != 0 {
			t.Errorf("%+v", r)
		}
	}
	if _, r := write(t, set, export.Options{}); r.LineBreaks != 1 || r.Points != 3 || r.Series != 2 {
		t.Errorf("%+v", r)
	}
	for _, o := range []export.Options{{Format: "x"}, {NonFinite: "x"}, {Precision: 5}, {Checkpoint: "x"}} {
		if _, err := export.Write(t.Context(), io.Discard, set, o, ""); !errors.Is(err, export.ErrOption) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := export.Write(t.Context(), io.Discard, set, export.Options{Databases: map[string]string{"db": "a:b"}}, ""); !errors.Is(err, export.ErrName) {
		t.Error(err)
	}
}

func TestNonFinite(t *testing.T) {
	set := shardSet(t,
		sample.Point{Series: "m", Time: unix(1), Fields: map[string]any{"a": math.NaN(), "b": 1.5}},
		sample.Point{Series: "m", Time: unix(2), Fields: map[string]any{"a": math.Inf(1), "b": math.Inf(-1)}},
		sample.Point{Series: "m", Time: unix(3), Fields: map[string]any{"a": math.MaxFloat64, "b": 2.0}},
	)
	for _, tt := range []struct {
		how    export.NonFinite
		format export.Format
		want   string
		points int64
	}{
		{"", "", "m b=1.5 1\nm a=1.7976931348623157e+308,b=2 3\n", 2},
		{"string", "", "m a=\"NaN\",b=1.5 1\nm a=\"+Inf\",b=\"-Inf\" 2\nm a=1.7976931348623157e+308,b=2 3\n", 3},
		{"string", export.CSV, "database,policy,measurement,tags,time,field,type,value\ndb,rp,m,\"\",1,a,string,NaN\ndb,rp,m,\"\",1,b,float,1.5\n" +
			"db,rp,m,\"\",2,a,string,+Inf\ndb,rp,m,\"\",2,b,string,-Inf\ndb,rp,m,\"\",3,a,float,1.7976931348623157e+308\ndb,rp,m,\"\",3,b,float,2.0\n", 3},
	} {
		got, r := write(t, set, export.Options{LinesOnly: true, NonFinite: tt.how, Format: tt.format})
		if got != tt.want || r.NonFinite != 3 || r.Points != tt.points || r.Lost() {
			t.Errorf("%s: %+v\n%s, want\n%s", tt.how, r, got, tt.want)
		}
	}
	_, err := export.Write(t.Context(), io.Discard, set, export.Options{NonFinite: export.NonFiniteFail}, "")
	if !errors.Is(err, export.ErrNonFinite) {
		t.Error(err)
	}
}

// TestUnwritable: what line protocol has no way to write is counted and told.
func TestUnwritable(t *testing.T) {
	set := shardSet(t,
		sample.Point{Series: "#m", Time: unix(1), Fields: map[string]any{"a": 1.0}},
		sample.Point{Series: "#m", Time: unix(2), Fields: map[string]any{"a": 1.0}},
		sample.Point{Series: "m", Time: unix(1), Fields: map[string]any{"a\nb": 1.0, "c": 2.0}},
		sample.Point{Series: "m", Time: unix(2), Fields: map[string]any{"a\nb": 1.0}},
		sample.Point{Series: "m", Time: unix(3), Fields: map[string]any{"c": 1.0}},
	)
	got, r := write(t, set, export.Options{LinesOnly: true})
	if got != "m c=2 1\nm c=1 3\n" || r.Unwritable != 4 || r.Points != 2 || !r.Lost() || len(r.Errors) != 3 || !errors.Is(r.Errors[0], influx.ErrLine) {
		t.Errorf("%q %+v", got, r)
	}
	if _, r := write(t, set, export.Options{Format: export.JSONLines}); r.Lost() || r.Points != 5 {
		t.Errorf("%+v", r)
	}
	set = shardSet(t,
		sample.Point{Series: "m", Time: unix(1e9), Fields: map[string]any{"c": 2.0}},
		sample.Point{Series: "m", Time: unix(1e9 + 1), Fields: map[string]any{"c": 2.0}},
		sample.Point{Series: "n", Time: unix(1e9), Fields: map[string]any{"c": 2.0}},
	)
	if _, r := write(t, set, export.Options{Precision: influx.Second}); r.SameTime != 1 || r.Points != 3 {
		t.Errorf("%+v", r)
	}
}

// TestDamage: a shard that cannot be read is an error in the report, and the
// others are written.
func TestDamage(t *testing.T) {
	data, err := sample.Shard{Flushed: []sample.Point{{Series: "m", Time: unix(1), Fields: map[string]any{"a": 1.0}}}}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/snap"
	if err := sample.Write(path, sample.Layer{Time: sample.Start, Files: []sample.File{
		{Name: "a/rp/1", Data: []byte("torn"), Modified: sample.Start}, {Name: "b/rp/2", Data: data, Modified: sample.Start}}}); err != nil {
		t.Fatal(err)
	}
	got, r := write(t, openTree(t, path, space.Options{}).Data(), export.Options{LinesOnly: true})
	var se *dataset.ShardError
	if got != "m a=1 1\n" || r.Unreadable != 1 || len(r.Errors) != 1 || !errors.As(r.Errors[0], &se) || se.Path != "a/rp/1" {
		t.Errorf("%q %+v", got, r)
	}
}

// TestOrder: however many work on it, and in pieces of whatever size, the output
// is the same, and it is what the dataset has.
func TestOrder(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	want, first := write(t, set, export.Options{Workers: 1})
	for _, workers := range []int{1, 2, 5} {
		for _, weight := range []int64{1, 1000, 50_000} {
			o := export.Options{Workers: workers}
			o.SetTaskWeight(weight)
			var last export.Progress
			o.Progress = func(p export.Progress) {
				if p.Points < last.Points || p.Bytes < last.Bytes || p.Bytes > p.TotalBytes {
					t.Errorf("progress %+v after %+v", p, last)
				}
				last = p
			}
			got, r := write(t, set, o)
			if got != want || r.Points != first.Points || r.Series != first.Series || last.Points != r.Points {
				t.Errorf("%d workers, weight %d: another output", workers, weight)
			}
		}
	}
	points := map[at]fields{}
	for s, err := range set.Series(dataset.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		for p, err := range set.Points(s, dataset.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			f := fields{}
			for _, v := range p.Fields {
				f[v.Field.Name] = v.Value.Any()
			}
			points[at{s.Database, s.Policy, id(s.Measurement, tagMap(s.Tags)), p.Time}] = f
		}
	}
	for _, format := range []export.Format{export.LineProtocol, export.CSV, export.JSONLines} {
		text, _ := write(t, set, export.Options{Format: format})
		got := parse(t, format, []byte(text))
		if len(got.points) != len(points) || int64(len(points)) != first.Points {
			t.Errorf("%s: %d points, want %d", format, len(got.points), len(points))
		}
		for a, f := range points {
			if !same(got.points[a], f) {
				t.Errorf("%s: %v is %v, want %v", format, a, got.points[a], f)
			}
		}
	}
}

func TestCompression(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	want, _ := write(t, set, export.Options{})
	for _, c := range []export.Compression{export.Gzip, export.Zstd} {
		var b bytes.Buffer
		if _, err := export.Write(t.Context(), &b, set, export.Options{}, c); err != nil {
			t.Fatal(err)
		}
		if got := decompress(t, c, &b); got != want {
			t.Errorf("%s: another output", c)
		}
	}
	if _, err := export.Write(t.Context(), io.Discard, set, export.Options{}, "lzw"); !errors.Is(err, export.ErrOption) {
		t.Error(err)
	}
}

func decompress(t *testing.T, c export.Compression, r io.Reader) string {
	t.Helper()
	var err error
	switch c {
	case export.Gzip:
		r, err = gzip.NewReader(r)
	case export.Zstd:
		var z *zstd.Decoder
		z, err = zstd.NewReader(r)
		defer z.Close()
		r = z
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// errFull is the error of fullWriter.
var errFull = errors.New("full")

// fullWriter takes some bytes.
type fullWriter int

func (w *fullWriter) Write(b []byte) (int, error) {
	n := min(len(b), int(*w))
	*w -= fullWriter(n)
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

// TestFull: an error of the writer ends the export, wherever it comes.
func TestFull(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	for _, c := range []export.Compression{"", export.Gzip, export.Zstd} {
		for _, n := range []int{0, 10, 400, 2000} {
			w := fullWriter(n)
			o := export.Options{}
			o.SetTaskWeight(1)
			if _, err := export.Write(t.Context(), &w, set, o, c); !errors.Is(err, errFull) {
				t.Errorf("%q, %d bytes: %v", c, n, err)
			}
		}
	}
}
