package origin

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestChain gives a chain out again, at each of its points.
func TestChain(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, snap := range append([]string{snap}, chains(t)...) {
		ch, err := chain.Open(snap, chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var before chain.Manifest
		for p := range ch.Points() {
			view, err := ch.At(p.Name)
			if err != nil {
				t.Fatal(err)
			}
			merged := view.Manifest()
			m, files := read(t, Chain{snap, p.Name}, chain.Manifest{})
			if !bytes.Equal(m.AppendJSON(nil), merged.AppendJSON(nil)) {
				t.Errorf("%s at %s: not the merged manifest", snap, p.Name)
			}
			for f := range view.Files() {
				content, err := f.Content()
				if err != nil {
					t.Fatal(err)
				}
				want, err := io.ReadAll(io.NewSectionReader(content, 0, f.Size))
				if err != nil || !bytes.Equal(want, files[f.Name]) {
					t.Errorf("%s at %s: %s: not the content, %v", snap, p.Name, f.Name, err)
				}
				delete(files, f.Name)
			}
			if len(files) > 0 {
				t.Errorf("%s at %s: too many: %q", snap, p.Name, slices.Sorted(maps.Keys(files)))
			}
			// Who has the point before gets what the layer added to it.
			added, files := read(t, Chain{snap, p.Name}, before)
			var want chain.Manifest
			want.Dialect = merged.Dialect
			for _, f := range merged.Files {
				if !slices.Contains(before.Files, f) {
					want.Files = append(want.Files, f)
				}
			}
			if !bytes.Equal(added.AppendJSON(nil), want.AppendJSON(nil)) || len(files) != len(want.Files) {
				t.Errorf("%s at %s: %s, want %s", snap, p.Name, added.AppendJSON(nil), want.AppendJSON(nil))
			}
			before = merged
		}
		if err := ch.Close(); err != nil {
			t.Error(err)
		}
	}
}

// chains returns those of real servers where they are there, without the one
// that ends in an empty layer: its last point is the one before.
func chains(t *testing.T) (all []string) {
	t.Run("real", func(t *testing.T) { all = realchains.All(t) })
	return slices.DeleteFunc(all, func(s string) bool { return filepath.Base(filepath.Dir(s)) == "v0.9.4.2p-small" })
}

// TestChainDamaged sends nothing rather than half a layer.
func TestChainDamaged(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(snap + ".2")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(snap+".2", st.Size()-2048); err != nil {
		t.Fatal(err)
	}
	if _, err := (Chain{Path: snap}).Begin(t.Context(), chain.Manifest{}); !errors.Is(err, chain.ErrMissing) {
		t.Errorf("%v", err)
	}
	if _, err := (Chain{Path: snap, At: "9"}).Begin(t.Context(), chain.Manifest{}); !errors.Is(err, chain.ErrNoPoint) {
		t.Errorf("%v", err)
	}
	m, _ := read(t, Chain{snap, "1"}, chain.Manifest{})
	if len(m.Files) != 5 {
		t.Errorf("%d files", len(m.Files))
	}
	if _, err := (Chain{Path: snap + ".none"}).Begin(t.Context(), chain.Manifest{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	plain := filepath.Join(t.TempDir(), "plain.tar")
	if err := sample.Write(plain, sample.Layer{Time: time.Unix(1e9, 0), NoManifest: true, Files: []sample.File{{Name: "a", Data: []byte("x")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := (Chain{Path: plain}).Begin(t.Context(), chain.Manifest{}); err == nil {
		t.Error("a tar without a manifest answers")
	}
}
