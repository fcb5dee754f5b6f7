package chain_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/realchains"
)

// TestRealChains holds views against what the servers' own restore wrote, and
// against a merge by archive/tar and encoding/json.
func TestRealChains(t *testing.T) {
	for _, snap := range realchains.All(t) {
		t.Run(filepath.Base(filepath.Dir(snap)), func(t *testing.T) {
			before := hashFiles(t, snap)
			c := open(t, snap)
			merged := map[string]merge{}
			for p := range c.Points() {
				fold(t, p.Layer.Path, merged)
				v := view(t, c, p.Name)
				got := contents(t, v)
				if len(got) != len(merged) {
					t.Errorf("point %s has %d files, want %d", p.Name, len(got), len(merged))
				}
				for name, m := range merged {
					if got[name] != string(m.data) {
						t.Errorf("point %s: %s is not as in the tar that wins", p.Name, name)
					}
				}
			}
			for _, cut := range realchains.Cuts(t, snap) {
				checkCut(t, view(t, c, cut.Point), cut)
			}
			if after := hashFiles(t, snap); before != after {
				t.Error("the chain was changed")
			}
		})
	}
}

// checkCut compares a view with a data directory as the old restore left it.
func checkCut(t *testing.T, v *chain.View, cut realchains.Cut) {
	n := 0
	for name, want := range cut.Files {
		path := name
		if _, err := fs.Stat(v, path); err != nil {
			// The old restore has no file of this name in the way.
			dir, rest, _ := strings.Cut(path, "/")
			path = dir + ".d/" + rest
		}
		data, err := fs.ReadFile(v, path)
		if err != nil {
			t.Errorf("point %s: %v", cut.Point, err)
			continue
		}
		if got := fmt.Sprintf("%d %x", len(data), sha256.Sum256(data)); got != want {
			t.Errorf("point %s: %s is %s, the old restore wrote %s", cut.Point, name, got, want)
		}
		n++
	}
	t.Logf("point %s: %d files as the old restore wrote them", cut.Point, n)
}

// merge is the copy of a file that wins by the rules of the servers.
type merge struct {
	data  []byte
	time  time.Time
	index uint64
}

// fold adds a layer. It shares no code with the package.
func fold(t *testing.T, path string, state map[string]merge) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var manifest struct {
		Files []struct {
			Name         string
			LastModified time.Time
			Index        uint64
		}
	}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "manifest" {
			if err := json.Unmarshal(data, &manifest); err != nil {
				t.Fatal(err)
			}
			continue
		}
		// The names that real servers let through.
		name := h.Name
		if rest, ok := strings.CutPrefix(name, "../"); ok {
			name = "%2E%2E/" + rest
		}
		for _, file := range []string{"meta", "manifest"} {
			if rest, ok := strings.CutPrefix(name, file+"/"); ok {
				name = file + ".d/" + rest
			}
		}
		for _, m := range manifest.Files {
			if m.Name != h.Name {
				continue
			}
			old, ok := state[name]
			if !ok || m.LastModified.After(old.time) || m.Index > old.index {
				state[name] = merge{bytes.Clone(data), m.LastModified, m.Index}
			}
		}
	}
}

// hashFiles hashes all layers, with names, sizes and times.
func hashFiles(t *testing.T, snap string) string {
	files, err := filepath.Glob(snap + "*")
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, name := range files {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%s %d %v\n%s", name, st.Size(), st.ModTime(), data)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
