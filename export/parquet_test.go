package export_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// parquet reads a Parquet file, with times in a unit.
func (p *parsed) parquet(t testing.TB, data []byte, unit int64) (columns []string) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	meta := func(key string) string {
		v, ok := f.Lookup(key)
		if !ok {
			t.Fatalf("no %s", key)
		}
		return v
	}
	var cols []struct{ Column, Kind, Name, Type string }
	if err := json.Unmarshal([]byte(meta("snapfs.columns")), &cols); err != nil {
		t.Fatal(err)
	}
	for i, c := range f.Schema().Columns() {
		if len(c) != 1 || c[0] != cols[i].Column {
			t.Fatalf("column %d is %q, said to be %+v", i, c, cols[i])
		}
		leaf, _ := f.Schema().Lookup(c...)
		columns = append(columns, c[0]+" "+leaf.Node.Type().String())
	}
	var before int64
	for _, group := range f.RowGroups() {
		rows := group.Rows()
		buf := make([]parquet.Row, 100)
		for {
			n, err := rows.ReadRows(buf)
			for _, row := range buf[:n] {
				a := at{database: meta("snapfs.database"), policy: meta("snapfs.policy")}
				tags, values := map[string]string{}, fields{}
				for i, v := range row {
					switch c := cols[i]; {
					case v.IsNull():
					case c.Kind == "time":
						a.time = v.Int64() * unit
					case c.Kind == "tag":
						tags[c.Name] = v.String()
					case c.Type == "float":
						values[c.Name] = v.Double()
					case c.Type == "integer":
						values[c.Name] = v.Int64()
					case c.Type == "boolean":
						values[c.Name] = v.Boolean()
					case c.Type == "string":
						values[c.Name] = string(v.ByteArray())
					default:
						t.Fatalf("column %+v", c)
					}
				}
				a.series = id(meta("snapfs.measurement"), tags)
				p.add(t, a, values, false)
				if len(tags) == 0 && len(p.order) > 1 && p.order[len(p.order)-2].series == a.series && a.time <= before {
					t.Errorf("%v after %d", a, before)
				}
				before = a.time
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return columns
}

// TestParquet: tables that are read back have the points of line protocol.
func TestParquet(t *testing.T) {
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, snap := range append(realchains.All(t), path) {
		set := openTree(t, snap, space.Options{}).Data()
		text, r := write(t, set, export.Options{LinesOnly: false})
		want := parse(t, export.LineProtocol, []byte(text))
		dir := t.TempDir() + "/new/out"
		o := export.Options{Format: export.Parquet}
		var last export.Progress
		o.Progress = func(p export.Progress) { last = p }
		got, err := export.ToFiles(t.Context(), export.Files{Name: dir, Compression: export.Zstd}, set, o)
		if err != nil {
			t.Fatal(err)
		}
		if got.Points != r.Points || got.Series != r.Series || got.Unreadable != r.Unreadable || got.Unwritable != 0 || last.Points != r.Points || last.Bytes > last.TotalBytes {
			t.Errorf("%s: report %+v, want %+v; progress %+v", snap, got, r, last)
		}
		all := &parsed{points: map[at]fields{}}
		var bytes int64
		for _, name := range got.Files {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			bytes += int64(len(data))
			all.parquet(t, data, 1)
		}
		if bytes != got.Bytes {
			t.Errorf("%d bytes, reported %d", bytes, got.Bytes)
		}
		if !maps.EqualFunc(all.points, want.points, same) {
			t.Errorf("%s: %d points in %d files differ from %d of line protocol", snap, len(all.points), len(got.Files), len(want.points))
		}
		t.Logf("%s: %d points in %d files", snap, len(all.points), len(got.Files))
	}
}

// TestParquetTree shows names and columns.
func TestParquetTree(t *testing.T) {
	dir := t.TempDir()
	set := sampleTree(t, space.Options{}).Data()
	r, err := export.ToFiles(t.Context(), export.Files{Name: dir}, set, export.Options{Format: export.Parquet, Policies: map[string]string{"week": ".a/b"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range r.Files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		p := &parsed{points: map[at]fields{}}
		got = append(got, rel+": "+strings.Join(p.parquet(t, data, 1), ", "))
	}
	const time = "time TIMESTAMP(isAdjustedToUTC=true,unit=NANOS)"
	want := []string{
		"events/default/deploy.parquet: " + time + ", app STRING, by STRING, version STRING",
		"telemetry/default/cpu.parquet: " + time + ", host STRING, load DOUBLE, throttled BOOLEAN",
		"telemetry/default/mem.parquet: " + time + ", host STRING, used INT(64,true)",
		"telemetry/%2Ea%2Fb/cpu.parquet: " + time + ", host STRING, load DOUBLE, throttled BOOLEAN",
		"telemetry/%2Ea%2Fb/mem.parquet: " + time + ", host STRING, used INT(64,true)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// What is there stays, unless it is to be replaced.
	again := export.Files{Name: dir}
	if _, err := export.ToFiles(t.Context(), again, set, export.Options{Format: export.Parquet}); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	again.Overwrite = true
	if _, err := export.ToFiles(t.Context(), again, set, export.Options{Format: export.Parquet}); err != nil {
		t.Error(err)
	}
	// Two policies that get one name would be one file.
	if _, err := export.ToFiles(t.Context(), export.Files{Name: dir + "/x"}, set, export.Options{Format: export.Parquet, Policies: map[string]string{"week": "default"}}); !errors.Is(err, export.ErrName) {
		t.Error(err)
	}
}

// one writes a single table, and reads it back.
func one(t *testing.T, set *dataset.Set, o export.Options) (*parsed, []string, export.Report) {
	t.Helper()
	o.Format = export.Parquet
	var b bytes.Buffer
	r, err := export.Write(t.Context(), &b, set, o, "")
	if err != nil {
		t.Fatal(err)
	}
	p := &parsed{points: map[at]fields{}}
	unit := int64(max(o.Precision, 1))
	return p, p.parquet(t, b.Bytes(), unit), r
}

// TestParquetColumns: names and types that are in each other's way, and names
// that are as no others.
func TestParquetColumns(t *testing.T) {
	shard := func(points ...sample.Point) []byte {
		data, err := sample.Shard{Flushed: points}.Bytes(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	point := func(series string, ns int64, f map[string]any) sample.Point {
		return sample.Point{Series: series, Time: unix(ns), Fields: f}
	}
	path := t.TempDir() + "/snap"
	var files []sample.File
	for i, data := range [][]byte{
		shard(point("m,a=1,time=x", 1, map[string]any{"a": int64(1), "v": int64(math.MaxInt64), "v_float": "s", "A": true, "x,y": 0.5, "z.z": 1.5, `q"`: "", "ü": 2.5, "time": 3.5})),
		shard(point("m,a=1,time=x", 2, map[string]any{"v": math.Copysign(0, -1), "\xff": int64(7)})),
	} {
		files = append(files, sample.File{Name: fmt.Sprintf("db/rp/%d", i+1), Data: data, Modified: sample.Start})
	}
	if err := sample.Write(path, sample.Layer{Time: sample.Start, Files: files}); err != nil {
		t.Fatal(err)
	}
	set := openTree(t, path, space.Options{}).Data()
	p, columns, r := one(t, set, export.Options{})
	want := []string{
		"time TIMESTAMP(isAdjustedToUTC=true,unit=NANOS)", "a STRING", "time_tag STRING", "A BOOLEAN", "a_field INT(64,true)", `q" STRING`, "time_field DOUBLE",
		"v_float DOUBLE", "v_integer INT(64,true)", "v_float_field STRING", "x,y DOUBLE", "z.z DOUBLE", "ü DOUBLE", "\ufffd INT(64,true)",
	}
	if !slices.Equal(columns, want) {
		t.Errorf("columns %q, want %q", columns, want)
	}
	if r.Points != 2 || r.Lost() {
		t.Errorf("report %+v", r)
	}
	series := id("m", map[string]string{"a": "1", "time": "x"})
	for ns, want := range map[int64]fields{
		1: {"a": int64(1), "v": int64(math.MaxInt64), "v_float": "s", "A": true, "x,y": 0.5, "z.z": 1.5, `q"`: "", "ü": 2.5, "time": 3.5},
		2: {"v": math.Copysign(0, -1), "\ufffd": int64(7)},
	} {
		if got := p.points[at{"db", "rp", series, ns}]; !same(got, want) {
			t.Errorf("%d: %v, want %v", ns, got, want)
		}
	}
}

// TestParquetScattered: in the order of keys a measurement may lie on both sides
// of another.
func TestParquetScattered(t *testing.T) {
	var points []sample.Point
	for i, key := range []string{"cpu", "cpu!x,h=1", "cpu,h=1", `cpu*[\,h=2`, "cpu+,h=1", "cpu,h=2"} {
		points = append(points, sample.Point{Series: key, Time: unix(int64(i)), Fields: map[string]any{"v": float64(i)}})
	}
	set := shardSet(t, points...)
	text, _ := write(t, set, export.Options{Format: export.JSONLines})
	want := parse(t, export.JSONLines, []byte(text))
	r, err := export.ToFiles(t.Context(), export.Files{Name: t.TempDir()}, set, export.Options{Format: export.Parquet})
	if err != nil {
		t.Fatal(err)
	}
	got := &parsed{points: map[at]fields{}}
	for _, name := range r.Files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got.parquet(t, data, 1)
	}
	if len(r.Files) != 4 || r.Points != 6 || r.Series != 6 || !maps.EqualFunc(got.points, want.points, same) {
		t.Errorf("%+v: %v, want %v", r, got.points, want.points)
	}
}

// TestParquetValues: what has no place in line protocol, and what has none here.
func TestParquetValues(t *testing.T) {
	set := shardSet(t,
		sample.Point{Series: "m,t=\xff", Time: unix(-1), Fields: map[string]any{"f": math.NaN(), "s": "a\xffb\n"}},
		sample.Point{Series: "m,t=\xff", Time: unix(1500), Fields: map[string]any{"f": math.Inf(-1)}},
		sample.Point{Series: "m,t=\xff", Time: unix(1600), Fields: map[string]any{"f": 1.0}})
	series := id("m", map[string]string{"t": "\ufffd"})
	p, _, r := one(t, set, export.Options{})
	if got := p.points[at{"db", "rp", series, -1}]; len(got) != 2 || !math.IsNaN(got["f"].(float64)) || got["s"] != "a\ufffdb\n" {
		t.Errorf("%v", got)
	}
	if got := p.points[at{"db", "rp", series, 1500}]; got["f"] != math.Inf(-1) {
		t.Errorf("%v", got)
	}
	if r.Points != 3 || r.NonFinite != 0 || r.Unwritable != 2 || len(r.Errors) != 2 {
		t.Errorf("report %+v", r)
	}
	p, _, r = one(t, set, export.Options{NonFinite: export.NonFiniteSkip})
	if len(p.points) != 2 || r.Points != 2 || r.NonFinite != 2 {
		t.Errorf("report %+v of %v", r, p.points)
	}
	// Cut to microseconds, two points have one time; both are rows.
	var b bytes.Buffer
	r, err := export.Write(t.Context(), &b, set, export.Options{Format: export.Parquet, Precision: influx.Microsecond}, export.Gzip)
	if err != nil || r.Points != 3 || r.SameTime != 1 || r.Bytes != int64(b.Len()) {
		t.Error(r, err)
	}
	for name, tt := range map[string]struct {
		o    export.Options
		want error
	}{
		"string":  {export.Options{NonFinite: export.NonFiniteString}, export.ErrOption},
		"fail":    {export.Options{NonFinite: export.NonFiniteFail}, export.ErrNonFinite},
		"seconds": {export.Options{Precision: influx.Second}, export.ErrOption},
		"nothing": {export.Options{Filter: dataset.Filter{Measurement: "none"}}, export.ErrOption},
		"resume":  {export.Options{Checkpoint: t.TempDir() + "/state"}, export.ErrOption},
	} {
		tt.o.Format = export.Parquet
		dir := t.TempDir()
		if _, err := export.ToFiles(t.Context(), export.Files{Name: dir + "/x.parquet"}, set, tt.o); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if got := dirFiles(t, dir); len(got) != 0 {
			t.Errorf("%s: left %q", name, sorted(got))
		}
	}
	if _, err := export.ToFiles(t.Context(), export.Files{Name: t.TempDir(), SplitSize: -5}, set, export.Options{Format: export.Parquet}); !errors.Is(err, export.ErrOption) {
		t.Error(err)
	}
	if _, err := export.Write(t.Context(), io.Discard, sampleTree(t, space.Options{}).Data(), export.Options{Format: export.Parquet}, ""); !errors.Is(err, export.ErrOption) {
		t.Error(err)
	}
}

// TestParquetWide: what a table has too many columns for is refused before
// anything is written; as many as it may have are written in bounded memory.
func TestParquetWide(t *testing.T) {
	wide := func(tags int) *dataset.Set {
		key := "m"
		for i := range tags {
			key += fmt.Sprintf(",t%04d=%d", i, i)
		}
		var points []sample.Point
		for i := range 50 {
			points = append(points, sample.Point{Series: key, Time: unix(int64(i)), Fields: map[string]any{"v": int64(i), "s": strings.Repeat("x", i*1000)}})
		}
		return shardSet(t, points...)
	}
	p, columns, r := one(t, wide(2045), export.Options{})
	if len(columns) != 2048 || r.Points != 50 || len(p.points) != 50 {
		t.Errorf("%d columns, %+v", len(columns), r)
	}
	dir := t.TempDir()
	_, err := export.ToFiles(t.Context(), export.Files{Name: dir + "/out"}, wide(2046), export.Options{Format: export.Parquet})
	if !errors.Is(err, export.ErrOption) || !strings.Contains(err.Error(), "columns") {
		t.Error(err)
	}
	if got := dirFiles(t, dir); len(got) != 0 {
		t.Errorf("left %q", sorted(got))
	}
}

// TestParquetCancel: nothing is left behind.
func TestParquetCancel(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	for n := 1; n < 9; n++ {
		dir := t.TempDir()
		ctx, o := stopAfter(t, export.Options{Format: export.Parquet}, (n+1)/2)
		if _, err := export.ToFiles(ctx, export.Files{Name: dir + "/a/b", SplitSize: int64(n%2) * 10_000}, set, o); err == nil {
			t.Fatal("no error")
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("left %v, %v", entries, err)
		}
	}
}

// TestParquetNames: whatever a column is called, it comes back.
func TestParquetNames(t *testing.T) {
	f := map[string]any{}
	for i, name := range []string{"a\x00b", " ", "a/b", "list.element", "key_value", "-", "parquet,optional", "true", "1", "\u202e", strings.Repeat("long", 10_000)} {
		f[name] = int64(i)
	}
	set := shardSet(t, sample.Point{Series: "m,\x01=1,a.b=2", Time: unix(7), Fields: f})
	p, columns, r := one(t, set, export.Options{})
	if r.Points != 1 || r.Lost() || len(columns) != 3+len(f) {
		t.Errorf("%d columns, %+v", len(columns), r)
	}
	if got := p.points[at{"db", "rp", id("m", map[string]string{"\x01": "1", "a.b": "2"}), 7}]; !same(got, f) {
		t.Errorf("%v", got)
	}
}
