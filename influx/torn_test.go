package influx_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/snapfs/snapfs/influx"
)

// write is a write that a server was asked for.
type write struct {
	fields  map[string]any
	dropped bool // a DROP hit the series meanwhile
}

// writes reads a file of writes, by shard and point, in their order.
func writes(t *testing.T, path string) map[string]map[at][]write {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string]map[at][]write{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p struct {
			Shard, Series, Time string
			Fields              map[string]map[string]json.RawMessage
			DropDuring          bool `json:"drop_during"`
		}
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		ns, err := strconv.ParseInt(p.Time, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		w := write{fields: map[string]any{}, dropped: p.DropDuring}
		for name, typed := range p.Fields {
			for typ, raw := range typed {
				// Numbers are not quoted here.
				var s string
				if err := json.Unmarshal(raw, &s); err != nil && typ != "boolean" {
					raw = []byte(strconv.Quote(string(raw)))
				}
				w.fields[name] = truthValue(t, []byte(`{"`+typ+`":`+string(raw)+`}`))
			}
		}
		if all[p.Shard] == nil {
			all[p.Shard] = map[at][]write{}
		}
		key := at{p.Series, ns}
		all[p.Shard][key] = append(all[p.Shard][key], w)
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	return all
}

// TestTornTruth reads shards that were torn while they were copied: each point
// that the server had acknowledged is there, with the value that was written
// last before the copy or one that was written during it, and no other.
func TestTornTruth(t *testing.T) {
	for chain, tars := range layers(t) {
		for _, tar := range tars {
			file := func(name string) string {
				return filepath.Join(filepath.Dir(tar), "truth", name+"-"+filepath.Base(tar)+".jsonl")
			}
			if _, err := os.Stat(file("acked")); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			acked, during, unknown := writes(t, file("acked")), writes(t, file("acked-during")), writes(t, file("unknown"))
			shards, equal, newer, wrong := 0, 0, 0, 0
			for name, data := range members(t, tar) {
				if name == "manifest" || name == "meta" {
					continue
				}
				shards++
				s, err := influx.OpenShard(open(t, data), influx.ShardOptions{})
				if err != nil {
					t.Errorf("%s: %s: %v", tar, name, err)
					continue
				}
				got, _, errs := contents(t, s)
				for _, err := range errs {
					t.Errorf("%s: %s: %v", tar, name, err)
				}
				for p, list := range acked[name] {
					last := list[len(list)-1]
					g, ok := got[p]
					later := append(during[name][p], unknown[name][p]...)
					switch {
					case ok && sameValues(g, last.fields):
						equal++
					case ok && written(g, later):
						newer++
					case !ok && last.dropped:
					default:
						wrong++
						t.Errorf("%s: %s: %v is %v, want %v", tar, name, p, g, last.fields)
					}
				}
				for p, g := range got {
					if _, ok := acked[name][p]; !ok && !written(g, append(during[name][p], unknown[name][p]...)) {
						wrong++
						t.Errorf("%s: %s: %v is %v, which nobody wrote", tar, name, p, g)
					}
				}
			}
			t.Logf("%s %s: %d shards, %d points equal, %d overwritten during the copy, %d wrong", chain, filepath.Base(tar), shards, equal, newer, wrong)
			if equal == 0 {
				t.Errorf("%s: nothing was compared", tar)
			}
		}
	}
}

// written reports whether fields are those of one of the writes.
func written(fields map[string]any, list []write) bool {
	for _, w := range list {
		if sameValues(fields, w.fields) {
			return true
		}
	}
	return false
}
