package doctor_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/tarindex"
)

// files are the files of a snapshot by name, in memory.
type files struct {
	t *testing.T
	m map[string][]byte
}

// read reads the chain at path.
func read(t *testing.T, path string) files {
	f := files{t, map[string][]byte{}}
	found, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		if f.m[filepath.Base(p)], err = os.ReadFile(p); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// clone returns a copy whose bytes may be changed.
func (f files) clone(t *testing.T) files {
	c := files{t, map[string][]byte{}}
	for name, b := range f.m {
		c.m[name] = bytes.Clone(b)
	}
	return c
}

// write writes the files into a directory.
func (f files) write(dir string) {
	f.t.Helper()
	for name, b := range f.m {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

// member finds a member of a layer.
func (f files) member(layer, name string) tarindex.Entry {
	f.t.Helper()
	b := f.m[layer]
	ix, err := tarindex.Build(bytes.NewReader(b), int64(len(b)), tarindex.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, e := range ix.All() {
		if e.Name == name {
			return e
		}
	}
	f.t.Fatalf("%s has no member %q", layer, name)
	return tarindex.Entry{}
}

// data returns the bytes of a member, which may be changed in place.
func (f files) data(layer, name string) []byte {
	e := f.member(layer, name)
	return f.m[layer][e.DataOffset:][:e.Size]
}

func (f files) cut(layer string, size int64) { f.m[layer] = f.m[layer][:size] }

// tarball is a layer taken apart.
type tarball struct {
	members  []*member
	manifest chain.Manifest
}

type member struct {
	tar.Header
	data []byte
}

// edit takes a layer apart and puts it together again. What is changed of the
// manifest is written, unless the member is replaced.
func (f files) edit(layer string, change func(*tarball)) {
	f.t.Helper()
	check := func(err error) {
		f.t.Helper()
		if err != nil {
			f.t.Fatal(err)
		}
	}
	var b tarball
	for r := tar.NewReader(bytes.NewReader(f.m[layer])); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		data, err := io.ReadAll(r)
		check(err)
		b.members = append(b.members, &member{*h, data})
	}
	m, err := chain.ReadManifest(bytes.NewReader(b.members[0].data))
	check(err)
	b.manifest = m
	old := string(m.AppendJSON(nil))
	change(&b)
	if now := b.manifest.AppendJSON(nil); string(now) != old {
		b.find(chain.ManifestName).data = now
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range b.members {
		m.Size = int64(len(m.data))
		check(w.WriteHeader(&m.Header))
		_, err := w.Write(m.data)
		check(err)
	}
	check(w.Close())
	f.m[layer] = out.Bytes()
}

func (b *tarball) find(name string) *member {
	return b.members[slices.IndexFunc(b.members, func(m *member) bool { return m.Name == name })]
}

func (b *tarball) drop(name string) {
	b.members = slices.DeleteFunc(b.members, func(m *member) bool { return m.Name == name })
}

// entry returns the entry of a file in the manifest.
func (b *tarball) entry(name string) *chain.ManifestFile {
	i := slices.IndexFunc(b.manifest.Files, func(f chain.ManifestFile) bool { return f.Name == name })
	return &b.manifest.Files[i]
}

// replace gives a file other contents, in tar and manifest.
func (b *tarball) replace(name string, data []byte) {
	b.find(name).data = data
	b.entry(name).Size = int64(len(data))
}

// add adds a file to tar and manifest, in their order.
func (b *tarball) add(name string, data []byte, modified time.Time) {
	h := b.members[0].Header
	h.Name = name
	at := slices.IndexFunc(b.members[1:], func(m *member) bool { return m.Name > name }) + 1
	if at == 0 {
		at = len(b.members)
	}
	b.members = slices.Insert(b.members, at, &member{h, data})
	b.manifest.Files = append(b.manifest.Files, chain.ManifestFile{Name: name, Size: int64(len(data)), Stamp: chain.Stamp{Time: modified}})
	slices.SortFunc(b.manifest.Files, func(x, y chain.ManifestFile) int { return strings.Compare(x.Name, y.Name) })
}

const (
	shard1 = "telemetry/default/1"
	shard2 = "telemetry/week/2"
	shard3 = "events/default/3"
	shard4 = "telemetry/default/4"
)

// fault is one thing done to a sound chain, and how it must be named.
type fault struct {
	name     string
	do       func(f files)
	codes    string // of all errors and warnings, each once, sorted
	verdicts string // of the points: w(hole), l(oss), n(ot)
	text     string // in one of the findings
}

// page overwrites bytes of a page of a Bolt file.
func page(data []byte, n, at int, b ...byte) { copy(data[n*4096+at:], b) }

// treePage returns the number of the n-th leaf page of a Bolt file that has
// elements.
func treePage(data []byte, n int) int {
	for p := 2; p < len(data)/4096; p++ {
		if h := data[p*4096:]; binary.LittleEndian.Uint16(h[8:]) == 2 && binary.LittleEndian.Uint16(h[10:]) > 0 && binary.LittleEndian.Uint64(h) == uint64(p) {
			if n--; n < 0 {
				return p
			}
		}
	}
	panic("no such page")
}

// root returns the root page that the newest meta of a Bolt file names.
func root(data []byte) int {
	le := binary.LittleEndian
	m := data[16:]
	if n := data[4096+16:]; le.Uint64(n[48:]) > le.Uint64(m[48:]) {
		m = n
	}
	return int(le.Uint64(m[16:]))
}

func faults() []fault {
	at := sample.Start
	return []fault{
		// Cuts, from the front of a layer to its end.
		{"cut to nothing", func(f files) { f.cut("snap.1", 0) }, "empty-layer", "wwnl", "did not notice"},
		{"cut: last layer to nothing", func(f files) { f.cut("snap.2", 0) }, "empty-layer", "wwwn", "snapfs restore"},
		{"cut: full to nothing", func(f files) { f.cut("snap", 0) }, "empty-layer lost-shard", "nlll", ""},
		{"cut in the first header", func(f files) { f.cut("snap.1", 300) }, "truncated", "wwnl", `in its first header`},
		{"cut behind the first header", func(f files) { f.cut("snap.1", 512) }, "bad-manifest truncated", "wwll", "what followed is not known"},
		{"cut in the manifest", func(f files) { f.cut("snap.1", 600) }, "bad-manifest truncated", "wwll", ""},
		{"cut behind the manifest", func(f files) { f.cut("snap.1", 1024) }, "truncated", "wwlw", `0 whole, 2 absent: "meta", "telemetry/default/4"`},
		{"cut in the second header", func(f files) { f.cut("snap", f.member("snap", shard3).HeaderOffset+17) }, "truncated", "nlll", "0 whole, 4 absent"},
		{"cut before data", func(f files) { f.cut("snap", f.member("snap", shard3).DataOffset) }, "truncated", "nlll", "0 of 32768 bytes are there"},
		{"cut in data", func(f files) { f.cut("snap", f.member("snap", shard3).DataOffset+5000) }, "truncated", "nlll", `0 whole, 1 cut ("events/default/3": 5000 of 32768 bytes are there), 3 absent`},
		{"cut at the last byte of data", func(f files) {
			f.cut("snap.2", f.member("snap.2", shard4).DataOffset+f.member("snap.2", shard4).Size-1)
		}, "truncated", "wwwl", "1 whole, 1 cut"},
		{"cut in data that is sent again", func(f files) { f.cut("snap.1", f.member("snap.1", shard4).DataOffset+4096) }, "truncated", "wwlw", `older copies may be in the point before`},
		{"cut between two members", func(f files) { f.cut("snap", f.member("snap", shard1).HeaderOffset) }, "truncated", "llll", `between two members; of its files are 2 whole, 2 absent`},
		{"cut in padding", func(f files) { f.cut("snap", f.member("snap", "meta").DataOffset+f.member("snap", "meta").Size+3) }, "truncated", "llll", ""},
		{"cut before the end mark", func(f files) { f.cut("snap.2", int64(len(f.m["snap.2"]))-1024) }, "no-end-mark", "wwww", ""},
		{"cut in the end mark", func(f files) { f.cut("snap.2", int64(len(f.m["snap.2"]))-512) }, "no-end-mark", "wwww", ""},
		{"cut in a block of the end mark", func(f files) { f.cut("snap.2", int64(len(f.m["snap.2"]))-700) }, "no-end-mark", "wwww", ""},

		// Bytes of headers, padding and what follows.
		{"flip in the first header", func(f files) { f.m["snap.1"][3] ^= 1 }, "bad-header", "wwnl", ""},
		{"flip in the first header of all", func(f files) { f.m["snap"][130] ^= 1 }, "bad-header lost-shard", "nlll", ""},
		{"flip in a header", func(f files) { f.m["snap"][f.member("snap", "meta").HeaderOffset+124] ^= 4 }, "bad-header", "llll", "1 whole, 3 absent"},
		{"flip in the last header", func(f files) { f.m["snap"][f.member("snap", shard2).HeaderOffset+1] ^= 4 }, "bad-header", "llll", `3 whole, 1 absent: "telemetry/week/2"`},
		{"flip in padding", func(f files) { e := f.member("snap", "meta"); f.m["snap"][e.DataOffset+e.Size+9] ^= 1 }, "padding", "wwww", `fill "meta" up`},
		{"flip in the end mark", func(f files) { f.m["snap.2"][len(f.m["snap.2"])-3] ^= 1 }, "no-end-mark", "wwww", ""},
		{"another archive appended", func(f files) { f.m["snap"] = append(f.m["snap"], f.m["snap.0"]...) }, "appended", "wwww", ""},
		{"something far behind the end mark", func(f files) { f.m["snap"] = append(append(f.m["snap"], make([]byte, 64<<10)...), 7) }, "appended", "wwww", ""},

		// Layers.
		{"layer missing", func(f files) { delete(f.m, "snap.1") }, "gap", "ww", "snap.1 is missing"},
		{"full missing", func(f files) { delete(f.m, "snap") }, "lost-shard no-full", "nlll", ""},
		{"layers swapped", func(f files) { f.m["snap.0"], f.m["snap.1"] = f.m["snap.1"], f.m["snap.0"] }, "stale-entry time-order", "wwww", "backup time"},
		{"full and incremental swapped", func(f files) { f.m["snap"], f.m["snap.0"] = f.m["snap.0"], f.m["snap"] }, "stale-entry time-order", "wwww", ""},
		{"layer missing and the next renamed", func(f files) {
			f.m["snap.1"] = f.m["snap.2"]
			delete(f.m, "snap.2")
			f.edit("snap.1", func(b *tarball) { b.drop(shard4); b.manifest.Files = b.manifest.Files[:1] })
		}, "lost-shard", "wwl", "telemetry/default/4"},
		{"layer twice", func(f files) { f.m["snap.3"] = f.m["snap.2"] }, "", "wwwww", "both are the same"},
		{"no tar", func(f files) { f.m["snap.1"] = bytes.Repeat([]byte("no tar\n"), 1000) }, "bad-layer", "wwnl", ""},
		{"zeros", func(f files) { clear(f.m["snap.1"]) }, "bad-layer", "wwnl", ""},
		{"compressed", func(f files) { copy(f.m["snap.1"], "\x1f\x8b\x08\x00") }, "compressed", "wwnl", "gzip -dc"},
		{"compressed beside", func(f files) { f.m["snap.1.gz"] = f.m["snap.1"]; delete(f.m, "snap.1") }, "gap stray-file", "ww", "gzip -dc"},
		{"leading zero", func(f files) { f.m["snap.01"] = f.m["snap.1"]; delete(f.m, "snap.1") }, "gap stray-file", "ww", "mv -n"},
		{"pending", func(f files) { f.m["snap.pending"] = f.m["snap.1"][:3000] }, "pending", "wwww", "snapfs doctor"},
		{"empty pending", func(f files) { f.m["snap.3.pending"] = nil }, "pending", "wwww", ""},
		{"of another server", func(f files) { foreign(f, "snap.1") }, "foreign-layer", "wwnn", "cluster"},
		{"of another dialect", func(f files) { rc(f, "snap.1") }, "mixed-dialect", "wwnn", ""},
		{"older metadata", func(f files) {
			f.edit("snap.0", func(b *tarball) { b.replace("meta", raftIndex(b.find("meta").data, 99)) })
		}, "foreign-layer", "wwnn", "the index 42"},

		// Manifests.
		{"manifest: no JSON", func(f files) { f.edit("snap.1", func(b *tarball) { b.members[0].data = []byte("{") }) }, "bad-manifest", "wwww", ""},
		{"manifest: none", func(f files) { f.edit("snap.1", func(b *tarball) { b.members = b.members[1:] }) }, "no-manifest", "wwww", ""},
		{"manifest: not first", func(f files) {
			f.edit("snap.1", func(b *tarball) { b.members = append(b.members[1:], b.members[0]) })
		}, "manifest-order manifest-position", "wwww", ""},
		{"manifest: size too big", func(f files) { f.edit("snap.1", func(b *tarball) { b.entry(shard4).Size++ }) }, "size-mismatch", "wwww", shard4},
		{"manifest: size too small", func(f files) { f.edit("snap", func(b *tarball) { b.entry(shard2).Size -= 4096 }) }, "size-mismatch", "wwww", ""},
		{"manifest: name twice", func(f files) {
			f.edit("snap.1", func(b *tarball) { b.manifest.Files = append(b.manifest.Files, *b.entry(shard4)) })
		}, "duplicate-entry", "wwww", ""},
		{"manifest: not sorted", func(f files) { f.edit("snap", func(b *tarball) { slices.Reverse(b.manifest.Files) }) }, "manifest-order", "wwww", ""},
		{"member missing", func(f files) { f.edit("snap", func(b *tarball) { b.drop(shard2) }) }, "missing-member", "llll", `3 whole, 1 absent: "telemetry/week/2"`},
		{"member extra", func(f files) {
			f.edit("snap.1", func(b *tarball) {
				m := *b.find("meta")
				m.Name = "x/y/9"
				m.data = bytes.Clone(shardOf(f))
				b.members = append(b.members, &m)
			})
		}, "unlisted-member", "wwww", "x/y/9"},
		{"member twice", func(f files) { f.edit("snap.1", func(b *tarball) { b.members = append(b.members, b.find(shard4)) }) }, "duplicate-member", "wwww", ""},
		{"members not sorted", func(f files) { f.edit("snap", func(b *tarball) { slices.Reverse(b.members[1:]) }) }, "manifest-order", "wwww", ""},
		{"hard link", func(f files) {
			f.edit("snap.1", func(b *tarball) {
				h := b.find("meta").Header
				h.Name, h.Typeflag, h.Linkname = "zz", tar.TypeLink, "nowhere"
				b.members = append(b.members, &member{h, nil})
			})
		}, "no-target odd-member unlisted-member", "wwww", ""},
		{"directory", func(f files) {
			f.edit("snap.1", func(b *tarball) {
				h := b.find("meta").Header
				h.Name, h.Typeflag = "zz/", tar.TypeDir
				b.members = append(b.members, &member{h, nil})
			})
		}, "odd-member", "wwww", ""},
		{"name that leaves", func(f files) { f.edit("snap.1", func(b *tarball) { b.add("../default/9", shardOf(f), at) }) }, "", "wwww", "%2E%2E/default/9"},

		// Times.
		{"clock runs back within a layer", func(f files) { f.edit("snap.2", func(b *tarball) { b.find(shard4).ModTime = at }) }, "clock-jump", "wwww", ""},
		{"changed after it was sent", func(f files) {
			f.edit("snap.2", func(b *tarball) { b.entry(shard4).Stamp.Time = at.AddDate(1, 0, 0) })
		}, "clock-jump", "wwww", ""},
		{"no times", func(f files) {
			f.edit("snap.2", func(b *tarball) {
				for _, m := range b.members {
					m.ModTime = time.Unix(0, 0)
				}
			})
		}, "no-time", "wwww", ""},
		{"tie", func(f files) {
			f.edit("snap.2", func(b *tarball) { b.entry(shard4).Stamp.Time = at.Add(24*time.Hour - 2*time.Minute) })
		}, "tie", "wwww", "which counts"},
		{"older copy", func(f files) {
			f.edit("snap.2", func(b *tarball) { b.entry(shard4).Stamp.Time = at })
		}, "stale-entry", "wwww", ""},

		// Metadata.
		{"meta: no protobuf", func(f files) { copy(f.data("snap.2", "meta"), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") }, "bad-meta", "wwwl", ""},
		{"meta: knows nothing", func(f files) { f.edit("snap.2", func(b *tarball) { b.replace("meta", empty) }) }, "", "wwww", "right after the start"},
		{"meta: nowhere", func(f files) {
			for layer := range f.m {
				f.edit(layer, func(b *tarball) {
					b.drop("meta")
					b.manifest.Files = slices.DeleteFunc(b.manifest.Files, func(m chain.ManifestFile) bool { return m.Name == "meta" })
				})
			}
		}, "no-meta", "wwww", ""},
		{"another program's", func(f files) {
			for layer := range f.m {
				f.edit(layer, func(b *tarball) {
					for _, m := range b.members[1:] {
						b.replace(m.Name, otherBolt(f.t))
					}
					b.drop("meta")
					b.manifest.Files = slices.DeleteFunc(b.manifest.Files, func(m chain.ManifestFile) bool { return m.Name == "meta" })
				})
			}
		}, "", "wwww", "Bolt files of another program"},

		// Bolt files.
		{"bolt: meta 0", func(f files) { page(f.data("snap", shard1), 0, 40, 0xff, 0xff) }, "bolt-flaw", "wwww", "meta is not valid"},
		{"bolt: meta 1", func(f files) { page(f.data("snap", shard1), 1, 40, 0xff, 0xff) }, "bolt-flaw", "wwww", ""},
		{"bolt: both metas", func(f files) { page(f.data("snap", shard2), 0, 40, 0xff); page(f.data("snap", shard2), 1, 40, 0xff) }, "bolt-damage", "llll", "class E"},
		{"bolt: no magic", func(f files) { clear(f.data("snap", shard2)[:8192]) }, "not-bolt", "llll", ""},
		{"bolt: zeros", func(f files) { clear(f.data("snap", shard2)) }, "not-bolt", "llll", ""},
		{"bolt: empty", func(f files) { f.edit("snap", func(b *tarball) { b.replace(shard2, nil) }) }, "not-bolt", "llll", "empty"},
		{"bolt: text", func(f files) { f.edit("snap", func(b *tarball) { b.replace(shard2, []byte("points")) }) }, "not-bolt", "llll", ""},
		{"bolt: tsm1", func(f files) {
			f.edit("snap", func(b *tarball) { b.replace(shard2, []byte("\x16\xd1\x16\xd1\x01....")) })
		}, "tsm1", "wwww", ""},
		{"bolt: root lost", func(f files) { d := f.data("snap", shard2); page(d, root(d), 8, 0x40) }, "bolt-damage", "llll", ""},
		{"bolt: leaf of zeros", func(f files) { d := f.data("snap", shard1); clear(d[treePage(d, 6)*4096:][:4096]) }, "bolt-damage", "lwww", "can be read"},
		{"bolt: wrong page number", func(f files) { d := f.data("snap.0", shard1); page(d, treePage(d, 6), 0, 99) }, "bolt-damage", "wlll", ""},
		{"bolt: keys not in order", func(f files) { d := f.data("snap.0", shard1); swapKeys(d, treePage(d, 6)) }, "bolt-damage", "wlll", `lies over the one before`},
		{"bolt: pages missing", func(f files) {
			f.edit("snap.2", func(b *tarball) { d := b.find(shard4).data; b.replace(shard4, d[:len(d)-8192]) })
		}, "torn", "wwwl", ""},
		{"bolt: torn, older tree whole", func(f files) { tear(f, 1) }, "torn", "wwwl", `class C: newest tree damaged, older one sound; 2000 points`},
		{"bolt: torn, no tree whole", func(f files) { tear(f, 3) }, "torn", "wwwl", `class E: both trees damaged; 2000 points`},
		{"bolt: another program's", func(f files) { f.edit("snap", func(b *tarball) { b.replace(shard2, otherBolt(f.t)) }) }, "unknown-engine", "wwww", ""},
	}
}
