package dirtree

import (
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// TestModel builds random trees and holds them against maps: nothing may be
// lost, whatever is called the same, and the order of Adds of different paths
// must not matter.
func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	elems := []string{"a", "b", "a.d", "a.d.d", "meta", "meta.d", "-", "a-", strings.Repeat("x", 255), strings.Repeat("x", 254) + "y", strings.Repeat("é", 127)}
	reserved := []string{"meta"}
	for round := range 300 {
		var in memory
		for range rng.IntN(30) {
			var path []string
			for range 1 + rng.IntN(3) {
				path = append(path, elems[rng.IntN(len(elems))])
			}
			mode := reg
			if rng.IntN(4) == 0 {
				mode = dr
			}
			in = append(in, memFile{strings.Join(path, "/"), mode, strings.Join(path, "/")})
		}
		files := make(map[string]bool)
		last := make(map[string]uint32) // the last file of each path
		dirs := make(map[string]bool)
		for i, f := range in {
			parts := strings.Split(f.path, "/")
			for k := 1; k < len(parts); k++ {
				dirs[strings.Join(parts[:k], "/")] = true
			}
			if f.mode.IsDir() {
				dirs[f.path] = true
			} else {
				files[f.path] = true
				last[f.path] = uint32(i)
			}
		}
		renamed := make(map[string]string)
		shadowed := 0
		b := Builder{
			Reserved: reserved,
			Renamed:  func(path, shown string) { renamed[path] = shown },
			Shadowed: func(path string, ref, by uint32) {
				shadowed++
				if in[ref].path != path || in[by].path != path || ref >= by {
					t.Fatalf("round %d: Shadowed(%q, %d, %d)", round, path, ref, by)
				}
			},
		}
		fsys := in.build(&b)

		// Where the model expects the file at path: in its directory, under
		// the names that this and those above are shown with.
		shown := func(path string) string {
			parts := strings.Split(path, "/")
			out := make([]string, len(parts))
			for k := range parts {
				out[k] = parts[k]
				if to, ok := renamed[strings.Join(parts[:k+1], "/")]; ok && k < len(parts)-1 {
					out[k] = to[strings.LastIndex(to, "/")+1:]
				}
			}
			return strings.Join(out, "/")
		}
		found := make(map[uint32]string)
		var order []string
		for path, ref := range fsys.All() {
			found[ref] = path
			order = append(order, path)
			for elem := range strings.SplitSeq(path, "/") {
				if len(elem) > maxName {
					t.Fatalf("round %d: an element of %d bytes", round, len(elem))
				}
			}
		}
		if len(found) != len(files) {
			t.Fatalf("round %d: %d files, want %d", round, len(found), len(files))
		}
		total := 0
		for _, f := range in {
			if !f.mode.IsDir() {
				total++
			}
		}
		if total-len(files) != shadowed {
			t.Fatalf("round %d: %d files shadowed, want %d", round, shadowed, total-len(files))
		}
		for path := range files {
			if got := found[last[path]]; got != shown(path) {
				t.Fatalf("round %d: %q is at %q, want %q", round, path, got, shown(path))
			}
			if ref, ok := fsys.Lookup(shown(path)); !ok || ref != last[path] {
				t.Fatalf("round %d: Lookup(%q) = %d, %v", round, shown(path), ref, ok)
			}
		}
		for path := range renamed {
			if !dirs[path] || !files[path] && (strings.Contains(path, "/") || path != "meta" && path != "meta.d") {
				t.Fatalf("round %d: %q renamed for no reason", round, path)
			}
		}
		for path := range dirs {
			if files[path] && renamed[path] == "" {
				t.Fatalf("round %d: directory %q not renamed", round, path)
			}
		}
		if dirs["meta"] && !files["meta.d"] && renamed["meta"] != "meta.d" {
			t.Fatalf("round %d: directory meta is at %q", round, renamed["meta"])
		}

		var walk []string
		err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				walk = append(walk, path)
			}
			return err
		})
		if err != nil || !slices.Equal(walk, order) {
			t.Fatalf("round %d: All is not in the order of WalkDir: %v", round, err)
		}
		if round%10 == 0 && len(order) > 0 {
			if err := fstest.TestFS(fsys, order...); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}

		// The same paths in another order give the same tree.
		var unique, other memory
		for path := range files {
			unique = append(unique, memFile{path, reg, path})
		}
		for path := range dirs {
			unique = append(unique, memFile{path, dr, ""})
		}
		slices.SortFunc(unique, func(a, b memFile) int { return strings.Compare(a.path+a.mode.String(), b.path+b.mode.String()) })
		other = slices.Clone(unique)
		rng.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		a := list(t, unique.build(&Builder{Reserved: reserved}))
		if b := list(t, other.build(&Builder{Reserved: reserved})); !slices.Equal(a, b) {
			t.Fatalf("round %d: another order gives another tree:\n%q\n%q", round, a, b)
		}
	}
}

// TestManyTakers makes names beside names collide as often as they can.
func TestManyTakers(t *testing.T) {
	var in memory
	name := "x"
	for range 120 {
		in = append(in, memFile{name, reg, "f"}, memFile{name + "/y", reg, "y"})
		name += ".d"
	}
	for k := range 40 {
		long := strings.Repeat("z", 250) + string(rune('a'+k%26)) + string(rune('a'+k/26))
		in = append(in, memFile{long, reg, "f"}, memFile{long + "/y", reg, "y"}, memFile{long + ".d", reg, "f"})
	}
	fsys := in.build(new(Builder))
	n := 0
	for path := range fsys.All() {
		n++
		for elem := range strings.SplitSeq(path, "/") {
			if len(elem) > maxName {
				t.Errorf("%q is too long", elem)
			}
		}
	}
	if n != len(in) {
		t.Errorf("%d files, want %d", n, len(in))
	}
}

func TestAddRefuses(t *testing.T) {
	for _, tt := range []struct {
		path string
		ref  uint32
		mode fs.FileMode
	}{
		{"", 0, reg}, {"/a", 0, reg}, {"a/", 0, reg}, {"a/../b", 0, reg}, {".", 0, reg}, {"a", Made, reg}, {"\xff", 0, reg},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Add(%q, %d, %v) did not panic", tt.path, tt.ref, tt.mode)
				}
			}()
			new(Builder).Add(tt.path, tt.ref, tt.mode)
		}()
	}
}
