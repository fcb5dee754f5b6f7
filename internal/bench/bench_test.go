package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestGenerate makes small workloads and looks whether they are what they say.
func TestGenerate(t *testing.T) {
	for _, w := range Workloads(0.001) {
		dir := t.TempDir()
		d, err := w.Generate(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := chain.Open(d.Tars[0], chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if n := len(c.Layers()); n != w.Layers || n != len(d.Tars) || len(c.Warnings()) > 0 {
			t.Errorf("%s: %d layers, %d tars, want %d; %v", w.Name, n, len(d.Tars), w.Layers, c.Warnings())
		}
		open, err := inTars(c)
		if err != nil {
			t.Fatal(err)
		}
		view, err := c.At(chain.Latest)
		if err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, path := range d.Paths {
			f, err := open(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(io.NewSectionReader(f, 0, f.size))
			want, ok := view.File(path)
			if err != nil || !ok || int64(len(got)) != want.Size || f.size != d.Size {
				t.Fatalf("%s: %s: %d bytes, %v; %+v", w.Name, path, len(got), err, want)
			}
			sum += f.size
			if w.Keys > 0 {
				countKeys(t, got, w.Keys)
			}
		}
		if sum != d.Bytes || len(d.Paths) != w.Files || view.Len() != w.Files+1 {
			t.Errorf("%s: %d bytes in %d of %d files, want %d in %d", w.Name, sum, len(d.Paths), view.Len(), d.Bytes, w.Files)
		}
	}
}

func countKeys(t *testing.T, data []byte, want int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		if n := tx.Bucket([]byte(sample.KeysBucket)).Stats().KeyN; n != want {
			t.Errorf("%d keys, want %d", n, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCopyFails: a copy that failed was not fast.
func TestCopyFails(t *testing.T) {
	r := &runner{Options: Options{Dir: t.TempDir()}, data: &Data{Workload: Workload{Layers: 1}}, samples: map[string]map[string][]float64{}}
	if err := r.copy(t.Context(), Extracted, func(string) error { return io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if len(r.samples) > 0 {
		t.Errorf("%v", r.samples)
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{5, 1, 3}, 3}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := median(tt.in); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.in, got, tt.want)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("nothing has a median")
	}
}

// TestResult has known samples: ratios are by round, and more is better,
// whether of a time or of a rate.
func TestResult(t *testing.T) {
	r := &runner{
		data:    &Data{Workload: Workload{Name: "w", Title: "what", Layers: 1}, Paths: []string{"a"}, Bytes: 1e6},
		samples: map[string]map[string][]float64{}, notes: map[string]string{"archivemount": "it failed"},
	}
	for i := range 3 {
		slow := float64(i + 1) // the machine gets slower
		r.add("open, warm", TarCommand, 8*slow)
		r.add("open, warm", "snapfs plain", 2*slow)
		r.add("read, first", Extracted, 100/slow)
		r.add("read, first", "snapfs plain", 25/slow)
		r.add("memory", "snapfs plain", 30)
	}
	res := &Result{Version: "v1", Workloads: []WorkloadResult{r.result()}}
	for measure, want := range map[string]float64{"open, warm": 4, "read, first": 0.25, "memory": 0} {
		if f, ok := res.Workloads[0].find(measure, "snapfs plain"); !ok || f.Ratio != want {
			t.Errorf("%s: %+v, want a ratio of %v", measure, f, want)
		}
	}
	var table bytes.Buffer
	if err := res.WriteMarkdown(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"### What: 1 files, 1 MB, 1 tars\n",
		"| | baseline | tar | extracted | snapfs plain |\n",
		"| open, warm, s | tar | 16.0 | – | **4.00** (4.00) |\n",
		"| read, first, MB/s | extracted | – | 50.0 | **0.25** (12.5) |\n",
		"| memory, MB |  | – | – | 30.0 |\n",
		"\narchivemount: it failed.\n",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
	var chart, again bytes.Buffer
	if err := errors.Join(res.WriteChart(&chart), res.WriteChart(&again)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(chart.Bytes(), again.Bytes()) {
		t.Error("the chart differs from itself")
	}
	for d := xml.NewDecoder(&chart); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(again.String(), "snapfs plain") || strings.Contains(again.String(), "archivemount") {
		t.Error("the chart has not those, and only those, that were measured")
	}
}
