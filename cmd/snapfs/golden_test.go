package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/internal/sample"
)

var update = flag.Bool("update", false, "write the JSON that TestJSON compares with")

// TestJSON holds what --json prints of the sample chain, to the byte: scripts
// rely on it, and docs/json.md describes it.
func TestJSON(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(snap)
	for _, c := range []struct {
		golden string
		args   string // SNAP is the chain, SHARD a file of two layers
	}{
		{"verify", "verify --json SNAP"},
		{"verify-quick", "verify --quick --json SNAP"},
		{"seal", "seal --json SNAP --out OUT/seal"},
		{"log", "log --json SNAP"},
		{"log-file", "log --json SNAP SHARD"},
		{"why", "why --json SNAP SHARD"},
		{"why-ghost", "why --json SNAP telemetry/week/2"},
		{"diff", "diff --json SNAP full latest"},
		{"diff-keys", "diff --keys --json SNAP full 0 SHARD"},
		{"diff-points", "diff --points --json SNAP full 0 SHARD"},
		{"diff-stat", "diff --stat --keys --points --json SNAP full latest"},
		{"find", "find --json SNAP"},
		{"find-all", "find --json --at all SNAP --measurement cpu --tag host=alpha"},
		{"du", "du --json --all SNAP"},
		{"du-shard", "du --json --by shard SNAP"},
		{"du-layer", "du --json --by layer SNAP"},
		{"du-measurement", "du --json --by measurement SNAP"},
		{"stat", "stat --json SNAP SHARD meta telemetry .snapfs/layers"},
		{"tree", "tree --json SNAP"},
	} {
		t.Run(c.golden, func(t *testing.T) {
			out := t.TempDir()
			args := strings.Fields(strings.NewReplacer("SNAP", snap, "SHARD", aShard, "OUT", out).Replace(c.args))
			got, errs, code := runApp(t, args...)
			if code != exitOK || errs != "" {
				t.Fatalf("exit code %d, %s", code, errs)
			}
			got = strings.ReplaceAll(got, dir, "DIR")
			values := 0
			for d := json.NewDecoder(strings.NewReader(got)); d.More(); values++ {
				var v any
				if err := d.Decode(&v); err != nil {
					t.Fatalf("%v in\n%s", err, got)
				}
			}
			if values == 0 {
				t.Fatal("nothing was printed")
			}
			file := filepath.Join("testdata", "json", c.golden+".json")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s: snapfs %s prints\n%s\nwant\n%s", file, c.args, got, want)
			}
		})
	}
}
