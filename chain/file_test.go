package chain_test

import (
	"io"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestFile holds what a view finds without a tree against the tree.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snap")
	if err := sample.Write(path, sample.Layer{Time: at(0), Files: []sample.File{file("meta", "m", 0), file("db/rp/1", "one", 0), file("db/rp/2", "", 0)}}); err != nil {
		t.Fatal(err)
	}
	c, err := chain.Open(path, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	view := c.LayerView(c.Layers()[0])
	for _, name := range []string{"meta", "db/rp/1", "db/rp/2"} {
		want, err := fs.ReadFile(view, name)
		if err != nil {
			t.Fatal(err)
		}
		f, ok := view.File(name)
		if !ok || f.Path != name {
			t.Fatalf("%s: %+v, %v", name, f, ok)
		}
		r, err := f.Content()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(r, 0, f.Size))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"", ".", "db", "db/rp/3", "zz", chain.ManifestName} {
		if f, ok := view.File(name); ok {
			t.Errorf("%q: %+v", name, f)
		}
	}
}

// TestGhostsShare wants the view with ghosts marked to be the view without, in
// all but what it says of them.
func TestGhostsShare(t *testing.T) {
	c, err := chain.Open(longChain(t, 3, 50), chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := c.At(chain.Latest)
	if err != nil {
		t.Fatal(err)
	}
	marked := v.WithGhosts(chain.Show, func(f chain.File) string {
		if f.Path == "db07/default/7" {
			return "why"
		}
		return ""
	})
	ghosts := 0
	want, got := files(t, v), files(t, marked)
	for i := range want {
		if got[i].Ghost != "" {
			ghosts++
			got[i].Ghost = ""
		}
		if got[i] != want[i] {
			t.Errorf("%+v marked, %+v before", got[i], want[i])
		}
	}
	if ghosts != 1 || len(got) != len(want) {
		t.Errorf("%d ghosts among %d files of %d", ghosts, len(got), len(want))
	}
}

func files(t *testing.T, v *chain.View) []chain.File {
	t.Helper()
	var out []chain.File
	for f := range v.Files() {
		if _, err := v.Stat(f.Path); err != nil {
			t.Error(err)
		}
		out = append(out, f)
	}
	return out
}
