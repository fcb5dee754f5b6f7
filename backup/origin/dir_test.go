package origin

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestDir copies a directory, and what changed in it.
func TestDir(t *testing.T) {
	dir := t.TempDir()
	at := func(n string) string { return filepath.Join(dir, filepath.FromSlash(n)) }
	put(t, at("db/rp/10"), "cpu", monday, "k", "v")
	put(t, at("db/rp/2"), "cpu", monday, "k", strings.Repeat("v", 9000))
	put(t, at("zoë.db"), "b", monday)
	for name, data := range map[string]string{"meta": "plain", "db/rp/meta": "text", "db/wal/1.wal": "text", "db/empty": ""} {
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(at(name), monday, monday); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(at("db/rp/2"), at("db/rp/3")); err != nil {
		t.Fatal(err)
	}
	before := digest(t, dir)
	m, files := read(t, Dir{Path: dir}, chain.Manifest{})
	if got := names(m); !slices.Equal(got, []string{"db/rp/10", "db/rp/2", "meta", "zoë.db"}) || m.Dialect != chain.ByTime {
		t.Fatalf("%q, %v", got, m.Dialect)
	}
	for _, f := range m.Files {
		want, err := os.ReadFile(at(f.Name))
		if err != nil || !bytes.HasPrefix(want, files[f.Name]) || int64(len(files[f.Name])) != f.Size || f.Size == 0 {
			t.Errorf("%s: %d bytes, %d in the manifest, not those of the file: %v", f.Name, len(files[f.Name]), f.Size, err)
		}
		if !f.Stamp.Time.Equal(monday) {
			t.Errorf("%s: %v", f.Name, f.Stamp)
		}
		if f.Name == "meta" {
			continue
		}
		// The file may be longer; what was copied is all of the database.
		db, err := boltview.Open(bytes.NewReader(files[f.Name]), f.Size, boltview.Options{})
		if err != nil || db.Class() != boltview.ClassA {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	c, err := Dir{Path: dir}.Begin(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if c.Manifest.Files != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], `4, the first is "db/empty"`) {
		t.Errorf("%v, %q", c.Manifest, c.Warnings)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if after := digest(t, dir); after != before {
		t.Error("the directory was changed")
	}

	put(t, at("db/rp/2"), "cpu", monday.Add(1), "k", "w")
	put(t, at("db/rp/4"), "cpu", monday.Add(-time.Hour), "k", "w")
	later, files := read(t, Dir{Path: dir}, m)
	if got := names(later); !slices.Equal(got, []string{"db/rp/2", "db/rp/4"}) || len(files) != 2 {
		t.Errorf("%q", got)
	}

	// Another meta.
	put(t, filepath.Join(t.TempDir(), "other"), "b", monday)
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, files := read(t, Dir{Path: dir, Meta: other}, m); string(files["meta"]) != "other" {
		t.Errorf("meta is %q", files["meta"])
	}
}

// TestWithoutMeta warns of shards whose metadata nobody has.
func TestWithoutMeta(t *testing.T) {
	shard, _, err := sample.Torn(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	meta := chain.Manifest{Files: []chain.ManifestFile{{Name: "meta"}}}
	for _, tt := range []struct {
		name  string
		files []string // with the bytes of a shard
		meta  bool     // by Dir.Meta
		known chain.Manifest
		want  bool
	}{
		{"another program", nil, false, chain.Manifest{}, false},
		{"shard", []string{"db/rp/1"}, false, chain.Manifest{}, true},
		{"shard of no usual name", []string{"one.db"}, false, chain.Manifest{}, true},
		{"meta is there", []string{"db/rp/1", "meta"}, false, chain.Manifest{}, false},
		{"meta is named", []string{"db/rp/1"}, true, chain.Manifest{}, false},
		{"meta is in the chain", []string{"db/rp/1"}, false, meta, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := Dir{Path: t.TempDir()}
			put(t, filepath.Join(dir.Path, "app.db"), "keys", monday, "k", "v")
			for _, name := range tt.files {
				path := filepath.Join(dir.Path, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, shard, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tt.meta {
				dir.Meta = filepath.Join(dir.Path, "app.db")
			}
			c, err := dir.Begin(t.Context(), tt.known)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := strings.Join(c.Warnings, "\n"); strings.Contains(got, "--meta FILE") != tt.want || !tt.want && got != "" {
				t.Errorf("warnings %q", got)
			}
		})
	}
}

// TestTick makes changes within the same tick of the clock, between copies and
// while one waits for it to pass.
func TestTick(t *testing.T) {
	for _, tick := range []time.Time{monday, monday.Truncate(time.Second)} {
		dir := t.TempDir()
		path := filepath.Join(dir, "a.db")
		now := tick
		var meanwhile func()
		d := Dir{Path: dir}
		d.clock = clock{func() time.Time { return now }, func(wait time.Duration) {
			now = now.Add(wait)
			meanwhile()
			meanwhile = func() { t.Error("waits twice") }
		}}
		quiet := func() {}
		known := chain.Manifest{}
		var last chain.Stamp
		for i, busy := range []bool{true, true, false, true, false} {
			put(t, path, "b", now, "k", fmt.Sprint("old ", i))
			meanwhile = quiet
			if busy {
				meanwhile = func() { put(t, path, "b", now, "k", fmt.Sprint("new ", i)) }
			}
			m, files := read(t, d, known)
			want := fmt.Sprint("old ", i)
			if busy {
				want = fmt.Sprint("new ", i)
			}
			if !bytes.Contains(files["a.db"], []byte(want)) {
				t.Fatalf("%v, copy %d: %q is lost", tick, i, want)
			}
			if !m.Files[0].Stamp.Newer(last) {
				t.Errorf("%v, copy %d: stamp %v after %v, so that the merge ignores it", tick, i, m.Files[0].Stamp, last)
			}
			known, last = m, m.Files[0].Stamp
		}
	}
	// A time in the future, set by hand, is taken as it is.
	dir := t.TempDir()
	future := time.Now().Add(time.Hour)
	put(t, filepath.Join(dir, "a.db"), "b", future)
	if m, _ := read(t, Dir{Path: dir}, chain.Manifest{}); !m.Files[0].Stamp.Time.Equal(future) {
		t.Errorf("%v, want %v", m.Files[0].Stamp.Time, future)
	}
}

// TestIndex copies the directory of a release candidate.
func TestIndex(t *testing.T) {
	dir := t.TempDir()
	index := func(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
	put(t, filepath.Join(dir, "meta"), "Meta", monday, "index", index(9))
	put(t, filepath.Join(dir, "shards/1"), "meta", monday, "index", index(7))
	put(t, filepath.Join(dir, "shards/2"), "meta", monday, "index", index(8))
	m, _ := read(t, Dir{Path: dir}, chain.Manifest{})
	want := `{"files":[{"name":"meta","size":%d,"index":9},{"name":"shards/1","size":%[1]d,"index":7},{"name":"shards/2","size":%[1]d,"index":8}]}`
	if got := string(m.AppendJSON(nil)); got != fmt.Sprintf(want, m.Files[0].Size) {
		t.Errorf("%s", got)
	}
	put(t, filepath.Join(dir, "shards/2"), "meta", monday, "index", index(10))
	later, _ := read(t, Dir{Path: dir}, m)
	if got := names(later); !slices.Equal(got, []string{"shards/2"}) {
		t.Errorf("%q", got)
	}
	put(t, filepath.Join(dir, "shards/3"), "other", monday)
	if _, err := (Dir{Path: dir}).Begin(t.Context(), m); !errors.Is(err, boltview.ErrNotFound) || !strings.Contains(err.Error(), "raft index") {
		t.Errorf("%v", err)
	}
}

// TestRefused is what no copy can be made of.
func TestRefused(t *testing.T) {
	torn, _, err := sample.Torn(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	noMetas := bytes.Clone(torn)
	for _, off := range []int{100, 4096 + 100} {
		noMetas[16+8+off-100] ^= 0xff // the checksum does not fit
	}
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		says  string // "" if it is no error
	}{
		{"nothing", nil, "no Bolt file in it"},
		{"no Bolt file", map[string][]byte{"a": []byte("text")}, "no Bolt file in it"},
		{"called manifest", map[string][]byte{"manifest": torn}, "cannot hold a file of that name"},
		{"no UTF-8", map[string][]byte{"a\xff": torn}, "cannot hold a file of that name"},
		{"no meta that is valid", map[string][]byte{"a": noMetas}, "a: "},
		{"torn", map[string][]byte{"a": torn, "manifest.d/manifest": torn}, ""},
	} {
		dir := t.TempDir()
		for name, data := range tt.files {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if tt.says == "" {
			// What lies there damaged is copied as it lies there.
			_, got := read(t, Dir{Path: dir}, chain.Manifest{})
			if !maps.EqualFunc(got, tt.files, bytes.Equal) {
				t.Errorf("%s: not the bytes of the file", tt.name)
			}
			continue
		}
		if _, err := (Dir{Path: dir}).Begin(t.Context(), chain.Manifest{}); err == nil || !strings.Contains(err.Error(), tt.says) || hint.Of(err) == "" {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := (Dir{Path: filepath.Join(t.TempDir(), "none")}).Begin(t.Context(), chain.Manifest{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestSource ends early, and with an error of the file.
func TestSource(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.db"), "b", monday, "k", strings.Repeat("v", 1<<20))
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	src := Source{Dir{Path: dir}}
	r, err := src.Fetch(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if w := r.(interface{ Warnings() []string }).Warnings(); len(w) != 1 {
		t.Errorf("%q", w)
	}
	if _, err := io.CopyN(io.Discard, r, 1000); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if r, err = src.Fetch(ctx, nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	// All locks are free again.
	put(t, filepath.Join(dir, "a.db"), "b", monday)

	c, err := Dir{Path: dir}.Begin(t.Context(), chain.Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "a.db"), 8192); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(t.Context(), io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that became shorter: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
