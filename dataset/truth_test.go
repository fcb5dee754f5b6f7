package dataset_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/space"
)

// answer is what a server answered to a query.
type answer struct {
	Results []struct {
		Series []struct {
			Name    string
			Columns []string
			Values  [][]any
		}
	}
}

// rows returns the rows of an answer, each with the name of its series before
// it, sorted.
func (a answer) rows() []string {
	out := []string{}
	for _, r := range a.Results {
		for _, s := range r.Series {
			for _, v := range s.Values {
				out = append(out, strings.TrimSuffix(fmt.Sprintln(append([]any{s.Name}, v...)...), "\n"))
			}
		}
	}
	slices.Sort(out)
	return out
}

// seriesRows returns the series of an answer to SHOW SERIES, by their tags,
// since the servers name them in several ways.
func (a answer) seriesRows() []string {
	out := []string{}
	for _, r := range a.Results {
		for _, s := range r.Series {
			for _, v := range s.Values {
				row := s.Name
				for i, tag := range s.Columns {
					if tag != "_key" && tag != "_id" && v[i] != "" && v[i] != nil {
						row += fmt.Sprintf(" %s=%v", tag, v[i])
					}
				}
				out = append(out, row)
			}
		}
	}
	slices.Sort(out)
	return out
}

var showQuery = regexp.MustCompile(`^(?:\[(.*)\] )?SHOW (DATABASES|MEASUREMENTS|SERIES|FIELD KEYS|TAG KEYS|RETENTION POLICIES (?:ON )?"(.*)")$`)

// TestTruth compares with what live servers answered right before each backup.
func TestTruth(t *testing.T) {
	for _, snap := range realchains.All(t) {
		name := filepath.Base(filepath.Dir(snap))
		truths, err := filepath.Glob(filepath.Join(filepath.Dir(snap), "truth", "[0-9][0-9]-*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for i, truth := range truths {
			point := "full"
			if i > 0 {
				point = strconv.Itoa(i - 1)
			}
			data, err := os.ReadFile(truth)
			if err != nil {
				t.Fatal(err)
			}
			var asked struct{ Queries map[string]json.RawMessage }
			if err := json.Unmarshal(data, &asked); err != nil {
				t.Fatal(err)
			}
			if fi, err := os.Stat(strings.TrimSuffix(snap, "snap") + tarOf(truth)); err != nil || fi.Size() == 0 {
				t.Logf("%s at %s: the backup failed", name, point)
				continue
			}
			hidden := openSet(t, snap, space.Options{At: point, Ghosts: chain.Hide})
			shown := openSet(t, snap, space.Options{At: point})
			equal, stale := 0, 0
			for _, q := range slices.Sorted(maps.Keys(asked.Queries)) {
				m := showQuery.FindStringSubmatch(q)
				if m == nil {
					continue
				}
				var a answer
				if err := json.Unmarshal(asked.Queries[q], &a); err != nil {
					t.Fatal(err)
				}
				got, want := ours(t, hidden, m[1], m[2], m[3]), a.rows()
				if m[2] == "SERIES" {
					want = a.seriesRows()
				}
				if slices.Equal(got, want) {
					equal++
					continue
				}
				// Servers kept series of dropped policies in their index until
				// they were started again: those are of ghosts.
				all := ours(t, shown, m[1], m[2], m[3])
				for _, row := range want {
					if !slices.Contains(got, row) && !slices.Contains(all, row) {
						t.Errorf("%s at %s: %s: no %q", name, point, q, row)
					}
				}
				for _, row := range got {
					if !slices.Contains(want, row) && !undead(name, row) {
						t.Errorf("%s at %s: %s: %q is not in the answer", name, point, q, row)
					}
				}
				stale++
			}
			t.Logf("%s at %s: %d answers equal, %d differ by what was dropped", name, point, equal, stale)
			if equal == 0 {
				t.Errorf("%s at %s: no answer is equal", name, point)
			}
		}
	}
}

// tarOf returns the name of the tar that a file of answers is about.
func tarOf(truth string) string {
	_, name, _ := strings.Cut(filepath.Base(truth), "-")
	return strings.TrimSuffix(name, ".json")
}

// undead reports whether something was dropped and left points in a write-ahead
// log, from which they came back when the server was started again.
func undead(chain, row string) bool {
	return chain == "v0.9.2-small" && (strings.HasPrefix(row, "events ") || row == "measurements events")
}

// ours answers a query from a snapshot, as answer.rows has it.
func ours(t *testing.T, set *dataset.Set, db, query, policyOf string) []string {
	t.Helper()
	f := dataset.Filter{Database: db}
	rows := map[string]bool{}
	switch query {
	case "DATABASES":
		for _, d := range set.Databases(f) {
			rows["databases "+d.Name] = true
		}
	case "MEASUREMENTS":
		for m, err := range set.Measurements(f) {
			if failed(t, err) {
				continue
			}
			rows["measurements "+m.Name] = true
		}
	case "SERIES":
		for s, err := range set.Series(f) {
			if failed(t, err) {
				continue
			}
			row := s.Measurement
			for _, tag := range s.Tags {
				row += " " + tag.Key + "=" + tag.Value
			}
			rows[row] = true
		}
	case "FIELD KEYS":
		for x, err := range set.Fields(f) {
			if failed(t, err) {
				continue
			}
			rows[x.Measurement+" "+x.Name] = true
		}
	case "TAG KEYS":
		for x, err := range set.TagKeys(f) {
			if failed(t, err) {
				continue
			}
			rows[x.Measurement+" "+x.Key] = true
		}
	default:
		for _, d := range set.Databases(dataset.Filter{}) {
			for _, p := range d.Policies {
				if d.Name == policyOf {
					rows[fmt.Sprintf(" %s %s %d %v", p.Name, p.Duration, p.Replicas, p.Name == d.DefaultPolicy)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(rows))
}

// failed reports whether an error came in the place of something.
func failed(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	return err != nil
}
