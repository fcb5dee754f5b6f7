package chain_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
)

// checkUse holds Use against the files of all views.
func checkUse(t *testing.T, c *chain.Chain) {
	t.Helper()
	type copied struct{ layer, name string }
	shown, newest := map[copied]bool{}, map[copied]bool{}
	for p := range c.Points() {
		v, err := c.At(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		clear(newest)
		for f := range v.Files() {
			if !f.Missing {
				shown[copied{f.Layer.Name, f.Name}] = true
				newest[copied{f.Layer.Name, f.Name}] = true
			}
		}
	}
	for _, u := range c.Use() {
		if sum := u.Newest + u.Older + u.None + u.Frame; sum != u.Layer.Size {
			t.Errorf("%s: %+v adds up to %d of %d bytes", u.Layer.Path, u, sum, u.Layer.Size)
		}
		var none, unused int64
		for _, x := range u.Unused {
			none += x.Bytes
			if x.Name != "" {
				unused++
				if shown[copied{u.Layer.Name, x.Name}] {
					t.Errorf("%s: %v, but a point shows it", u.Layer.Path, x)
				}
			}
		}
		if none != u.None {
			t.Errorf("%s: unused are %d bytes, not %d", u.Layer.Path, none, u.None)
		}
		want := struct{ newest, older int64 }{}
		size := func(n int64) int64 { return 512 + (n+511)/512*512 } // short names
		for f := range c.LayerView(u.Layer).Files() {
			k := copied{u.Layer.Name, f.Name}
			switch {
			case f.Missing:
			case newest[k]:
				want.newest += size(f.Size)
			case shown[k]:
				want.older += size(f.Size)
			default:
				unused--
			}
		}
		if u.Newest != want.newest || u.Older != want.older || unused != 0 {
			t.Errorf("%s: newest %d, older %d, want %+v; %d unused members too many", u.Layer.Path, u.Newest, u.Older, want, unused)
		}
	}
}

func TestUse(t *testing.T) {
	c, _ := write(t,
		sample.Layer{Time: at(10), Files: []sample.File{file("a", "old", 1), file("b", "tie", 1), file("c", "kept", 1)}},
		sample.Layer{Time: at(20), Files: []sample.File{file("a", "new", 2), file("b", "tie again", 1)}})
	checkUse(t, c)
	u := c.Use()
	if got, want := fmt.Sprint(u[0].Newest, u[0].Older, u[0].None, u[1].Newest, u[1].None), "2048 1024 0 1024 1024"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := fmt.Sprint(u[1].Unused), `["b", 1024 bytes at 2048: an earlier layer has a copy that is as new]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}

	// Something behind the end, and a layer that is no tar.
	path := filepath.Join(t.TempDir(), "snap")
	if err := sample.Write(path, sample.Layer{Time: at(10), Files: []sample.File{file("a", "x", 1)}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{path: string(b) + "trailing", path + ".0": "no tar at all", path + ".1": ""} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	odd, err := chain.Open(path, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer odd.Close()
	checkUse(t, odd)
	if got, want := fmt.Sprint(odd.Use()[0].Unused, odd.Use()[1].Unused), `[8 bytes at 3072: behind the end] [13 bytes at 0: no tar]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestUseRandom(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var layers []sample.Layer
		for n := range 1 + rnd.IntN(5) {
			l := sample.Layer{Time: at(n)}
			for i := range 8 {
				if rnd.IntN(2) == 0 {
					l.Files = append(l.Files, file(fmt.Sprint("f", i), fmt.Sprint(seed, n, i), rnd.IntN(4)))
				}
			}
			layers = append(layers, l)
		}
		c, _ := write(t, layers...)
		if checkUse(t, c); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestUseReal(t *testing.T) {
	for _, path := range realchains.All(t) {
		c, err := chain.Open(path, chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkUse(t, c)
		c.Close()
	}
}
