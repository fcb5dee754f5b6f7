package export_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// tablesOf exports to a directory, and returns the points of all files, in their
// order, and the files below it.
func tablesOf(t *testing.T, set *dataset.Set, files export.Files, f dataset.Filter) (*parsed, map[string]string) {
	t.Helper()
	r, err := export.ToFiles(t.Context(), files, set, export.Options{Format: export.Parquet, Filter: f})
	if err != nil {
		t.Fatal(err)
	}
	all, data := &parsed{points: map[at]fields{}}, map[string]string{}
	for _, name := range r.Files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		before := len(all.order)
		all.parquet(t, b, 1)
		rows := len(all.order) - before
		if f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b))); err != nil || rows == 0 || f.NumRows() != int64(rows) {
			t.Errorf("%s: %d rows, %v", name, rows, err)
		} else if n := f.Metadata().RowGroups[0].TotalByteSize; files.SplitSize > 10_000 && n > files.SplitSize {
			t.Errorf("%s: %d bytes before compression in a file of %d", name, n, files.SplitSize)
		}
		rel, err := filepath.Rel(files.Name, name)
		if err != nil {
			t.Fatal(err)
		}
		data[rel] = string(b)
	}
	if int64(len(all.order)) != r.Points {
		t.Errorf("%d points, reported %d", len(all.order), r.Points)
	}
	return all, data
}

// TestParquetSplit: all parts, each read by itself, have the points of the whole,
// in the same order, and are the same each time.
func TestParquetSplit(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	deploy := dataset.Filter{Measurement: "deploy"}
	for _, tt := range []struct {
		size   int64
		filter dataset.Filter
		names  []string
	}{
		{1, deploy, []string{"deploy.0001", "deploy.0002", "deploy.0003", "deploy.0004", "deploy.0005"}},
		{1 << 40, dataset.Filter{}, []string{"deploy.0001", "cpu.0001", "mem.0001", "cpu.0001", "mem.0001"}},
		{30_000, dataset.Filter{Database: "telemetry", Policy: "default"}, []string{"cpu.0001", "cpu.0002", "mem.0001"}},
	} {
		files := export.Files{Name: t.TempDir(), SplitSize: tt.size}
		whole, _ := tablesOf(t, set, export.Files{Name: t.TempDir()}, tt.filter)
		got, data := tablesOf(t, set, files, tt.filter)
		if !slices.Equal(got.order, whole.order) || !maps.EqualFunc(got.points, whole.points, same) {
			t.Errorf("%d: %d points, want %d", tt.size, len(got.order), len(whole.order))
		}
		var names []string
		for _, name := range sorted(data) {
			names = append(names, strings.TrimSuffix(filepath.Base(name), ".parquet"))
		}
		if !slices.Equal(names, tt.names) {
			t.Errorf("%d: files %q, want %q", tt.size, names, tt.names)
		}
		if _, again := tablesOf(t, set, export.Files{Name: t.TempDir(), SplitSize: tt.size}, tt.filter); !maps.Equal(again, data) {
			t.Errorf("%d: other files the second time", tt.size)
		}
	}
}

// TestParquetSplitStrings: rows, and strings of them, are not mixed up where one
// part ends within what is written at a time.
func TestParquetSplitStrings(t *testing.T) {
	var points []sample.Point
	for i := range 120 {
		points = append(points, sample.Point{Series: fmt.Sprintf("m,t=%d", i/40), Time: unix(int64(i)), Fields: map[string]any{"s": strings.Repeat(fmt.Sprint(i, " "), i%50), "n": int64(i)}})
	}
	set := shardSet(t, points...)
	whole, _ := tablesOf(t, set, export.Files{Name: t.TempDir()}, dataset.Filter{})
	for _, size := range []int64{1, 200, 1000} {
		got, data := tablesOf(t, set, export.Files{Name: t.TempDir(), SplitSize: size}, dataset.Filter{})
		if len(data) < 5 || !slices.Equal(got.order, whole.order) || !maps.EqualFunc(got.points, whole.points, same) {
			t.Errorf("%d: %d points in %d files, want %d", size, len(got.order), len(data), len(whole.order))
		}
	}
}

// TestParquetSplitFiles: parts of an earlier export that had more are removed,
// none is replaced unasked, and the longest names have room for their number.
func TestParquetSplitFiles(t *testing.T) {
	long := strings.Repeat("x", 300)
	var points []sample.Point
	for i := range 20 {
		points = append(points, sample.Point{Series: long, Time: unix(int64(i)), Fields: map[string]any{"v": 0.5}})
	}
	set := shardSet(t, points...)
	for _, name := range []string{"tables", "x.parquet"} {
		files := export.Files{Name: filepath.Join(t.TempDir(), name), SplitSize: 1}
		o := export.Options{Format: export.Parquet}
		count := func(want int) {
			t.Helper()
			n := 0
			err := fs.WalkDir(os.DirFS(filepath.Dir(files.Name)), ".", func(_ string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					n++
				}
				return err
			})
			if err != nil || n != want {
				t.Errorf("%s: %d files, want %d, %v", name, n, want, err)
			}
		}
		r, err := export.ToFiles(t.Context(), files, set, o)
		if err != nil || !strings.HasSuffix(r.Files[len(r.Files)-1], ".0020.parquet") {
			t.Fatal(r, err)
		}
		count(20)
		if err := os.Remove(r.Files[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := export.ToFiles(t.Context(), files, set, o); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
		count(19)
		files.SplitSize, files.Overwrite = 100, true
		if r, err = export.ToFiles(t.Context(), files, set, o); err != nil || len(r.Files) != 4 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		count(4)
	}
}
