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
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/space"
)

// TestExportTorn exports a chain whose shards a server tore. All that it had
// acknowledged before a backup began, and that was not being dropped, is there;
// and nothing is that nobody sent.
func TestExportTorn(t *testing.T) {
	found := false
	for _, snap := range realchains.All(t) {
		if _, err := os.Stat(filepath.Join(filepath.Dir(snap), "truth", "acked-snap.jsonl")); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = true
		for _, point := range []string{"full", "0", "1"} {
			t.Run(point, func(t *testing.T) { exportTorn(t, snap, point) })
		}
	}
	if !found {
		t.Skip("no chain with lists of what was acknowledged")
	}
}

func exportTorn(t *testing.T, snap, point string) {
	tree := openTree(t, snap, space.Options{At: point, Ghosts: chain.Show})
	text, r := write(t, tree.Data(), export.Options{})
	got := parse(t, export.LineProtocol, []byte(text)).points
	must := map[at]fields{}       // acknowledged, the last of each time
	may := map[at][]fields{}      // all that was ever sent
	lists := map[string][]acked{} // by file
	list := func(file string) []acked {
		if _, ok := lists[file]; !ok {
			lists[file] = readAcked(t, filepath.Join(filepath.Dir(snap), "truth", file))
		}
		return lists[file]
	}
	for f := range tree.View().Files() {
		tar := filepath.Base(f.Layer.Path)
		for _, kind := range []string{"acked", "acked-during", "unknown", "dropped"} {
			for _, a := range list(kind + "-" + tar + ".jsonl") {
				if a.shard != f.Path {
					continue
				}
				may[a.at] = append(may[a.at], a.fields)
				switch {
				case kind != "acked" || a.drop:
					// Whether it came before or after is not known.
					delete(must, a.at)
				default:
					must[a.at] = a.fields
				}
			}
		}
	}
	if len(must) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	lost := 0
	for a, want := range must {
		if v, ok := got[a]; !ok {
			if lost++; lost < 10 {
				t.Errorf("%v is missing", a)
			}
		} else if !same(v, want) {
			t.Errorf("%v is %v, want %v", a, v, want)
		}
	}
	for a, v := range got {
		known := false
		for _, sent := range may[a] {
			known = known || same(v, sent)
		}
		if !known {
			t.Errorf("%v is %v, which nobody sent", a, v)
		}
	}
	t.Logf("%d points, %d of them acknowledged before the backup, %d of those lost; %d errors", len(got), len(must), lost, r.Unreadable)
}

// acked is a point that was sent.
type acked struct {
	at
	shard  string
	fields fields
	drop   bool
}

func readAcked(t *testing.T, path string) (out []acked) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p struct {
			DB, RP, Shard, Series, Time string
			Fields                      map[string]map[string]any
			Drop                        bool `json:"drop_during"`
		}
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		a := acked{at: at{database: p.DB, policy: p.RP, series: idOfKey(t, p.Series)}, shard: p.Shard, fields: fields{}, drop: p.Drop}
		if a.time, err = strconv.ParseInt(p.Time, 10, 64); err != nil {
			t.Fatal(err)
		}
		for name, f := range p.Fields {
			for typ, v := range f {
				if n, ok := v.(json.Number); ok {
					v = typed(t, typ, n.String())
				}
				a.fields[name] = v
			}
		}
		out = append(out, a)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
