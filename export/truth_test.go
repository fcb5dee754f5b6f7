package export_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/space"
)

// TestExportTruth compares the exports of every point in time of the real chains
// with all points of the shards in it, as InfluxDB's own engine reads them.
func TestExportTruth(t *testing.T) {
	for _, snap := range realchains.All(t) {
		dirs, err := filepath.Glob(filepath.Join(filepath.Dir(snap), "truth", "shards", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			name := strings.TrimPrefix(strings.TrimPrefix(filepath.Base(dir), "snap"), ".")
			if name == "" {
				name = "full"
			}
			t.Run(filepath.Base(filepath.Dir(snap))+"/"+name, func(t *testing.T) { exportTruth(t, snap, name) })
		}
	}
}

func exportTruth(t *testing.T, snap, point string) {
	tree := openTree(t, snap, space.Options{At: point})
	want := map[at]fields{}
	var filter dataset.Filter // of the shards with a truth
	places := map[string]*dataset.Shard{}
	for _, sh := range tree.Data().Shards() {
		places[sh.Path] = sh
	}
	for f := range tree.View().Files() {
		sh := places[treePath(f)]
		if sh == nil {
			continue
		}
		points, ok := shardTruth(t, snap, f)
		if !ok {
			t.Logf("no truth on %s of %s", f.Name, f.Layer.Path)
			continue
		}
		filter.Shards = append(filter.Shards, sh.ID)
		for a, v := range points {
			a.database, a.policy = sh.Database, sh.Policy
			if _, ok := want[a]; ok {
				t.Errorf("%v is in two shards", a)
			}
			want[a] = v
		}
	}
	undecoded := 0
	for _, format := range []export.Format{export.LineProtocol, export.CSV, export.JSONLines} {
		var b bytes.Buffer
		r, err := export.Write(t.Context(), &b, tree.Data(), export.Options{Format: format, Filter: filter}, "")
		if err != nil {
			t.Fatal(err)
		}
		got := parse(t, format, b.Bytes())
		if r.Points != int64(len(got.points)) || r.Bytes != int64(b.Len()) || r.Unwritable != 0 {
			t.Errorf("%s: report %+v of %d points, %d bytes", format, r, len(got.points), b.Len())
		}
		missing := 0
		for a, v := range want {
			g, ok := got.points[a]
			switch {
			case v == nil:
				// InfluxDB does not find the definition of a field. A later copy of
				// the shard may have it, and then it is right to export the point.
				if !ok {
					missing++
				}
			case !ok || !same(g, v):
				t.Errorf("%s: %v is %v, want %v", format, a, g, v)
			}
		}
		if int64(missing) != r.Unreadable {
			t.Errorf("%s: %d points that InfluxDB does not decode are missing, %d errors: %v", format, missing, r.Unreadable, r.Errors)
		}
		for a, v := range got.points {
			if _, ok := want[a]; !ok {
				t.Errorf("%s: %v is %v, and nobody wants it", format, a, v)
			}
		}
		last := at{}
		for i, a := range got.order {
			if i > 0 && a.database == last.database && a.policy == last.policy && a.series == last.series && a.time <= last.time {
				t.Errorf("%s: %v after %v", format, a, last)
			}
			last = a
		}
		undecoded = missing
	}
	t.Logf("%d shards, %d points in lp, csv and jsonl equal, %d rightly not decoded", len(filter.Shards), len(want)-undecoded, undecoded)
}

// treePath returns where the tree has a file: names of directories that are also
// those of files get ".d".
func treePath(f chain.File) string {
	for _, name := range []string{"meta/", "manifest/"} {
		if rest, ok := strings.CutPrefix(f.Path, name); ok {
			return strings.TrimSuffix(name, "/") + ".d/" + rest
		}
	}
	return f.Path
}

// shardTruth returns the points of a shard, nil for those that InfluxDB cannot
// decode. ok is false if there is no truth on it.
func shardTruth(t *testing.T, snap string, f chain.File) (points map[at]fields, ok bool) {
	t.Helper()
	name := strings.ReplaceAll(strings.ReplaceAll(f.Name, "..", "DOTDOT"), "/", "__") + ".jsonl"
	file, err := os.Open(filepath.Join(filepath.Dir(snap), "truth", "shards", filepath.Base(f.Layer.Path), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	lines.Scan() // what the shard is
	out := map[at]fields{}
	for lines.Scan() {
		var p struct {
			Series, Time string
			Fields       map[string]map[string]any
		}
		var raw struct{ Fields map[string]any }
		if err := json.Unmarshal(lines.Bytes(), &raw); err != nil {
			t.Fatal(err)
		}
		bad := raw.Fields["?"] != nil
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil && !bad {
			t.Fatal(err)
		}
		ns, err := strconv.ParseInt(p.Time, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		var v fields
		if !bad {
			v = fields{}
			for k, x := range p.Fields {
				for typ, x := range x {
					if s, ok := x.(string); ok {
						v[k] = typed(t, typ, s)
					} else {
						v[k] = x
					}
				}
			}
		}
		out[at{series: idOfKey(t, p.Series), time: ns}] = v
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	return out, true
}
