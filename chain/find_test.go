package chain_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/sample"
)

// found looks for each file of a tree in a view by its number, checks where it
// is found, and returns the paths of those that are, in both.
func found(t *testing.T, in fs.FS, v *chain.View) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(in, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		ino, ok := attr.Ino(fi)
		path := v.Find(ino)
		if !ok || path == "" {
			return nil
		}
		there, err := fs.Lstat(v, path)
		if err != nil {
			return err
		}
		if n, _ := attr.Ino(there); n != ino || there.Mode() != fi.Mode() || there.Size() != fi.Size() {
			t.Errorf("%s, number %x, is found as %s, number %x", p, ino, path, n)
		}
		out[p] = path
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFind(t *testing.T) {
	c, _ := write(t,
		sample.Layer{Time: at(0), Files: []sample.File{file("a/1", "one", 0), file("a/2", "two", 0), file("b", "file", 0), file("b/3", "three", 0)}},
		sample.Layer{Time: at(1), Files: []sample.File{file("a/2", "newer", 1), file("a/0", "new", 1)}})
	latest, before := view(t, c, chain.Latest), view(t, c, "full")
	layer := c.LayerView(c.Layers()[1])
	for _, tt := range []struct {
		name string
		in   fs.FS
		v    *chain.View
		want map[string]string
	}{
		// What is in b.d is not where its record says.
		{"latest in itself", latest, latest, map[string]string{"a/0": "a/0", "a/1": "a/1", "a/2": "a/2", "b": "b"}},
		{"before in itself", before, before, map[string]string{"a/1": "a/1", "a/2": "a/2", "b": "b"}},
		{"before in latest", before, latest, map[string]string{"a/1": "a/1", "b": "b"}},
		{"layer in latest", layer, latest, map[string]string{"a/0": "a/0", "a/2": "a/2"}},
		{"layer in before", layer, before, map[string]string{}},
	} {
		if got := found(t, tt.in, tt.v); !maps.Equal(got, tt.want) {
			t.Errorf("%s: found %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, ino := range []uint64{0, 1, attr.MemberIno(0, 1<<40), attr.MemberIno(1, 512), attr.MemberIno(2, 0), attr.MemberIno(4095, 0),
		attr.PathIno(0, "a/1"), 1 << 60, math.MaxUint64} {
		if path := latest.Find(ino); path != "" {
			t.Errorf("number %x is %s", ino, path)
		}
	}
}

// TestFindAll finds all of many files, of which none has the place that a server
// would give it.
func TestFindAll(t *testing.T) {
	var layers []sample.Layer
	for l := range 3 {
		layer := sample.Layer{Time: at(l)}
		for i := range 300 {
			name := fmt.Sprintf("d%d/%d", i*7%5, i*(l+1)*131%1000)
			layer.Files = append(layer.Files, file(name, fmt.Sprint(l, "of", name), l))
		}
		layers = append(layers, layer)
	}
	c, _ := write(t, layers...)
	v := view(t, c, chain.Latest)
	if got, want := len(found(t, v, v)), len(contents(t, v)); got != want {
		t.Errorf("found %d files of %d", got, want)
	}
}
