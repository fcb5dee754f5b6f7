package influx_test

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/influx"
)

// answer is what a server answered to a query.
type answer struct {
	Results []struct {
		Error  string
		Series []struct {
			Name    string
			Tags    map[string]string
			Columns []string
			Values  [][]any
		}
	}
}

// point names a point of a database.
type point struct {
	db, policy, series string
	time               int64
}

var selectAll = regexp.MustCompile(`^\[(.*)\] SELECT \* FROM "(.*)"\."(.*)" GROUP BY \*$`)

// answered returns the points in the answers of a server. Numbers are float64.
func answered(t *testing.T, path string) map[point]map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var truth struct{ Queries map[string]json.RawMessage }
	if err := json.Unmarshal(data, &truth); err != nil {
		t.Fatal(err)
	}
	all := map[point]map[string]any{}
	for query, raw := range truth.Queries {
		m := selectAll.FindStringSubmatch(query)
		if m == nil {
			continue
		}
		var a answer
		if err := json.Unmarshal(raw, &a); err != nil {
			t.Fatal(err)
		}
		for _, r := range a.Results {
			for _, s := range r.Series {
				// The key as servers make it; names in these chains need but these escapes.
				esc := strings.NewReplacer(",", `\,`, " ", `\ `, "=", `\=`)
				key := esc.Replace(s.Name)
				var tags []string
				for k, v := range s.Tags {
					tags = append(tags, ","+esc.Replace(k)+"="+esc.Replace(v))
				}
				slices.Sort(tags)
				key += strings.Join(tags, "")
				for _, row := range s.Values {
					p := point{db: m[1], policy: m[2], series: key}
					fields := map[string]any{}
					for i, col := range s.Columns {
						if col == "time" {
							at, err := time.Parse(time.RFC3339Nano, row[i].(string))
							if err != nil {
								t.Fatal(err)
							}
							p.time = at.UnixNano()
						} else if row[i] != nil {
							fields[col] = row[i]
						}
					}
					all[p] = fields
				}
			}
		}
	}
	return all
}

// TestCandidateTruth compares the shards of release candidates, for each point
// in time of a chain, with what the live server answered right before.
func TestCandidateTruth(t *testing.T) {
	for name, tars := range layers(t) {
		c, err := chain.Open(tars[0], chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.Dialect() != chain.ByIndex {
			continue
		}
		for i, tar := range tars {
			at := "full"
			if i > 0 {
				at = strconv.Itoa(i - 1)
			}
			view, err := c.At(at)
			if err != nil {
				t.Fatal(err)
			}
			truths, err := filepath.Glob(filepath.Join(filepath.Dir(tar), "truth", "*-"+filepath.Base(tar)+".json"))
			if err != nil || len(truths) != 1 {
				t.Fatalf("truth of %s: %q, %v", tar, truths, err)
			}
			want := answered(t, truths[0])
			got, errs := candidatePoints(t, view)
			equal, missing, wrong, extra := 0, 0, 0, 0
			for p, fields := range want {
				g, ok := got[p]
				switch {
				case !ok:
					missing++
					t.Errorf("%s: %v is missing", tar, p)
				case !sameValues(g, fields):
					wrong++
					t.Errorf("%s: %v is %v, want %v", tar, p, g, fields)
				default:
					equal++
				}
			}
			for p := range got {
				if _, ok := want[p]; !ok {
					extra++
					t.Errorf("%s: %v is not in the answers", tar, p)
				}
			}
			t.Logf("%s %s: %d points equal, %d missing, %d wrong, %d extra; errors %q", name, filepath.Base(tar), equal, missing, wrong, extra, errs)
		}
	}
}

// candidatePoints reads all shards of a view that its meta knows.
func candidatePoints(t *testing.T, view *chain.View) (map[point]map[string]any, []error) {
	t.Helper()
	read := func(path string) []byte {
		f, err := view.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		data, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	meta := openMeta(t, read("meta"))
	all := map[point]map[string]any{}
	var errs []error
	for f := range view.Files() {
		number, ok := strings.CutPrefix(f.Name, "shards/")
		if !ok {
			continue
		}
		id, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s, err := influx.OpenShard(open(t, read(f.Path)), influx.ShardOptions{Meta: meta, ID: id})
		if err != nil {
			t.Fatal(err)
		}
		if s.Engine() != influx.RC {
			t.Errorf("%s: engine %s", f.Name, s.Engine())
		}
		points, _, more := contents(t, s)
		errs = append(errs, more...)
		place, ok := meta.Shard(id)
		if !ok {
			if len(points) > 0 {
				t.Errorf("%s: %d points of no database", f.Name, len(points))
			}
			continue
		}
		for p, fields := range points {
			all[point{place.Database.Name, place.Policy.Name, p.series, p.time}] = fields
		}
	}
	return all, errs
}
