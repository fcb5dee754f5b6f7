package chain_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
)

// versions is a history as text.
func versions(v *chain.View, path string) string {
	var out []string
	for _, x := range v.History(path) {
		s := x.Layer.Name + ":" + string(x.Rule)
		if x.Before != nil {
			s += ":" + x.Before.Layer.Name
		}
		if x.Current {
			s += "*"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestHistory(t *testing.T) {
	c, _ := write(t,
		sample.Layer{Time: at(100), Files: []sample.File{file("db/rp/1", "a", 10), file("db/rp/2", "b", 20)}},
		sample.Layer{Time: at(200), Files: []sample.File{file("db/rp/1", "a2", 10), file("db/rp/2", "b2", 30), file("db/rp/3", "c", 40)}},
		sample.Layer{Time: at(300)},
		sample.Layer{Time: at(400), Files: []sample.File{file("db/rp/1", "a3", 5), file("db/rp/2", "b3", 31)}})
	for _, tt := range []struct{ point, path, want string }{
		{"latest", "db/rp/1", "full:first* 0:tie:full 2:older:full"},
		{"latest", "db/rp/2", "full:first 0:newer:full 2:newer:0*"},
		{"0", "db/rp/2", "full:first 0:newer:full*"},
		{"latest", "db/rp/3", "0:first*"},
		{"full", "db/rp/3", ""},
		{"latest", "none", ""},
	} {
		if got := versions(view(t, c, tt.point), tt.path); got != tt.want {
			t.Errorf("%s at %s: %s, want %s", tt.path, tt.point, got, tt.want)
		}
	}
	var got []string
	for _, l := range view(t, c, "").Log(func(string) bool { return true }) {
		got = append(got, fmt.Sprintf("%s +%d ~%d =%d -%d %d", l.Point.Name, l.Added, l.Replaced, l.Unchanged, l.Lost, l.Bytes))
	}
	if want := []string{"full +2 ~0 =0 -0 2", "0 +1 ~1 =1 -1 3", "1 +0 ~0 =3 -0 0", "2 +0 ~1 =2 -1 2"}; !slices.Equal(got, want) {
		t.Errorf("log %q, want %q", got, want)
	}
	only := view(t, c, "0").Log(func(p string) bool { return p == "db/rp/3" })
	if len(only) != 2 || only[0].Added+only[0].Unchanged != 0 || only[1].Added != 1 || len(only[1].Changes) != 1 {
		t.Errorf("log of one file: %+v", only)
	}

	tree := view(t, c, "latest")
	if f, ok := tree.FileAt("db/rp/2"); !ok || f.Layer.Name != "2" {
		t.Errorf("%+v, %v", f, ok)
	}
	for _, name := range []string{"manifest", "db", "none", "../x"} {
		if f, ok := tree.FileAt(name); ok && !f.Mode.IsDir() {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestHistoryNoManifest: in plain tars the later copy wins.
func TestHistoryNoManifest(t *testing.T) {
	c, _ := write(t,
		sample.Layer{Time: at(100), NoManifest: true, Files: []sample.File{file("a", "1", 1)}},
		sample.Layer{Time: at(200), NoManifest: true, Files: []sample.File{file("a", "2", 0)}})
	if got, want := versions(view(t, c, ""), "a"), "full:first 0:later-layer:full*"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c, _ = write(t,
		sample.Layer{Time: at(100), Files: []sample.File{file("a", "1", 1)}},
		sample.Layer{Time: at(200), NoManifest: true, Files: []sample.File{file("a", "2", 0)}})
	if got, want := versions(view(t, c, ""), "a"), "full:first 0:no-entry:full*"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestRealHistory: of all files of real chains the current version is the one
// that the view shows.
func TestRealHistory(t *testing.T) {
	for _, snap := range realchains.All(t) {
		c := open(t, snap)
		for p := range c.Points() {
			v := view(t, c, p.Name)
			for f := range v.Files() {
				current := 0
				for _, x := range v.History(f.Path) {
					if x.Current {
						current++
						if x.Layer != f.Layer || x.Size != f.Size {
							t.Errorf("%s at %s: %s: %+v, shown is %+v", snap, p.Name, f.Path, x.File, f)
						}
					}
				}
				if current != 1 {
					t.Errorf("%s at %s: %s: %d versions are current", snap, p.Name, f.Path, current)
				}
				if g, ok := v.FileAt(v.TreePath(f)); !ok || g.Path != f.Path || g.Layer != f.Layer {
					t.Errorf("%s at %s: %s: found %+v", snap, p.Name, f.Path, g)
				}
			}
		}
	}
}
