package chain_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestDiscover looks at what lies around a chain.
func TestDiscover(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "snap")
	layer := sample.Layer{Time: at(0), Files: []sample.File{file("a", "x", 0)}}
	if err := sample.Write(path, layer, layer, layer); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"snap.3.pending", "snap.pending", "snap.4", "snap.5", "snap.01", "snap.x", "snapshot", "snap.0.bak"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, path)
	if n := len(c.Layers()); n != 3 {
		t.Errorf("%d layers, want 3", n)
	}
	var text []string
	for _, w := range c.Warnings() {
		text = append(text, w.Text)
	}
	want := []string{
		"unfinished backup snap.3.pending is left out",
		"unfinished backup snap.pending is left out",
		"snap.2 is missing; left out, as by the old tools: snap.4, snap.5",
	}
	if !slices.Equal(text, want) {
		t.Errorf("warnings %q, want %q", text, want)
	}

	c = open(t, path+".1")
	if got := codes(c); !slices.Equal(got, []string{"incremental"}) {
		t.Errorf("an incremental by itself: warnings %q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := chain.Open(path, chain.Options{}); !errors.Is(err, chain.ErrBroken) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the full snapshot: %v", err)
	}
	if _, err := chain.Open(filepath.Join(dir, "none"), chain.Options{}); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, chain.ErrBroken) {
		t.Errorf("without anything: %v", err)
	}
	if _, err := chain.Open(dir, chain.Options{}); err == nil || hint.Of(err) == "" {
		t.Errorf("a directory: %v, hint %q", err, hint.Of(err))
	}
}

func TestMixedDialects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snap")
	err := sample.Write(path,
		sample.Layer{Time: at(0), Files: []sample.File{file("a", "x", 0)}},
		sample.Layer{Time: at(1), Files: []sample.File{file("a", "y", 1)}, Dialect: chain.ByIndex})
	if err != nil {
		t.Fatal(err)
	}
	_, err = chain.Open(path, chain.Options{})
	if !errors.Is(err, chain.ErrBroken) || !strings.Contains(err.Error(), path+" has lastModified") || !strings.Contains(err.Error(), path+".0 has index") {
		t.Errorf("error %v", err)
	}
}
