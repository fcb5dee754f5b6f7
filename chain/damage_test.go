package chain_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestDamage checks that a damaged layer takes nothing along but what it holds.
func TestDamage(t *testing.T) {
	layers := []sample.Layer{
		{Time: at(0), Files: []sample.File{file("a", "a0", 0), file("b", "b0", 0), file("c", "c0", 0)}},
		{Time: at(1), Files: []sample.File{file("a", "a1", 1), file("b", strings.Repeat("b1", 1000), 1), file("c", "c1", 1)}},
	}
	var whole bytes.Buffer
	if _, err := layers[1].WriteTo(&whole); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		cut   int
		read  map[string]string // "!" is an error that is damage
		codes []string
	}{
		{"empty", 0, map[string]string{"a": "a0", "b": "b0", "c": "c0"}, []string{"0:empty-layer"}},
		{"within the manifest", 600, map[string]string{"a": "a0", "b": "b0", "c": "c0"}, []string{"0:bad-manifest", "0:truncated", "0:no-manifest", "0:cut-member", "0:no-end-mark"}},
		{"before b", 2048, map[string]string{"a": "a1", "b": "!", "c": "!"}, []string{"0:missing-member", "0:no-end-mark"}},
		{"within b", 3000, map[string]string{"a": "a1", "b": "!", "c": "!"}, []string{"0:truncated", "0:missing-member", "0:cut-member", "0:no-end-mark"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "snap")
			if err := sample.Write(path, layers[0]); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+".0", whole.Bytes()[:tt.cut], 0o600); err != nil {
				t.Fatal(err)
			}
			c := open(t, path)
			if got := codes(c); !slices.Equal(got, tt.codes) {
				t.Errorf("warnings %q, want %q", got, tt.codes)
			}
			v := view(t, c, chain.Latest)
			names, err := v.ReadDir(".")
			if err != nil || len(names) != 4 {
				t.Errorf("listing %v, %v", names, err)
			}
			for name, want := range tt.read {
				got, err := fs.ReadFile(v, name)
				if want == "!" {
					if err == nil {
						t.Errorf("%s was read: %q", name, got)
					}
				} else if err != nil || string(got) != want {
					t.Errorf("%s = %q, %v, want %q", name, got, err, want)
				}
			}
			old := contents(t, view(t, c, "full"))
			if !maps.Equal(old, map[string]string{"a": "a0", "b": "b0", "c": "c0"}) {
				t.Errorf("the point before is %q", old)
			}
		})
	}
}

// TestHostileManifest: what a manifest says is only looked for, and listed as
// missing, whatever its names are.
func TestHostileManifest(t *testing.T) {
	m := chain.Manifest{Dialect: chain.ByTime}
	for _, name := range []string{"/", ".", "./", "..", "../..", "a/..", "manifest", "meta/x", "\x00", strings.Repeat("n", 3000), "a", "a", "a/b"} {
		m.Files = append(m.Files, chain.ManifestFile{Name: name, Size: 1 << 60})
	}
	path := filepath.Join(t.TempDir(), "snap")
	err := sample.Write(path, sample.Layer{Time: at(0), NoManifest: true, Files: []sample.File{{Name: "a", Data: []byte("a")}, {Name: "manifest", Data: m.AppendJSON(nil)}}})
	if err != nil {
		t.Fatal(err)
	}
	v := view(t, open(t, path), chain.Latest)
	n := 0
	err = fs.WalkDir(v, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
			if _, err := fs.ReadFile(v, p); (err != nil) != (p != "a" && p != "manifest") {
				t.Errorf("reading %s: %v", p, err)
			}
		}
		return err
	})
	if err != nil || n < 8 {
		t.Errorf("%d files, %v", n, err)
	}
}

// TestNotTar checks the errors of files that are no chain at all.
func TestNotTar(t *testing.T) {
	for name, data := range map[string]string{"empty": "", "text": strings.Repeat("no tar\n", 200), "gzip": "\x1f\x8b\x08" + strings.Repeat("x", 600)} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := chain.Open(path, chain.Options{})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "gzip" && hint.Of(err) == "" {
			t.Errorf("gzip: no hint in %v", err)
		}
	}
}
