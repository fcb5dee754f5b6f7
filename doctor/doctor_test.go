package doctor_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/doctor"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/seal"
)

// examine finds and examines what lies at a path.
func examine(t *testing.T, path string, opts doctor.Options) *doctor.Report {
	t.Helper()
	found, problems, err := doctor.Find(t.Context(), path)
	if err != nil || len(problems) > 0 || len(found) != 1 {
		t.Fatalf("found %v, %v, %v", found, problems, err)
	}
	r, err := doctor.Examine(t.Context(), found[0].Path, opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Findings = append(r.Findings, found[0].Stray...)
	return r
}

// codes returns the codes of errors and warnings, each once, sorted.
func codes(r *doctor.Report) string {
	var out []string
	for _, f := range r.Findings {
		if f.Level != doctor.Note {
			out = append(out, string(f.Code))
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

func verdicts(r *doctor.Report) string {
	var b strings.Builder
	for _, p := range r.Points {
		b.WriteByte(p.Verdict[0])
	}
	return b.String()
}

func lines(r *doctor.Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(string(f.Level) + " " + string(f.Code) + " " + f.Layer + ": " + f.Text + "\n    hint: " + f.Hint + "\n")
	}
	return b.String()
}

func sampleChain(t *testing.T) string {
	t.Helper()
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSound finds nothing wrong with a sound chain, in any depth.
func TestSound(t *testing.T) {
	path := sampleChain(t)
	for _, depth := range []doctor.Depth{doctor.Signs, doctor.Trees, doctor.Points} {
		r := examine(t, path, doctor.Options{Depth: depth})
		if !r.Sound() || verdicts(r) != "wwww" {
			t.Errorf("depth %d: %s\n%s", depth, verdicts(r), lines(r))
		}
		if !strings.Contains(lines(r), "note ghost") {
			t.Errorf("the ghost is not told:\n%s", lines(r))
		}
		if depth == doctor.Points && (r.Checked.Points == 0 || r.Checked.Shards != 6) {
			t.Errorf("checked %+v", r.Checked)
		}
	}
}

// TestFaults injects one fault at a time.
func TestFaults(t *testing.T) {
	sound := read(t, sampleChain(t))
	seen := map[string]bool{}
	for _, c := range faults() {
		t.Run(c.name, func(t *testing.T) {
			if seen[c.name] {
				t.Fatal("two faults of this name")
			}
			seen[c.name] = true
			f := sound.clone(t)
			c.do(f)
			dir := t.TempDir()
			f.write(dir)
			r := examine(t, dir+"/snap", doctor.Options{})
			all := lines(r)
			if got := codes(r); got != c.codes {
				t.Errorf("codes %q, want %q", got, c.codes)
			}
			if got := verdicts(r); got != c.verdicts {
				t.Errorf("verdicts %q, want %q", got, c.verdicts)
			}
			if !strings.Contains(all, c.text) {
				t.Errorf("nothing says %q", c.text)
			}
			for _, f := range r.Findings {
				if f.Level == doctor.Error && f.Hint == "" && len(r.Layers) > 1 {
					t.Errorf("%s has no hint", f.Code)
				}
			}
			if t.Failed() {
				t.Log("\n" + all)
			}
			for name, b := range f.m {
				if now, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(now, b) {
					t.Errorf("%s was changed, %v", name, err)
				}
			}
		})
	}
	if len(seen) < 40 {
		t.Errorf("%d faults", len(seen))
	}
}

// TestPermissions is about files that are there and not for everybody.
func TestPermissions(t *testing.T) {
	for mode, want := range map[fs.FileMode]doctor.Code{0o000: doctor.Permission, 0o600: doctor.Permission} {
		path := sampleChain(t)
		if err := os.Chmod(path+".1", mode); err != nil {
			t.Fatal(err)
		}
		if r := examine(t, path, doctor.Options{Depth: doctor.Signs}); codes(r) != string(want) {
			t.Errorf("mode %v: %q\n%s", mode, codes(r), lines(r))
		}
	}
	path := sampleChain(t)
	if err := os.Mkdir(path+".3", 0o755); err != nil {
		t.Fatal(err)
	}
	if r := examine(t, path, doctor.Options{Depth: doctor.Signs}); codes(r) != string(chain.Unreadable) {
		t.Errorf("a directory as a layer: %q", codes(r))
	}
}

// TestOpenTail is about shards of bz1, of which one was still written to when
// the last backup was taken, and has a field that is not defined yet.
func TestOpenTail(t *testing.T) {
	dir := t.TempDir()
	start := time.Date(2015, 11, 2, 0, 0, 0, 0, time.UTC)
	week := sample.Policy{Name: "default", GroupDuration: 7 * 24 * time.Hour}
	var past, open sample.File
	for i, f := range []*sample.File{&past, &open} {
		from := start.AddDate(0, 0, 7*i)
		week.Groups = append(week.Groups, sample.Group{ID: uint64(i + 1), Start: from, End: from.AddDate(0, 0, 7)})
		points := []sample.Point{
			{Series: "cpu,host=a", Time: from, Fields: map[string]any{"load": 0.5}},
			{Series: "cpu,host=a", Time: from.Add(time.Second), Fields: map[string]any{"new": int64(i)}},
		}
		shard := sample.Shard{Compressed: true, Flushed: points}
		if f == &open {
			shard.Late = []string{"new"}
		}
		data, err := shard.Bytes(dir)
		if err != nil {
			t.Fatal(err)
		}
		*f = sample.File{Name: []string{"db/default/1", "db/default/2"}[i], Data: data, Modified: from.Add(time.Hour)}
	}
	meta := sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{week}}}}.Bytes()
	layer := func(at time.Time, files ...sample.File) sample.Layer {
		return sample.Layer{Time: at, Files: append(files, sample.File{Name: "meta", Data: meta, Modified: at})}
	}
	// The newest copy is in the incremental: of the one in the full, nothing is
	// told.
	path := filepath.Join(dir, "snap")
	first := open
	open.Modified = open.Modified.Add(time.Hour)
	if err := sample.Write(path, layer(start.AddDate(0, 0, 8), past, first), layer(start.AddDate(0, 0, 9), open)); err != nil {
		t.Fatal(err)
	}
	r := examine(t, path, doctor.Options{Depth: doctor.Points})
	if !r.Sound() || verdicts(r) != "ww" || r.Checked.Points != 4 {
		t.Errorf("%s, %d points\n%s", verdicts(r), r.Checked.Points, lines(r))
	}
	var told []string
	for _, f := range r.Findings {
		told = append(told, string(f.Code)+" "+f.Layer+" "+f.Name)
	}
	slices.Sort(told)
	want := []string{"bz1-tail 0 db/default/2", "undefined-field 0 db/default/2", "undefined-field full db/default/2"}
	if !slices.Equal(told, want) || !strings.Contains(lines(r), "db/default/2 was still written to (its group ends at 2015-11-16") {
		t.Errorf("told %q\n%s", told, lines(r))
	}
}

// TestFind searches a directory with some of everything.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b/c", "incrementals", "zeros"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f := read(t, sampleChain(t))
	f.write(filepath.Join(dir, "a"))
	f.write(filepath.Join(dir, "b/c"))
	f.m = map[string][]byte{"x.0": f.m["snap.0"], "x.1": f.m["snap.1"], "y.7": f.m["snap.2"], "notes": []byte("text")}
	f.write(filepath.Join(dir, "incrementals"))
	f.m = map[string][]byte{"snap": nil, "snap.0": nil, "lone": nil, "other": []byte("text"), "other.0": nil}
	f.write(filepath.Join(dir, "zeros"))
	if err := os.Symlink(filepath.Join(dir, "a"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	// Named twice and once by an incremental, each is found once.
	found, problems, err := doctor.Find(t.Context(), dir, filepath.Join(dir, "a"), filepath.Join(dir, "b/c/snap.1"), filepath.Join(dir, "incrementals/x"))
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	var got []string
	for _, s := range found {
		rel, _ := filepath.Rel(dir, s.Path)
		got = append(got, rel)
	}
	want := []string{"a/snap", "b/c/snap", "incrementals/x", "incrementals/y.7", "zeros/snap"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	// Room for a name that is not there, and none for that of an incremental.
	long := filepath.Join(dir, strings.Repeat("x", 254))
	if _, _, err := doctor.Find(t.Context(), long); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("an incremental that cannot be looked for: %v", err)
	}
	if _, _, err := doctor.Find(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
}

// TestCanceled ends in the middle of a tree.
func TestCanceled(t *testing.T) {
	path := sampleChain(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := doctor.Examine(ctx, path, doctor.Options{Workers: 1, Progress: func(done, total int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestSample looks at a share of the files, always the same for a seed.
func TestSample(t *testing.T) {
	path := sampleChain(t)
	all := examine(t, path, doctor.Options{Depth: doctor.Points}).Checked.Trees
	kinds := map[int]bool{}
	for seed := range int64(20) {
		opts := doctor.Options{Depth: doctor.Points, Sample: 0.5, Seed: seed}
		n := examine(t, path, opts).Checked.Trees
		kinds[n] = true
		if again := examine(t, path, opts).Checked.Trees; again != n {
			t.Errorf("seed %d: %d files, then %d", seed, n, again)
		}
	}
	if len(kinds) < 2 || kinds[all] && len(kinds) == 1 {
		t.Errorf("samples of %v among %d files", kinds, all)
	}
}

// TestRealChains holds what is known of the chains of real servers.
func TestRealChains(t *testing.T) {
	known := map[string]struct{ codes, verdicts string }{
		"v0.9.0-rc30-small": {"", "wwwwww"},
		"v0.9.2-oddnames":   {"", "ww"},
		"v0.9.2-small":      {"", "wwwwwww"},
		"v0.9.2-torn":       {"torn", "lll"},
		"v0.9.4.2p-small":   {"empty-layer", "wwwwwn"},
		"v0.9.5.1-small":    {"", "wwwwww"},
	}
	for _, path := range realchains.All(t) {
		name := filepath.Base(filepath.Dir(path))
		want, ok := known[name]
		if !ok {
			continue
		}
		r := examine(t, path, doctor.Options{})
		if codes(r) != want.codes || verdicts(r) != want.verdicts {
			t.Errorf("%s: %q %q\n%s", name, codes(r), verdicts(r), lines(r))
		}
		if name == "v0.9.2-torn" {
			compareClasses(t, path, r)
		}
		if want.codes == "" {
			realFaults(t, path)
		}
	}
}

// compareClasses compares with the verdict of an independent reader of pages.
func compareClasses(t *testing.T, path string, r *doctor.Report) {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(path), "truth/classes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth map[string]map[string]struct{ Class string }
	if err := json.Unmarshal(b, &truth); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range r.Findings {
		if f.Code == doctor.Torn {
			got[filepath.Base(f.File)+"/"+f.Name] = string(f.Class)
		}
	}
	torn := 0
	for layer, shards := range truth {
		for name, s := range shards {
			want := s.Class[:1]
			if want == "A" {
				want = ""
			} else {
				torn++
			}
			if got[layer+"/"+name] != want {
				t.Errorf("%s %s: class %q, want %q", layer, name, got[layer+"/"+name], want)
			}
		}
	}
	if torn != 21 || len(got) != torn {
		t.Errorf("%d torn by the truth, %d by us", torn, len(got))
	}
}

// realFaults injects faults that fit any chain.
func realFaults(t *testing.T, path string) {
	sound := read(t, path)
	last := len(sound.m) - 2
	layer := "snap"
	if last >= 0 {
		layer = "snap." + string(rune('0'+last))
	}
	size := int64(len(sound.m[layer]))
	for _, c := range []struct {
		codes string
		do    func(f files)
	}{
		{"truncated", func(f files) { f.cut(layer, size-1024-512) }},
		{"no-end-mark", func(f files) { f.cut(layer, size-1024) }},
		{"bad-manifest truncated", func(f files) { f.cut(layer, 530) }},
		{"empty-layer", func(f files) { f.cut(layer, 0) }},
		{"bad-header", func(f files) { f.m[layer][7] ^= 1 }},
		{"pending", func(f files) { f.m[layer+".pending"] = nil }},
		{"stray-file", func(f files) { f.m[layer+".gz"] = []byte("\x1f\x8b\x08") }},
		{"appended", func(f files) { f.m[layer] = append(f.m[layer], f.m[layer]...) }},
		{"no-full", func(f files) { delete(f.m, "snap") }},
		{"missing-member", func(f files) {
			f.edit(layer, func(b *tarball) { b.members = slices.Delete(b.members, len(b.members)-1, len(b.members)) })
		}},
		{"size-mismatch", func(f files) { f.edit(layer, func(b *tarball) { b.manifest.Files[0].Size += 512 }) }},
	} {
		f := sound.clone(t)
		c.do(f)
		dir := t.TempDir()
		f.write(dir)
		r := examine(t, dir+"/snap", doctor.Options{Depth: doctor.Signs})
		if got := codes(r); got != c.codes && !(c.codes == "no-full" && strings.Contains(got, c.codes)) {
			t.Errorf("%s: codes %q, want %q\n%s", path, got, c.codes, lines(r))
		}
	}
}

// empty is the metadata of a server that has just started.
var empty = []byte{8, 0, 16, 0, 24, 0, 56, 0, 64, 0, 72, 0}

// raftIndex gives metadata another index of the raft log.
func raftIndex(meta []byte, index byte) []byte {
	return bytes.Replace(meta, []byte{16, 42}, []byte{16, index}, 1)
}

// foreign gives the metadata of a layer another cluster number.
func foreign(f files, layer string) {
	old := protowire.AppendVarint(nil, 42424242424242)
	copy(f.data(layer, "meta")[bytes.Index(f.data(layer, "meta"), old):], protowire.AppendVarint(nil, 42424242424243))
}

// rc makes a layer one of a release candidate.
func rc(f files, layer string) {
	var b bytes.Buffer
	l := sample.Layer{Time: sample.Start.Add(24 * time.Hour), Dialect: chain.ByIndex, Files: []sample.File{
		{Name: "meta", Data: bytes.Clone(f.data(layer, "meta")), Index: 9},
		{Name: "shards/1", Data: bytes.Clone(shardOf(f)), Index: 8},
	}}
	if _, err := l.WriteTo(&b); err != nil {
		f.t.Fatal(err)
	}
	f.m[layer] = b.Bytes()
}

// shardOf returns a sound shard.
func shardOf(f files) []byte { return f.data("snap", shard2) }

// tear makes the newest shard a torn one.
func tear(f files, commits int) {
	data, _, err := sample.Torn(f.t.TempDir(), commits)
	if err != nil {
		f.t.Fatal(err)
	}
	f.edit("snap.2", func(b *tarball) { b.replace(shard4, data) })
}

// swapKeys swaps the first two elements of a page, so that their keys descend.
func swapKeys(data []byte, n int) {
	h := data[n*4096+16:]
	// Positions count from the element.
	a, b := bytes.Clone(h[:16]), bytes.Clone(h[16:32])
	a[4] -= 16
	b[4] += 16
	copy(h[:16], b)
	copy(h[16:32], a)
}

// otherBolt is a Bolt file of a program that is no InfluxDB.
func otherBolt(t *testing.T) []byte {
	path := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err == nil {
		err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("keys")); return err })
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCodesDocumented holds the list of codes in docs/json.md.
func TestCodesDocumented(t *testing.T) {
	docs, err := os.ReadFile("../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range []string{"codes.go", "../chain/warning.go"} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\s+\w+\s+Code\s+= "([a-z0-9-]+)"`).FindAllSubmatch(src, -1) {
			n++
			if !regexp.MustCompile(`(?m)[ |]` + string(m[1]) + `( ·| \|)`).Match(docs) {
				t.Errorf("docs/json.md does not have the code %s", m[1])
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d codes were found", n)
	}
}

// TestVerify finds what only reading every point, or a seal, can.
func TestVerify(t *testing.T) {
	sound := read(t, sampleChain(t))
	sealed := func(dir string) *seal.Seal {
		c, err := chain.Open(dir+"/snap", chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := seal.Make(t.Context(), c, seal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		name            string
		do              func(f files)
		plain, withSeal string // codes
		text            string
	}{
		{"nothing", func(f files) {}, "", "", ""},
		{"value", func(f files) { flipValue(f.data("snap", shard1), 8) }, "", "bit-rot", "of telemetry/default/1 changed since it was sealed: 58 points of cpu,host=alpha"},
		{"number of a field", func(f files) { flipField(f.data("snap", shard1), 8) }, "undecodable", "bit-rot", "1 part of points that cannot be decoded"},
		{"small bucket", func(f files) { d := f.data("snap", shard3); d[bytes.Index(d, []byte("1.280"))] ^= 1 }, "", "bit-rot", "4 points of deploy,app=web"},
		{"log", func(f files) {
			d := f.data("snap.2", shard4)
			d[bytes.Index(d, []byte("\x00\x00\x00\x0ecpu,host=alpha"))+24] ^= 1
		}, "", "bit-rot", "entries of the log"},
		{"padding", func(f files) { e := f.member("snap", "meta"); f.m["snap"][e.DataOffset+e.Size+9] ^= 1 }, "padding", "bit-rot padding", "headers, padding or the end mark"},
		{"header", func(f files) { f.m["snap.2"][f.member("snap.2", shard4).HeaderOffset+8] ^= 1 }, "bad-header", "bad-header bit-rot", ""},
		{"free page", func(f files) { d := f.data("snap", shard1); d[freePage(d)*4096+100] ^= 1 }, "", "bit-rot", ""},
		{"layer gone", func(f files) { delete(f.m, "snap.2") }, "", "seal-missing", "was sealed, and is not there"},
		{"layer new", func(f files) { f.m["snap.3"] = f.m["snap.2"] }, "", "", "newer than the seal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			sound.clone(t).write(dir)
			s := sealed(dir)
			f := sound.clone(t)
			c.do(f)
			dir = t.TempDir()
			f.write(dir)
			r := examine(t, dir+"/snap", doctor.Options{Depth: doctor.Points})
			if got := codes(r); got != c.plain {
				t.Errorf("codes %q, want %q\n%s", got, c.plain, lines(r))
			}
			all := lines(r)
			r = examine(t, dir+"/snap", doctor.Options{Depth: doctor.Signs, Seal: s})
			if got := codes(r); got != c.withSeal {
				t.Errorf("with the seal: codes %q, want %q\n%s", got, c.withSeal, lines(r))
			}
			if all += lines(r); !strings.Contains(all, c.text) {
				t.Errorf("nothing says %q:\n%s", c.text, all)
			}
		})
	}
}

// firstValue returns the first value of a leaf.
func firstValue(data []byte, n int) []byte {
	h := data[n*4096+16:]
	le := binary.LittleEndian
	return h[le.Uint32(h[4:])+le.Uint32(h[8:]):][:le.Uint32(h[12:])]
}

// flipValue changes a bit of a float in a page of points.
func flipValue(data []byte, n int) { firstValue(data, n)[5] ^= 1 }

// flipField makes a field in a page of points one that is not defined, and too
// long for its value.
func flipField(data []byte, n int) { firstValue(data, n)[9] = 1 }

// freePage returns a page that the list of free pages has.
func freePage(data []byte) int {
	le := binary.LittleEndian
	m := data[16:]
	if n := data[4096+16:]; le.Uint64(n[48:]) > le.Uint64(m[48:]) {
		m = n
	}
	return int(le.Uint64(data[le.Uint64(m[32:])*4096+16:]))
}

// TestRandomDamage changes bytes anywhere, and wants a report each time: no
// panic, and a verdict on each point.
func TestRandomDamage(t *testing.T) {
	sound := read(t, sampleChain(t))
	names := slices.Sorted(maps.Keys(sound.m))
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		f := sound.clone(t)
		for range 1 + r.IntN(20) {
			b := f.m[names[r.IntN(len(names))]]
			switch i := r.IntN(len(b)); r.IntN(3) {
			case 0:
				b[i] = byte(r.Uint32())
			case 1:
				clear(b[i:min(len(b), i+4096)])
			case 2:
				copy(b[i:min(len(b), i+100)], b[r.IntN(len(b)):])
			}
		}
		dir := t.TempDir()
		f.write(dir)
		report, err := doctor.Examine(t.Context(), dir+"/snap", doctor.Options{Depth: doctor.Points})
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
			continue
		}
		if len(report.Points) != len(names) || len(report.Layers) != len(names) {
			t.Errorf("seed %d: %d points, %d layers", seed, len(report.Points), len(report.Layers))
		}
	}
}
