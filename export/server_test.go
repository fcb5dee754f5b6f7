package export_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/space"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// selectQuery is a query of the truth that asks for points.
var selectQuery = regexp.MustCompile(`^\[(.*)\] (SELECT \* FROM .* GROUP BY \*)$`)

// TestServerTruth imports every point in time of every real chain into a server
// of InfluxDB 1, and asks it what the old server was asked just before the
// backup.
//
// Only SELECT statements are compared. The SHOW statements have other columns in
// the later server, and tell of users, nodes and continuous queries, which are no
// part of an export.
func TestServerTruth(t *testing.T) {
	snaps := realchains.All(t)
	server := startInfluxd(t)
	for i, snap := range snaps {
		name := filepath.Base(filepath.Dir(snap))
		files, err := filepath.Glob(filepath.Join(filepath.Dir(snap), "truth", "[0-9][0-9]-*.json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			t.Logf("%s: has no answers of its server", name)
		}
		for j, file := range files {
			_, tar, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
			at := strings.TrimPrefix(strings.TrimPrefix(tar, "snap"), ".")
			if at == "" {
				at = "full"
			}
			t.Run(name+"/"+at, func(t *testing.T) { serverTruth(t, server, snap, at, file, fmt.Sprintf("c%dp%d_", i, j)) })
		}
	}
}

// unflushed are points that a server had told of, but only in the write-ahead log
// of the bz1 engine, which is no part of a backup. TestExportTruth shows that they
// are in none of its shards.
var unflushed = map[string]int{
	"TestServerTruth/v0.9.4.2p-small/1": 20,
	"TestServerTruth/v0.9.5.1-small/1":  20,
}

func serverTruth(t *testing.T, server *influxd, snap, at, file, prefix string) {
	tree, err := space.Open(snap, space.Options{At: at, Ghosts: chain.Hide})
	if errors.Is(err, chain.ErrNoPoint) {
		t.Skipf("no such point: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	set := tree.Data()
	opts := export.Options{Databases: map[string]string{}, Policies: map[string]string{}}
	plain := strings.NewReplacer("/", "_", ".", "_")
	for p := range set.Policies(dataset.Filter{}) {
		opts.Databases[p.Database] = prefix + plain.Replace(p.Database)
		if strings.ContainsAny(p.Name, "/.") {
			opts.Policies[p.Name] = plain.Replace(p.Name)
		}
	}
	r, err := export.Send(t.Context(), export.Target{URL: server.url, Create: true}, set, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range r.Errors {
		t.Log(err)
	}
	if r.Rejected > 0 || r.Unwritable > 0 {
		t.Errorf("%+v", r)
	}

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var truth struct{ Queries map[string]json.RawMessage }
	if err := json.Unmarshal(data, &truth); err != nil {
		t.Fatal(err)
	}
	equal, points, failed := 0, 0, 0
	for _, text := range sorted(truth.Queries) {
		m := selectQuery.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		want := parseAnswers(t, truth.Queries[text])
		if want.Error != "" {
			t.Logf("%s: the old server could not tell: %s", text, want.Error)
			failed++
			continue
		}
		database, ok := opts.Databases[m[1]]
		if !ok {
			database = prefix + "none"
		}
		statement := m[2]
		for old, new := range opts.Policies {
			statement = strings.Replace(statement, `"`+old+`".`, `"`+new+`".`, 1)
		}
		got := server.query(t, database, statement)
		g, w := got.rows(), want.rows()
		missing, extra, other := 0, 0, 0
		for at, fields := range w {
			switch have, ok := g[at]; {
			case !ok:
				missing++
			case !maps.Equal(have, fields):
				other++
				if other < 3 {
					t.Logf("%s: %v: %v, want %v", text, at, have, fields)
				}
			}
		}
		for at := range g {
			if w[at] == nil {
				extra++
			}
		}
		if n := unflushed[t.Name()]; n > 0 && missing == n {
			t.Logf("%s: %d points were in the write-ahead log only", text, n)
			missing = 0
		}
		if missing+extra+other > 0 {
			t.Errorf("%s: %d points of %d missing, %d too much, %d differ; %s", text, missing, len(w), extra, other, got.Error)
			continue
		}
		equal++
		points += len(g)
	}
	t.Logf("%d points sent; %d queries answered the same, with %d points; %d not answered by the old server", r.Points, equal, points, failed)
}

// TestImport has "influx -import" read what is written to files.
func TestImport(t *testing.T) {
	client, err := exec.LookPath("influx")
	if err != nil {
		if os.Getenv("SNAPFS_TEST_INFLUXD") == "require" {
			t.Fatal("influx, of the package influxdb-client, is not installed")
		}
		t.Skip("influx is not installed")
	}
	server := startInfluxd(t)
	tree := sampleTree(t, space.Options{})
	dir := t.TempDir()
	for _, c := range []export.Compression{"", export.Gzip} {
		name := filepath.Join(dir, "all"+string(c)+".lp")
		r, err := export.ToFiles(t.Context(), export.Files{Name: name, SplitSize: 60_000, Compression: c}, tree.Data(), export.Options{
			Databases: map[string]string{"events": "events" + string(c), "telemetry": `tele "metry"` + string(c)}})
		if err != nil || len(r.Files) < 3 {
			t.Fatal(r, err)
		}
		for _, f := range r.Files {
			out, err := exec.Command(client, "-host", server.host, "-port", server.port, "-import", "-path", f, fmt.Sprintf("-compressed=%v", c != "")).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), " 0 failed inserts") && !strings.Contains(string(out), "Failed 0 inserts") {
				t.Errorf("%s", out)
			}
		}
		n := 0
		for _, q := range [][2]string{{"events" + string(c), `SELECT * FROM "default"."deploy" GROUP BY *`}, {`tele "metry"` + string(c), `SELECT * FROM "default"./.*/ GROUP BY *; SELECT * FROM "week"./.*/ GROUP BY *`}} {
			n += len(server.query(t, q[0], q[1]).rows())
		}
		if int64(n) != r.Points {
			t.Errorf("%d points in the server, %d in the files", n, r.Points)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "all.lp")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
