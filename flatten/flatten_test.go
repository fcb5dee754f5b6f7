package flatten_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/flatten"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestRealChains flattens each chain that real servers wrote at each point. What
// archive/tar reads of it is what the view has, and what the servers' own restore
// made of the chain.
func TestRealChains(t *testing.T) {
	for _, snap := range realchains.All(t) {
		c := open(t, snap)
		before := sums(t, filepath.Dir(snap))
		flat := map[string]map[string]string{}
		for p := range c.Points() {
			v := view(t, c, p.Name)
			_, content := members(t, create(t, plan(t, v, flatten.Options{})))
			flat[p.Name] = content
			if got, want := content["manifest"], string(v.Manifest().AppendJSON(nil)); got != want {
				t.Errorf("%s at %s: manifest\n%s, want\n%s", snap, p.Name, got, want)
			}
			if len(content) != v.Len()+1 {
				t.Errorf("%s at %s: %d members, %d files", snap, p.Name, len(content), v.Len())
			}
			err := fs.WalkDir(v, ".", func(name string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				b, err := fs.ReadFile(v, name)
				for f := range v.Files() {
					if f.Path == name && content[f.Name] != string(b) {
						t.Errorf("%s at %s: %s differs", snap, p.Name, name)
					}
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		flat["latest"] = flat[c.Layers()[len(c.Layers())-1].Name]
		for _, cut := range realchains.Cuts(t, snap) {
			for name, want := range cut.Files {
				b, ok := flat[cut.Point][name]
				if !ok {
					t.Errorf("%s at %s: %s was restored, and is not there", snap, cut.Point, name)
					continue
				}
				if got := fmt.Sprintf("%d %x", len(b), sha256.Sum256([]byte(b))); got != want {
					t.Errorf("%s at %s: %s: %s, restored %s", snap, cut.Point, name, got, want)
				}
			}
		}
		if after := sums(t, filepath.Dir(snap)); after != before {
			t.Errorf("%s: the chain changed", snap)
		}
	}
}

func TestPoints(t *testing.T) {
	for name, layers := range map[string][]sample.Layer{
		"final": {
			{Time: at(10), Files: []sample.File{file("meta", "m0", 9), file("db/rp/1", "one", 1), file("db/rp/2", "", 1), file("../rp/3", "out", 1), file("ä/"+strings.Repeat("long", 40)+"/4", "x", 2)}},
			{Time: at(20), Files: []sample.File{file("meta", "m1", 19), file("db/rp/1", "one more", 15), file("db/rp/10", strings.Repeat("z", 100000), 16), file("meta/rp/6", "six", 17)}},
			{Time: at(30), Files: []sample.File{file("meta", "m2", 29), file("db/rp/1", "not newer", 15)}},
		},
		"candidate": {
			{Time: at(10), Dialect: chain.ByIndex, Files: []sample.File{file("meta", "m0", 9), file("shards/1", "one", 1)}},
			{Time: at(20), Dialect: chain.ByIndex},
			{Time: at(30), Dialect: chain.ByIndex, Files: []sample.File{file("meta", "m1", 12), file("shards/2", "two", 11)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, layers...)
			before := sums(t, filepath.Dir(path))
			c := open(t, path)
			for p := range c.Points() {
				v := view(t, c, p.Name)
				flat := create(t, plan(t, v, flatten.Options{}))
				names, content := members(t, flat)
				if names[0] != "manifest" || content["manifest"] != string(v.Manifest().AppendJSON(nil)) {
					t.Errorf("at %s: %q, manifest %s", p.Name, names, content["manifest"])
				}
				for f := range v.Files() {
					r, err := f.Content()
					if err != nil {
						t.Fatal(err)
					}
					b, err := io.ReadAll(io.NewSectionReader(r, 0, f.Size))
					if err != nil || content[f.Name] != string(b) {
						t.Errorf("at %s: %s: %q, want %q, %v", p.Name, f.Name, content[f.Name], b, err)
					}
				}
				// The new one flattened again is the same, and keeps the time of the backup.
				fc := open(t, flat)
				if got := fc.Layers()[0].Time; !got.Equal(p.Time) {
					t.Errorf("at %s: backup time %v, want %v", p.Name, got, p.Time)
				}
				again, err := os.ReadFile(create(t, plan(t, view(t, fc, ""), flatten.Options{})))
				if err != nil {
					t.Fatal(err)
				}
				first, err := os.ReadFile(flat)
				if err != nil || !bytes.Equal(first, again) {
					t.Errorf("at %s: flattened again it differs, %v", p.Name, err)
				}
			}
			if sums(t, filepath.Dir(path)) != before {
				t.Error("the chain changed")
			}
		})
	}
}

// TestRest puts the incrementals that follow a point behind the flat snapshot of
// it: together they show what the chain shows.
func TestRest(t *testing.T) {
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, path)
	flat := create(t, plan(t, view(t, c, "0"), flatten.Options{}))
	for i, l := range c.Layers()[2:] {
		b, err := os.ReadFile(l.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(fmt.Sprintf("%s.%d", flat, i), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, want := view(t, open(t, flat), ""), view(t, c, "")
	if g, w := string(got.Manifest().AppendJSON(nil)), string(want.Manifest().AppendJSON(nil)); g != w {
		t.Errorf("manifest\n%s, want\n%s", g, w)
	}
}

func TestDamage(t *testing.T) {
	layers := []sample.Layer{
		{Time: at(10), Files: []sample.File{file("meta", "m0", 9), file("db/rp/1", strings.Repeat("1", 1000), 1), file("db/rp/2", strings.Repeat("2", 1000), 1), file("db/rp/3", "3", 1)}},
		{Time: at(20), Files: []sample.File{file("meta", "m1", 19)}},
	}
	path := write(t, layers...)
	// manifest (2 blocks), 1 (3 blocks), header of 2 and a part of its data.
	if err := os.Truncate(path, 6*512+300); err != nil {
		t.Fatal(err)
	}
	c := open(t, path)
	_, err := flatten.New(t.Context(), view(t, c, ""), flatten.Options{})
	if !errors.Is(err, flatten.ErrDamaged) || !strings.Contains(err.Error(), `2 files cannot be copied whole: "db/rp/2" (`) || !strings.Contains(err.Error(), `"db/rp/3" (`) || !strings.Contains(hint.Of(err), "--damaged skip") {
		t.Fatalf("%v; hint: %s", err, hint.Of(err))
	}
	p := plan(t, view(t, c, ""), flatten.Options{Skip: true})
	if len(p.Skipped) != 2 || p.Skipped[0].Name != "db/rp/2" || p.Skipped[1].Name != "db/rp/3" || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "layer full is damaged") {
		t.Errorf("%+v, %q", p.Skipped, p.Notes)
	}
	names, content := members(t, create(t, p))
	if got := fmt.Sprint(names); got != "[manifest db/rp/1 meta]" || content["meta"] != "m1" {
		t.Errorf("members %s, meta %q", got, content["meta"])
	}
}

// TestOdd flattens what servers did not write, but tools of today may.
func TestOdd(t *testing.T) {
	path := write(t, sample.Layer{Time: at(10), Files: []sample.File{file("meta", "m0", 9)}})
	f, err := os.Create(path + ".0")
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(f)
	add := func(h tar.Header, data string) {
		h.Size, h.ModTime = int64(len(data)), at(20)
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, data); err != nil {
			t.Fatal(err)
		}
	}
	add(tar.Header{Name: "manifest", Mode: 0o600}, `{"files":[{"name":"db/rp/1","size":5,"lastModified":"2015-11-01T03:05:00.5+05:30"}]}`)
	add(tar.Header{Name: "db/", Mode: 0o755, Typeflag: tar.TypeDir}, "")
	add(tar.Header{Name: "db/rp/1", Mode: 0o600}, "four")
	add(tar.Header{Name: "db/rp/2", Mode: 0o600}, "unlisted")
	add(tar.Header{Name: "db/link", Linkname: "rp/1", Typeflag: tar.TypeSymlink}, "")
	add(tar.Header{Name: "db/\xff", Mode: 0o600, Format: tar.FormatGNU}, "no UTF-8")
	if err := errors.Join(tw.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	c := open(t, path)
	if _, err := flatten.New(t.Context(), view(t, c, ""), flatten.Options{}); !errors.Is(err, flatten.ErrDamaged) || !strings.Contains(err.Error(), "a symbolic link") || !strings.Contains(err.Error(), "no UTF-8") {
		t.Fatalf("%v", err)
	}
	p := plan(t, view(t, c, ""), flatten.Options{Skip: true})
	if got := strings.Join(p.Notes, "\n"); got != "\"db/rp/1\" has 4 bytes; its manifest says 5\n\"db/rp/2\" is in no manifest, and gets an entry" {
		t.Errorf("notes %s", got)
	}
	_, content := members(t, create(t, p))
	if got, want := content["manifest"], `{"files":[{"name":"db/rp/1","size":4,"lastModified":"2015-11-01T03:05:00.5+05:30"},{"name":"db/rp/2","size":8,"lastModified":"2015-11-01T03:24:05Z"},{"name":"meta","size":2,"lastModified":"2015-11-01T03:13:05Z"}]}`; got != want {
		t.Errorf("manifest %s, want %s", got, want)
	}

	bare := write(t, sample.Layer{Time: at(1), NoManifest: true, Files: []sample.File{file("a", "a", 1)}})
	if _, err := flatten.New(t.Context(), view(t, open(t, bare), ""), flatten.Options{}); !errors.Is(err, flatten.ErrNoSnapshot) {
		t.Errorf("a tar without a manifest: %v", err)
	}
}

func TestNames(t *testing.T) {
	path := write(t, sample.Layer{Time: at(10), Files: []sample.File{file("meta", "m0", 9)}}, sample.Layer{Time: at(20), Files: []sample.File{file("meta", "m1", 19)}})
	dir := filepath.Dir(path)
	before := sums(t, dir)
	p := plan(t, view(t, open(t, path), ""), flatten.Options{})
	there := filepath.Join(dir, "there")
	for name, data := range map[string]string{"there": "old", "other.0": "an incremental of something", "free.x": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, filepath.Join(dir, "hard")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"there": fs.ErrExist, "snap": flatten.ErrInChain, "snap.0": flatten.ErrInChain, "snap.1": flatten.ErrInChain, "snap.17": flatten.ErrInChain,
		"snap.pending": flatten.ErrInChain, "snap.3.pending": flatten.ErrInChain, "loop/snap.2": flatten.ErrInChain, "loop/snap": flatten.ErrInChain,
		"hard": flatten.ErrInChain, "other": flatten.ErrInChain, "missing/flat": fs.ErrNotExist, ".": nil, "loop": nil, "pipe": nil,
	} {
		for _, force := range []bool{false, true} {
			if name == "there" && force {
				continue
			}
			err := p.Create(t.Context(), filepath.Join(dir, name), force, nothing, nil)
			if err == nil || want != nil && !errors.Is(err, want) && (force || !errors.Is(err, fs.ErrExist)) {
				t.Errorf("%s, force %v: %v, want %v", name, force, err, want)
			}
		}
	}
	if got := sums(t, dir); got != before {
		t.Errorf("the chain changed:\n%s, was\n%s", got, before)
	}
	if b, err := os.ReadFile(there); err != nil || string(b) != "old" {
		t.Errorf("without force: %q, %v", b, err)
	}
	for name, force := range map[string]bool{"there": true, "snap.flat": false, "free": false} {
		name = filepath.Join(dir, name)
		if err := p.Create(t.Context(), name, force, nothing, nil); err != nil {
			t.Error(err)
		}
		if err := p.Verify(t.Context(), name, nothing); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".snapfs-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestChanged writes to a tar while its last member is copied, by the kernel.
func TestChanged(t *testing.T) {
	path := write(t, sample.Layer{Time: at(0), Files: []sample.File{file("a/b/1", strings.Repeat("one", 1<<18), 1)}})
	p := plan(t, view(t, open(t, path), ""), flatten.Options{})
	name := filepath.Join(t.TempDir(), "flat")
	err := p.Create(t.Context(), name, false, func(int64) {
		if err := os.Chtimes(path, time.Time{}, at(99)); err != nil {
			t.Error(err)
		}
	}, nil)
	if !errors.Is(err, chain.ErrChanged) {
		t.Error(err)
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a snapshot of it: %v", err)
	}
}

func TestCancel(t *testing.T) {
	path := write(t, sample.Layer{Time: at(10), Files: []sample.File{file("meta", "m0", 9), file("z", strings.Repeat("z", 3<<20), 1)}})
	p := plan(t, view(t, open(t, path), ""), flatten.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	if err := p.Create(ctx, filepath.Join(dir, "flat"), false, func(int64) { cancel() }, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := flatten.New(ctx, view(t, open(t, path), ""), flatten.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestCheck: a file that the check does not like gets no name.
func TestCheck(t *testing.T) {
	path := write(t, sample.Layer{Time: at(10), Files: []sample.File{file("meta", "m0", 9)}})
	p := plan(t, view(t, open(t, path), ""), flatten.Options{})
	dir := t.TempDir()
	name := filepath.Join(dir, "flat")
	for _, c := range []struct {
		change byte
		want   error
	}{{1, flatten.ErrVerify}, {0, nil}} {
		err := p.Create(t.Context(), name, false, nothing, func(path string) error {
			if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("before the check: %v", err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[bytes.Index(b, []byte("m0"))] ^= c.change
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return p.Verify(t.Context(), path, nothing)
		})
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%v, want %v", err, c.want)
		}
		left, err := os.ReadDir(dir)
		if err != nil || c.want != nil && len(left) > 0 || c.want == nil && (len(left) != 1 || left[0].Name() != "flat") {
			t.Errorf("there is %v, %v", left, err)
		}
	}
}

// TestVerify changes a flat snapshot, one byte or its length at a time; only
// what no view shows may go by.
func TestVerify(t *testing.T) {
	path := write(t, sample.Layer{Time: at(10), Files: []sample.File{file("meta", "m0", 9), file("db/rp/1", strings.Repeat("data", 300), 1)}})
	p := plan(t, view(t, open(t, path), ""), flatten.Options{})
	flat := create(t, p)
	good, err := os.ReadFile(flat)
	if err != nil {
		t.Fatal(err)
	}
	check := func(b []byte) error {
		if err := os.WriteFile(flat, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p.Verify(t.Context(), flat, nothing)
	}
	// By the blocks: header and manifest, header and 1200 bytes, header and 2 bytes, end.
	data := []struct{ from, to int }{{512, 512 + len(p.ManifestJSON())}, {1536, 1536 + 1200}, {3584, 3586}}
	for _, d := range data {
		for i := d.from; i < d.to; i += 1 + (d.to-d.from)/50 {
			b := bytes.Clone(good)
			b[i] ^= 1
			if check(b) == nil {
				t.Errorf("byte %d changed, and nothing found", i)
			}
		}
	}
	for _, head := range []int{0, 1024, 3072} {
		for i := range 155 { // behind that is a space that nobody reads
			b := bytes.Clone(good)
			b[head+i] ^= 1
			if check(b) == nil {
				t.Errorf("header at %d, byte %d changed, and nothing found", head, i)
			}
		}
	}
	for n := 0; n < len(good); n += 100 {
		if check(good[:n]) == nil {
			t.Errorf("cut to %d bytes, and nothing found", n)
		}
	}
	if err := check(good); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}
