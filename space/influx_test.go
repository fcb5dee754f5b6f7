package space_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/names"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// TestInfluxFS checks the whole tree of the sample chain, data included.
func TestInfluxFS(t *testing.T) {
	p, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tree := open(t, p, space.Options{})
	for sub, want := range map[string][]string{
		".snapfs/influx":  {"telemetry/default/cpu/cpu,host=alpha.lp", "telemetry/week/mem/.fields.json", "events/default/deploy/.tags.json"},
		".snapfs/by-time": {"2015-11-01/telemetry/default/1", "2015-11-01/telemetry/week/2", "2015-11-08/telemetry/default/4"},
	} {
		fsys, err := fs.Sub(tree, sub)
		if err != nil {
			t.Fatal(err)
		}
		if err := fstest.TestFS(fsys, want...); err != nil {
			t.Error(err)
		}
	}
}

func TestByTime(t *testing.T) {
	p, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tree := open(t, p, space.Options{})
	const link = ".snapfs/by-time/2015-11-02/telemetry/default/4"
	target, err := fs.ReadLink(tree, link)
	if err != nil || path.Join(path.Dir(link), target) != "telemetry/default/4" {
		t.Errorf("link to %q, %v", target, err)
	}
	got, err := fs.ReadFile(tree, link)
	want, err2 := fs.ReadFile(tree, "telemetry/default/4")
	if err != nil || err2 != nil || string(got) != string(want) {
		t.Errorf("%d bytes through the link, %d in the file, %v, %v", len(got), len(want), err, err2)
	}
	// Monday begins a new week, and the group before ends with it.
	if got := list(t, tree, ".snapfs/by-time/2015-11-02/telemetry/default"); !slices.Equal(got, []string{"4"}) {
		t.Errorf("Monday has %q", got)
	}
	if got := list(t, tree, ".snapfs/by-time"); len(got) != 14 || got[0] != "2015-10-26" || got[13] != "2015-11-08" {
		t.Errorf("days %q", got)
	}
	for _, name := range []string{".snapfs/by-time/2015-11-09", link + "/x", ".snapfs/by-time/2015-11-02/telemetry/default/5"} {
		if _, err := fs.Stat(tree, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLongGroup: a group of years does not make thousands of links.
func TestLongGroup(t *testing.T) {
	group := func(id uint64, days int) sample.Group {
		return sample.Group{ID: id, Start: sample.Start, End: sample.Start.AddDate(0, 0, days)}
	}
	m := sample.Meta{Databases: []sample.Database{{Name: ".snapfs", Policies: []sample.Policy{{Name: "r/p", Groups: []sample.Group{group(1, 3000), group(2, 2)}}}}}}
	p := t.TempDir() + "/snap"
	if err := sample.Write(p, sample.Layer{Time: epoch, Files: []sample.File{{Name: "meta", Data: m.Bytes()}, {Name: ".snapfs/r/p/1", Data: []byte("one")}, {Name: ".snapfs/r/p/2", Data: []byte("two")}}}); err != nil {
		t.Fatal(err)
	}
	tree := open(t, p, space.Options{})
	if got := list(t, tree, ".snapfs/by-time"); !slices.Equal(got, []string{"2015-11-01", "2015-11-02", "2015-11-03"}) {
		t.Errorf("days %q", got)
	}
	// Names that are not plain are encoded, and the link goes to where the file is.
	const link = ".snapfs/by-time/2015-11-01/%2Esnapfs/r%2Fp/1"
	target, err := fs.ReadLink(tree, link)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link, path.Join(path.Dir(link), target)} {
		if got, err := fs.ReadFile(tree, name); err != nil || string(got) != "one" {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

// lines writes the points of a series as the tree should, from the points.
func lines(t *testing.T, set *dataset.Set, s dataset.Series) string {
	t.Helper()
	head, err := influx.AppendSeries(nil, s.Measurement, s.Tags)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for p, err := range set.Points(s, dataset.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if out, err = influx.AppendPoint(out, head, p, influx.Nanosecond); err != nil {
			t.Fatal(err)
		}
	}
	return string(out)
}

// writeSeries writes a chain with one shard.
func writeSeries(t *testing.T, s sample.Shard) string {
	t.Helper()
	data, err := s.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := t.TempDir() + "/snap"
	if err := sample.Write(p, sample.Layer{Time: epoch, Files: []sample.File{{Name: "db/rp/1", Data: data, Modified: epoch}}}); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLineNames: series with names that no file can have are there under others,
// which lead back to them.
func TestLineNames(t *testing.T) {
	long := "m,a=" + strings.Repeat("ä", 150)
	keys := []string{"m", "m,a=b/c", `m,a=b\ c`, "m,a=%2F", "m,a=" + strings.Repeat("x", 300), long, long + "b", "m,a=" + strings.Repeat("y", 246), "m,a=" + strings.Repeat("y", 250)}
	var s sample.Shard
	for i, k := range keys {
		s.Flushed = append(s.Flushed, sample.Point{Series: k, Time: epoch, Fields: map[string]any{"v": int64(i)}})
	}
	tree := open(t, writeSeries(t, s), space.Options{})
	seen := map[string]string{}
	for _, name := range list(t, tree, ".snapfs/influx/db/rp/m") {
		if strings.HasPrefix(name, ".") {
			continue
		}
		if len(name) > 255 || !strings.HasSuffix(name, ".lp") {
			t.Errorf("name %q", name)
		}
		// Another tree has not listed it.
		fresh := open(t, tree.Path(), space.Options{})
		p := ".snapfs/influx/db/rp/m/" + name
		fi, err := fs.Stat(fresh, p)
		if err != nil {
			t.Error(err)
			continue
		}
		key := maps.Collect(attr.All(fi))["key"]
		data, err := fs.ReadFile(fresh, p)
		if err != nil || !attr.IsVolatile(fi) {
			t.Errorf("%s: %v", name, err)
		}
		seen[key] = string(data)
	}
	for i, k := range keys {
		if !strings.HasSuffix(seen[k], fmt.Sprintf(" v=%di %d\n", i, epoch.UnixNano())) {
			t.Errorf("%.20q… is %q", k, seen[k])
		}
	}
	for _, name := range []string{"x", "x/.fields.json", "m/x.lp", "m/m", "m/.lp", "m/%6D.lp", "m/m.lp/x", "m/.none.json", "m/" + strings.Repeat("z", 230) + "~0123456789abcdef.lp"} {
		if _, err := fs.Stat(tree, ".snapfs/influx/db/rp/"+name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%.40s: %v", name, err)
		}
	}
}

// TestLineReads reads a file of some megabytes at random offsets, forth and
// back, from several goroutines.
func TestLineReads(t *testing.T) {
	var s sample.Shard
	for i := range 40000 {
		s.Flushed = append(s.Flushed, sample.Point{Series: "m,host=a", Time: epoch.Add(time.Duration(i-20000) * 7 * time.Millisecond), Fields: map[string]any{"text": strings.Repeat("x", i%100), "v": float64(i) / 3}})
	}
	tree := open(t, writeSeries(t, s), space.Options{})
	series, err := tree.Data().Lookup("db", "rp", "m,host=a")
	if err != nil {
		t.Fatal(err)
	}
	want := lines(t, tree.Data(), series)
	const name = ".snapfs/influx/db/rp/m/m,host=a.lp"
	f, err := tree.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := f.(io.ReaderAt)
	seed := rand.Uint64()
	t.Logf("%d bytes, seed %d", len(want), seed)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			r1 := rand.New(rand.NewPCG(seed, uint64(w)))
			buf := make([]byte, 200000)
			for range 15 {
				off := r1.IntN(len(want) + 1000)
				b := buf[:r1.IntN(len(buf))]
				n, err := r.ReadAt(b, int64(off))
				end := min(off+len(b), len(want))
				if expect := want[min(off, end):end]; string(b[:n]) != expect || (err == io.EOF) != (n < len(b)) || err != nil && err != io.EOF {
					t.Errorf("%d bytes at %d: %d, %v", len(b), off, n, err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := io.ReadAll(f); err != nil || string(got) != want {
		t.Errorf("read %d bytes, %v, want %d", len(got), err, len(want))
	}
}

// TestLineDamage: what cannot be decoded is a comment, all the rest is there, and
// the end is an error. A value without a form in line protocol is a comment only.
func TestLineDamage(t *testing.T) {
	at := func(i int) time.Time { return epoch.Add(time.Duration(i) * time.Second) }
	var s sample.Shard
	for i := range 3 {
		s.Flushed = append(s.Flushed, sample.Point{Series: "m,a=b", Time: at(i), Fields: map[string]any{"v": float64(i)}})
	}
	s.Flushed = append(s.Flushed, sample.Point{Series: "n", Time: at(0), Fields: map[string]any{"v": math.NaN(), "w": true}})
	data, err := s.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// The point in the middle gets a field that nobody defines: 1 becomes 9.
	key := fmt.Appendf(nil, "%s", string(timeKey(at(1))))
	i := strings.Index(string(data), string(key)+"\x01")
	if i < 0 {
		t.Fatal("the point is not in the file")
	}
	data[i+8] = 9
	p := t.TempDir() + "/snap"
	if err := sample.Write(p, sample.Layer{Time: epoch, Files: []sample.File{{Name: "db/rp/1", Data: data, Modified: epoch}}}); err != nil {
		t.Fatal(err)
	}
	tree := open(t, p, space.Options{})
	got, err := fs.ReadFile(tree, ".snapfs/influx/db/rp/m/m,a=b.lp")
	if !errors.Is(err, influx.ErrUndefined) {
		t.Errorf("end: %v", err)
	}
	all := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
	if len(all) != 3 || !strings.HasPrefix(all[0], "m,a=b v=0 ") || !strings.HasPrefix(all[1], "# db/rp/1: ") || !strings.HasPrefix(all[2], "m,a=b v=2 ") {
		t.Errorf("content %q", all)
	}
	got, err = fs.ReadFile(tree, ".snapfs/influx/db/rp/n/n.lp")
	if err != nil || !strings.HasPrefix(string(got), fmt.Sprintf("n w=true %[1]d\n# at %[1]d: ", at(0).UnixNano())) {
		t.Errorf("NaN: %q, %v", got, err)
	}
}

func timeKey(t time.Time) []byte {
	n := uint64(t.UnixNano())
	var b []byte
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(n>>shift))
	}
	return b
}

// TestDamagedListing: what there is is listed, and then an error.
func TestDamagedListing(t *testing.T) {
	data, err := sample.Shard{Flushed: []sample.Point{{Series: "m", Time: epoch, Fields: map[string]any{"v": 1.0}}}}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := t.TempDir() + "/snap"
	if err := sample.Write(p, sample.Layer{Time: epoch, Files: []sample.File{{Name: "db/rp/1", Data: data, Modified: epoch}, {Name: "db/rp/2", Data: []byte("nothing"), Modified: epoch}}}); err != nil {
		t.Fatal(err)
	}
	tree := open(t, p, space.Options{})
	for dir, want := range map[string][]string{".snapfs/influx/db/rp": {"m"}, ".snapfs/influx/db/rp/m": {".fields.json", ".tags.json", "m.lp"}} {
		entries, err := fs.ReadDir(tree, dir)
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if !slices.Equal(got, want) || !errors.Is(err, influx.ErrEngine) && err == nil {
			t.Errorf("%s holds %q, %v", dir, got, err)
		}
	}
	if _, err := fs.Stat(tree, ".snapfs/influx/db/rp/other"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it may be in the shard that cannot be read: %v", err)
	}
}

// TestRealLines compares the files of all series of real chains with their
// points.
func TestRealLines(t *testing.T) {
	for _, snap := range realchains.All(t) {
		tree := open(t, snap, space.Options{})
		files, size, damaged := 0, 0, 0
		err := fs.WalkDir(tree, ".snapfs/influx", func(name string, d fs.DirEntry, _ error) error {
			if d.IsDir() || path.Ext(name) != ".lp" {
				return nil // what cannot be listed has its own tests
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			elems := strings.Split(name, "/")
			db, ok1 := names.Decode(elems[2])
			rp, ok2 := names.Decode(elems[3])
			s, err := tree.Data().Lookup(string(db), string(rp), maps.Collect(attr.All(fi))["key"])
			if err != nil || !ok1 || !ok2 {
				t.Errorf("%s: %v", name, err)
				return nil
			}
			got, err := fs.ReadFile(tree, name)
			files++
			size += len(got)
			if err != nil {
				damaged++
				t.Logf("%v", err)
				return nil
			}
			if want := lines(t, tree.Data(), s); string(got) != want {
				t.Errorf("%s has %d bytes, want %d", name, len(got), len(want))
			}
			return nil
		})
		if err != nil || files == 0 {
			t.Errorf("%s: %d files, %v", snap, files, err)
		}
		t.Logf("%s: %d files, %d bytes; %d files with damage", path.Base(path.Dir(snap)), files, size, damaged)
	}
}
