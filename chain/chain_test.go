package chain_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/sample"
)

var epoch = time.Date(2015, 11, 2, 3, 4, 5, 0, time.UTC)

// at is a time some seconds after the epoch.
func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

func file(name, data string, modified int) sample.File {
	return sample.File{Name: name, Data: []byte(data), Modified: at(modified), Index: uint64(modified)}
}

// write writes layers and opens the chain.
func write(t *testing.T, layers ...sample.Layer) (*chain.Chain, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snap")
	if err := sample.Write(path, layers...); err != nil {
		t.Fatal(err)
	}
	return open(t, path), path
}

func open(t *testing.T, path string) *chain.Chain {
	t.Helper()
	c, err := chain.Open(path, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func view(t *testing.T, c *chain.Chain, point string) *chain.View {
	t.Helper()
	v, err := c.At(point)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// contents returns every file of a tree but the manifest.
func contents(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || p == chain.ManifestName {
			return err
		}
		b, err := fs.ReadFile(fsys, p)
		out[p] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// codes returns the warnings in short.
func codes(c *chain.Chain) []string {
	var out []string
	for _, w := range c.Warnings() {
		out = append(out, strings.TrimPrefix(w.Layer+":"+string(w.Code), ":"))
	}
	return out
}

func TestMerge(t *testing.T) {
	type want = map[string]string
	noManifest := func(files ...sample.File) sample.Layer {
		return sample.Layer{Time: at(0), Files: files, NoManifest: true}
	}
	byTime := func(files ...sample.File) sample.Layer { return sample.Layer{Time: at(0), Files: files} }
	byIndex := func(files ...sample.File) sample.Layer {
		return sample.Layer{Time: at(0), Files: files, Dialect: chain.ByIndex}
	}
	for _, tt := range []struct {
		name   string
		layers []sample.Layer
		want   []want // for each point
		codes  []string
	}{
		{
			name:   "newer wins",
			layers: []sample.Layer{byTime(file("a/b/1", "old", 1), file("meta", "m0", 1)), byTime(file("a/b/1", "new", 2))},
			want:   []want{{"a/b/1": "old", "meta": "m0"}, {"a/b/1": "new", "meta": "m0"}},
		},
		{
			name:   "older in a later layer loses",
			layers: []sample.Layer{byTime(file("a/b/1", "new", 5)), byTime(file("a/b/1", "old", 4)), byTime(file("a/b/1", "newest", 6))},
			want:   []want{{"a/b/1": "new"}, {"a/b/1": "new"}, {"a/b/1": "newest"}},
		},
		{
			name:   "a tie keeps the earlier",
			layers: []sample.Layer{byTime(file("a/b/1", "first", 3)), byTime(file("a/b/1", "second", 3))},
			want:   []want{{"a/b/1": "first"}, {"a/b/1": "first"}},
		},
		{
			name: "index, with ties and steps back",
			layers: []sample.Layer{byIndex(file("shards/1", "a", 7), file("shards/2", "x", 7)),
				byIndex(file("shards/1", "b", 8), file("shards/2", "y", 7)), byIndex(file("shards/1", "c", 2))},
			want: []want{{"shards/1": "a", "shards/2": "x"}, {"shards/1": "b", "shards/2": "x"}, {"shards/1": "b", "shards/2": "x"}},
		},
		{
			name:   "nothing but a manifest",
			layers: []sample.Layer{byIndex(file("meta", "m", 7)), byIndex(), byIndex(file("shards/1", "a", 8))},
			want:   []want{{"meta": "m"}, {"meta": "m"}, {"meta": "m", "shards/1": "a"}},
		},
		{
			name:   "no deletion is recorded",
			layers: []sample.Layer{byTime(file("a/b/1", "x", 1), file("a/b/2", "y", 1)), byTime(file("a/b/2", "z", 2))},
			want:   []want{{"a/b/1": "x", "a/b/2": "y"}, {"a/b/1": "x", "a/b/2": "z"}},
		},
		{
			name:   "without manifests later layers win",
			layers: []sample.Layer{noManifest(file("x", "1", 9), file("./y", "1", 9)), noManifest(file("y", "2", 0)), noManifest(file("d/z", "3", 0))},
			want:   []want{{"x": "1", "y": "1"}, {"x": "1", "y": "2"}, {"x": "1", "y": "2", "d/z": "3"}},
		},
		{
			name:   "one layer without a manifest",
			layers: []sample.Layer{byTime(file("a", "1", 9)), noManifest(file("a", "2", 0)), byTime(file("a", "3", 1), file("b", "3", 1))},
			want:   []want{{"a": "1"}, {"a": "2"}, {"a": "3", "b": "3"}},
			codes:  []string{"0:no-manifest"},
		},
		{
			name:   "names of databases that are also files",
			layers: []sample.Layer{byTime(file("meta", "m", 1), file("meta/default/6", "s6", 1), file("manifest/default/7", "s7", 1))},
			want:   []want{{"meta": "m", "meta.d/default/6": "s6", "manifest.d/default/7": "s7"}},
		},
		{
			name:   "the same names where there is no file of theirs",
			layers: []sample.Layer{byTime(file("meta/default/6", "s6", 1)), byTime(file("meta", "m", 2))},
			want:   []want{{"meta.d/default/6": "s6"}, {"meta": "m", "meta.d/default/6": "s6"}},
		},
		{
			name:   "a name that leaves the root",
			layers: []sample.Layer{byTime(file("../default/1", "out", 1)), byTime(file("../default/1", "newer", 2))},
			want:   []want{{"%2E%2E/default/1": "out"}, {"%2E%2E/default/1": "newer"}},
			codes:  []string{"full:escaped-name", "0:escaped-name"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := write(t, tt.layers...)
			i := 0
			for p := range c.Points() {
				if got := contents(t, view(t, c, p.Name)); !maps.Equal(got, tt.want[i]) {
					t.Errorf("point %s: %q, want %q", p.Name, got, tt.want[i])
				}
				i++
			}
			if got := codes(c); !slices.Equal(got, tt.codes) {
				t.Errorf("warnings %q, want %q", got, tt.codes)
			}
		})
	}
}

func TestViewFS(t *testing.T) {
	c, _ := write(t,
		sample.Layer{Time: at(10), Files: []sample.File{file("a/b/1", "x", 1), file("a/b/2", "", 1), file("../c/3", "y", 1), file("meta", "m", 1), file("meta/b/4", "z", 1)}},
		sample.Layer{Time: at(20), Files: []sample.File{file("a/b/1", "xx", 15), file("meta", "mm", 20), file("d/e/5", "5", 20)}})
	for p := range c.Points() {
		if err := fstest.TestFS(view(t, c, p.Name), "manifest", "meta", "a/b/1", "a/b/2", "%2E%2E/c/3", "meta.d/b/4"); err != nil {
			t.Errorf("point %s: %v", p.Name, err)
		}
		if err := fstest.TestFS(c.LayerView(p.Layer), "manifest", "meta", "a/b/1"); err != nil {
			t.Errorf("layer %s: %v", p.Name, err)
		}
	}
	for name, want := range map[string]time.Time{"a/b/1": at(15), "a/b/2": at(1), "manifest": at(20)} {
		fi, err := view(t, c, chain.Latest).Stat(name)
		if err != nil || !fi.ModTime().Equal(want) {
			t.Errorf("%s: %v, %v, want the time of the manifest, %v", name, fi, err, want)
		}
	}
	// A copy has the same number in each view, and another copy another one.
	ino := func(point, name string) uint64 {
		fi, err := view(t, c, point).Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		n, ok := attr.Ino(fi)
		if !ok {
			t.Fatalf("%s has no number", name)
		}
		return n
	}
	if ino("full", "a/b/2") != ino("0", "a/b/2") || ino("full", "a/b/1") == ino("0", "a/b/1") || ino("full", "a/b/1") == ino("full", "a/b/2") {
		t.Error("numbers do not tell copies apart")
	}
}

func TestMergedManifest(t *testing.T) {
	c, _ := write(t,
		sample.Layer{Time: at(10), Files: []sample.File{file("x/default/10", "0123456789", 1), file("x/default/2", "01", 1), file("meta", "m", 1)}},
		sample.Layer{Time: at(20), Files: []sample.File{file("x/default/2", "0123", 15), file("meta", "mm", 20)}})
	got, err := fs.ReadFile(view(t, c, chain.Latest), chain.ManifestName)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"files":[{"name":"meta","size":2,"lastModified":"2015-11-02T03:04:25Z"},` +
		`{"name":"x/default/10","size":10,"lastModified":"2015-11-02T03:04:06Z"},` +
		`{"name":"x/default/2","size":4,"lastModified":"2015-11-02T03:04:20Z"}]}`
	if string(got) != want {
		t.Errorf("merged manifest\n%s, want\n%s", got, want)
	}
	// The newest layer by itself shows what is in its tar.
	raw, err := fs.ReadFile(c.LayerView(c.Layers()[1]), chain.ManifestName)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "x/default/10") {
		t.Errorf("manifest of layer 0 is merged: %s", raw)
	}
}

func TestPoints(t *testing.T) {
	c, _ := write(t,
		sample.Layer{Time: at(0), Files: []sample.File{file("a", "0", 0)}},
		sample.Layer{Time: at(10), Files: []sample.File{file("a", "1", 1)}},
		sample.Layer{Time: at(10), Files: []sample.File{file("a", "2", 2)}},
		sample.Layer{Time: at(30), Files: []sample.File{file("a", "3", 3)}})
	for _, tt := range []struct{ point, want string }{
		{"", "3"}, {"latest", "3"}, {"full", "0"}, {"0", "1"}, {"2", "3"},
		{"2015-11-02T03:04:05Z", "0"},
		{"2015-11-02T03:04:14.999Z", "0"},
		{"2015-11-02T03:04:15Z", "2"},
		{"2015-11-02T08:34:15+05:30", "2"},
		{"2015-11-02T030434Z", "2"},
		{"2030-01-01T00:00:00Z", "3"},
	} {
		v, err := c.At(tt.point)
		if err != nil {
			t.Errorf("At(%q): %v", tt.point, err)
			continue
		}
		if got := contents(t, v)["a"]; got != tt.want {
			t.Errorf("At(%q) shows %q, want %q", tt.point, got, tt.want)
		}
	}
	for _, tt := range []struct{ point, hint string }{
		{"3", "points are full, 0 to 2, latest, or a time such as 2015-11-02T03:04:05Z"},
		{"-1", "points are"}, {"00", "points are"}, {"yesterday", "points are"},
		{"2015-11-02T03:04:04Z", "the earliest backup is of 2015-11-02T03:04:05Z"},
	} {
		_, err := c.At(tt.point)
		if !errors.Is(err, chain.ErrNoPoint) || !strings.Contains(hint.Of(err), tt.hint) {
			t.Errorf("At(%q): %v, hint %q, want %q", tt.point, err, hint.Of(err), tt.hint)
		}
	}
	if a, b := view(t, c, "latest"), view(t, c, "2"); a != b {
		t.Error("a view is made twice")
	}
}

func TestDiff(t *testing.T) {
	c, _ := write(t,
		sample.Layer{Time: at(0), Files: []sample.File{file("a", "0", 0), file("b", "0", 0)}},
		sample.Layer{Time: at(1), Files: []sample.File{file("b", "1", 1), file("c", "1", 1)}})
	old, latest := view(t, c, "full"), view(t, c, "latest")
	show := func(a, b *chain.View) string {
		var out strings.Builder
		for d := range chain.Diff(a, b) {
			fmt.Fprintf(&out, "%s %v %v; ", d.Path, d.Old != nil, d.New != nil)
		}
		return out.String()
	}
	if got, want := show(old, latest), "b true true; c false true; "; got != want {
		t.Errorf("forward %q, want %q", got, want)
	}
	if got, want := show(latest, old), "b true true; c true false; "; got != want {
		t.Errorf("backward %q, want %q", got, want)
	}
	if got := show(latest, latest); got != "" {
		t.Errorf("same %q", got)
	}
}

func TestGhosts(t *testing.T) {
	c, _ := write(t,
		sample.Layer{Time: at(0), Files: []sample.File{file("a/b/1", "1", 0), file("a/b/2", "2", 0), file("meta", "m", 0)}},
		sample.Layer{Time: at(1), Files: []sample.File{file("a/b/3", "3", 1)}})
	reason := func(f chain.File) string {
		if f.Path == "a/b/2" {
			return "dropped"
		}
		return ""
	}
	v := view(t, c, chain.Latest)
	for g, want := range map[chain.Ghosts]map[string]string{
		chain.Show: {"a/b/1": "1", "a/b/2": "2", "a/b/3": "3", "meta": "m"},
		chain.Hide: {"a/b/1": "1", "a/b/3": "3", "meta": "m"},
		chain.Only: {"a/b/2": "2"},
	} {
		with := v.WithGhosts(g, reason)
		if got := contents(t, with); !maps.Equal(got, want) {
			t.Errorf("%v: %q, want %q", g, got, want)
		}
		for f := range with.Files() {
			if (f.Ghost != "") != (f.Path == "a/b/2") {
				t.Errorf("%v: %s is a ghost: %q", g, f.Path, f.Ghost)
			}
			fi, err := with.Stat(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			if got := maps.Collect(attr.All(fi))["ghost"]; got != f.Ghost {
				t.Errorf("%v: attribute of %s is %q, want %q", g, f.Path, got, f.Ghost)
			}
		}
		var parsed chain.Ghosts
		if text, _ := g.MarshalText(); parsed.UnmarshalText(text) != nil || parsed != g {
			t.Errorf("%v is not read back", g)
		}
	}
	if got := contents(t, v); len(got) != 4 {
		t.Errorf("the view itself changed: %q", got)
	}
	if err := new(chain.Ghosts).UnmarshalText([]byte("some")); err == nil {
		t.Error("no error for a wrong word")
	}
}

// TestModel compares random chains with a plain map.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		dialect := []chain.Dialect{chain.ByTime, chain.ByIndex}[rnd.IntN(2)]
		type copyOf struct {
			data  string
			stamp int // -1 without a manifest
		}
		state := map[string]copyOf{}
		var states []map[string]string
		var layers []sample.Layer
		for n := range 1 + rnd.IntN(6) {
			l := sample.Layer{Time: at(n), Dialect: dialect, NoManifest: rnd.IntN(6) == 0}
			for _, f := range rnd.Perm(12)[:rnd.IntN(12)] {
				name := fmt.Sprintf("db%d/rp/%d", f%3, f)
				if f == 0 {
					name = "meta"
				}
				stamp := rnd.IntN(8)
				data := fmt.Sprintf("%s in %d", name, n)
				l.Files = append(l.Files, file(name, data, stamp))
				if l.NoManifest {
					stamp = -1
				}
				old, ok := state[name]
				if !ok || stamp < 0 || old.stamp < 0 || stamp > old.stamp {
					state[name] = copyOf{data, stamp}
				}
			}
			layers = append(layers, l)
			now := map[string]string{}
			for k, v := range state {
				now[k] = v.data
			}
			states = append(states, now)
		}
		c, _ := write(t, layers...)
		// Any order of asking gives the same.
		for _, i := range rnd.Perm(len(states)) {
			name := "full"
			if i > 0 {
				name = fmt.Sprint(i - 1)
			}
			if got := contents(t, view(t, c, name)); !maps.Equal(got, states[i]) {
				t.Fatalf("seed %d: point %s: %q, want %q", seed, name, got, states[i])
			}
		}
	}
}
