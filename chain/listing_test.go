package chain

import (
	"archive/tar"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestLayerManifest: a layer gives its manifest back as it was, whatever the tar
// holds of it, and each file has the entry that counts.
func TestLayerManifest(t *testing.T) {
	member := func(name, content string) [2]string { return [2]string{name, content} }
	abc := [][2]string{member("a", "1"), member("b/c", "22"), member("d", "333")}
	for _, tt := range []struct {
		name, manifest string
		members        [][2]string
		listed         map[string]int // by path, which entry
	}{
		{"plain", `{"files":[{"name":"a","size":1,"index":7},{"name":"b/c","size":2,"index":8},{"name":"d","size":3,"index":9}]}`,
			abc, map[string]int{"a": 0, "b/c": 1, "d": 2}},
		{"white space", `{"files": [{"name": "a", "size": 1, "lastModified": "2015-11-02T03:04:05Z"}, {"name": "d", "size": 3, "lastModified": "2015-11-02T03:04:05.5Z"}]}`,
			abc, map[string]int{"a": 0, "d": 1}},
		{"zones", `{"files":[{"name":"a","size":1,"lastModified":"2015-11-02T03:04:05+05:30"},{"name":"b/c","size":2,"lastModified":"2015-07-02T03:04:05.123456789-08:00"},{"name":"d","size":3,"lastModified":"9999-11-02T03:04:05Z"}]}`,
			abc, map[string]int{"a": 0, "b/c": 1, "d": 2}},
		{"sizes", `{"files":[{"name":"a","size":9,"index":7},{"name":"b/c","size":2,"index":8}]}`,
			abc, map[string]int{"a": 0, "b/c": 1}},
		{"order", `{"files":[{"name":"d","size":3,"index":7},{"name":"a","size":1,"index":8},{"name":"b/c","size":2,"index":9}]}`,
			abc, map[string]int{"d": 0, "a": 1, "b/c": 2}},
		{"absent", `{"files":[{"name":"0","size":5,"index":7},{"name":"a","size":1,"index":8},{"name":"c","size":2,"index":9},{"name":"e","size":0,"index":9}]}`,
			abc, map[string]int{"0": 0, "a": 1, "c": 2, "e": 3}},
		{"twice, the newer behind", `{"files":[{"name":"a","size":1,"index":7},{"name":"a","size":1,"index":8},{"name":"d","size":3,"index":8}]}`,
			abc, map[string]int{"a": 1, "d": 2}},
		{"twice, the older behind", `{"files":[{"name":"a","size":1,"index":7},{"name":"d","size":3,"index":8},{"name":"a","size":1,"index":6}]}`,
			abc, map[string]int{"a": 0, "d": 1}},
		{"absent twice", `{"files":[{"name":"x","size":1,"index":7},{"name":"x","size":2,"index":8}]}`,
			abc, map[string]int{"x": 0}},
		{"other names", `{"files":[{"name":"./a","size":1,"index":7},{"name":"../d","size":3,"index":8},{"name":"b//c","size":2,"index":8}]}`,
			[][2]string{member("a", "1"), member("../d", "333"), member("b/c", "22")}, map[string]int{"a": 0, "%2E%2E/d": 1, "b/c": 2}},
		{"no stamps", `{"files":[{"name":"a","size":1},{"name":"b/c","size":2,"index":3},{"name":"d","size":3}]}`,
			abc, map[string]int{"a": 0, "b/c": 1, "d": 2}},
		{"no stamps at all", `{"files":[{"name":"a","size":1}]}`, abc, map[string]int{"a": 0}},
		{"empty", `{"files":[]}`, abc, nil},
		{"null", `{"files":null}`, abc, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "snap")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			w := tar.NewWriter(f)
			for _, m := range append([][2]string{member(ManifestName, tt.manifest)}, tt.members...) {
				if err := w.WriteHeader(&tar.Header{Name: m[0], Size: int64(len(m[1])), Mode: 0o600}); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write([]byte(m[1])); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			c, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if odd := len(c.Layers()[0].listing.odd); odd > 0 && tt.name == "order" {
				t.Errorf("%d entries are kept with name and size, although members have both", odd)
			}
			want, err := ReadManifest(strings.NewReader(tt.manifest))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.layers[0].Manifest(); !reflect.DeepEqual(got, want) {
				t.Errorf("manifest %+v, want %+v", got, want)
			}
			v, err := c.At(Latest)
			if err != nil {
				t.Fatal(err)
			}
			for f := range v.Files() {
				var entry ManifestFile
				if i, ok := tt.listed[f.Path]; ok {
					entry = want.Files[i]
					delete(tt.listed, f.Path)
				}
				if !reflect.DeepEqual(f.Listed, entry) {
					t.Errorf("%s has the entry %+v, want %+v", f.Path, f.Listed, entry)
				}
			}
			for path := range tt.listed {
				t.Errorf("%s is not in the view", path)
			}
		})
	}
}
