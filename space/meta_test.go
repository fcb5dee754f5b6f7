package space_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// TestGhosts: in the sample chain the policy of shard 2 is dropped before the
// last backup.
func TestGhosts(t *testing.T) {
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for g, want := range map[chain.Ghosts][]string{
		chain.Show: {"default", "week"},
		chain.Hide: {"default"},
		chain.Only: {"week"},
	} {
		tree := open(t, path, space.Options{Ghosts: g})
		if got := list(t, tree, "telemetry"); !slices.Equal(got, want) {
			t.Errorf("%v: telemetry holds %q, want %q", g, got, want)
		}
		if got := list(t, tree, ".snapfs/points/2/telemetry"); !slices.Equal(got, want) {
			t.Errorf("%v: at point 2 telemetry holds %q, want %q", g, got, want)
		}
		// It was none before.
		before := list(t, tree, ".snapfs/layers/full/telemetry")
		if g == chain.Hide {
			before = list(t, tree, ".snapfs/points/1/telemetry")
		}
		if !slices.Equal(before, []string{"default", "week"}) {
			t.Errorf("%v: before, telemetry held %q", g, before)
		}
	}
	tree := open(t, path, space.Options{})
	for name, want := range map[string]string{
		"telemetry/week/2":    "unknown to the meta of layer 2: database or policy dropped, or expired",
		"telemetry/default/1": "",
		"meta":                "",
	} {
		fi, err := fs.Stat(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := maps.Collect(attr.All(fi))["ghost"]; got != want {
			t.Errorf("ghost of %s is %q, want %q", name, got, want)
		}
	}
}

// TestEmptyMeta: a backup taken right after the start of a server has a meta
// that knows nothing. It must not turn all shards into ghosts.
func TestEmptyMeta(t *testing.T) {
	full := sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{{Name: "rp", Groups: []sample.Group{{ID: 1}}}}}}}
	empty := []byte("\x08\x00\x10\x00\x18\x00\x38\x00\x40\x00\x48\x00")
	f := func(name string, data []byte, hours int) sample.File {
		return sample.File{Name: name, Data: data, Modified: epoch.Add(time.Duration(hours) * time.Hour)}
	}
	path := t.TempDir() + "/snap"
	err := sample.Write(path,
		sample.Layer{Time: epoch, Files: []sample.File{f("meta", full.Bytes(), 0), f("db/rp/1", []byte("1"), 0), f("db/rp/2", []byte("2"), 0)}},
		sample.Layer{Time: epoch.Add(time.Hour), Files: []sample.File{f("meta", empty, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	tree := open(t, path, space.Options{Ghosts: chain.Hide})
	if got := list(t, tree, "db/rp"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("db/rp holds %q", got)
	}
	m, err := tree.MetaAt(tree.View().Point())
	if err != nil || m.Layer.Name != "full" || !m.Stale {
		t.Errorf("metadata of layer %v, stale %v, %v", m.Layer, m.Stale, err)
	}
}

// TestMetaJSON: the decoded metadata, and no hash of a password in it.
func TestMetaJSON(t *testing.T) {
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b, err := fs.ReadFile(open(t, path, space.Options{At: "full"}), ".snapfs/meta.json")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Databases []struct{ Name string }
	}
	if err := json.Unmarshal(b, &got); err != nil || len(got.Databases) != 2 || got.Databases[0].Name != "telemetry" {
		t.Errorf("%v\n%s", err, b)
	}
	// Where the file called meta is none, there is no such file.
	if _, err := fs.Stat(open(t, writeChain(t), space.Options{}), ".snapfs/meta.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("meta.json of nonsense: %v", err)
	}
}

// TestHashes: hashes of passwords are shown to those who ask for them.
func TestHashes(t *testing.T) {
	meta := sample.Meta{Databases: []sample.Database{{Name: "db"}}, Users: []sample.User{{Name: "root", Hash: "$2a$10$xyz"}}}
	path := filepath.Join(t.TempDir(), "snap")
	if err := sample.Write(path, sample.Layer{Time: sample.Start, Files: []sample.File{{Name: "meta", Data: meta.Bytes(), Modified: sample.Start}}}); err != nil {
		t.Fatal(err)
	}
	for _, show := range []bool{false, true} {
		b, err := fs.ReadFile(open(t, path, space.Options{ShowHashes: show}), ".snapfs/meta.json")
		if err != nil || !strings.Contains(string(b), `"name": "root"`) || strings.Contains(string(b), `"hash": "$2a$10$xyz"`) != show {
			t.Errorf("shown %v: %v\n%s", show, err, b)
		}
	}
}

// TestRealGhosts: in one real chain a database and a policy were dropped.
func TestRealGhosts(t *testing.T) {
	for _, snap := range realchains.All(t) {
		var ghosts []string
		tree := open(t, snap, space.Options{})
		for f := range tree.View().Files() {
			if f.Ghost != "" {
				ghosts = append(ghosts, f.Path)
			}
		}
		t.Logf("%s: %q", snap, ghosts)
		if strings.Contains(snap, "v0.9.2-small") {
			want := []string{"doomed/default/18", "doomed/default/19", "doomed/default/20",
				"telemetry/week/10", "telemetry/week/11", "telemetry/week/12", "telemetry/week/9"}
			if !slices.Equal(ghosts, want) {
				t.Errorf("ghosts %q, want %q", ghosts, want)
			}
		}
		b, err := fs.ReadFile(tree, ".snapfs/meta.json")
		if err != nil || strings.Contains(string(b), "$2a$") {
			t.Errorf("%s: meta.json: %v, or it shows hashes", snap, err)
		}
	}
}
