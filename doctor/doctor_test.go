package doctor_test

import (
	"bytes"
	"context"
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
	"github.com/snapfs/snapfs/internal/sample"
)

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
		if err := errors.Join(os.Chmod(path, 0o644), os.Chmod(path+".1", mode)); err != nil {
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
