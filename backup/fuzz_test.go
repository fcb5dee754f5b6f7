package backup

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
)

// FuzzAnswer wants of any answer that it is refused, and nothing is left, or that
// the chain is sound with it.
func FuzzAnswer(f *testing.F) {
	later := monday.Add(time.Hour)
	text := sample.File{Name: "a", Data: []byte("text"), Modified: later}
	for _, b := range [][]byte{
		layer(f, later, text, metaFile(later)),
		layer(f, later, shardFile(f, "db/rp/1", later)),
		layer(f, later),
		layer(f, monday, sample.File{Name: "ä/b", Data: []byte("x"), Modified: monday}),
		write(f, sample.Layer{Time: later, Dialect: chain.ByIndex, Files: []sample.File{text}}),
		write(f, sample.Layer{Time: later, NoManifest: true, Files: []sample.File{text}}),
		nil,
	} {
		f.Add(b)
	}
	dir := f.TempDir()
	path := filepath.Join(dir, "snap")
	full := layer(f, monday, metaFile(monday))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, full, 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path + ".0")
		before := state(t, dir)
		_, err := Take(t.Context(), path, answers(b), Options{})
		if err != nil {
			if after := state(t, dir); after != before {
				t.Fatalf("%v, but %s, was %s", err, after, before)
			}
			return
		}
		c, err := chain.Open(path, chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if len(c.Layers()) != 2 {
			t.Errorf("%d layers", len(c.Layers()))
		}
		for _, w := range c.Warnings() {
			// Times and names are what they are; the rest was checked.
			if w.Code != chain.TimeOrder && w.Code != chain.EscapedName {
				t.Errorf("taken: %v", w)
			}
		}
		if _, err := plan(path, false); err != nil {
			t.Errorf("taken, but nothing can be added: %v", err)
		}
	})
}
