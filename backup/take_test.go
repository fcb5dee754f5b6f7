package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
)

func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snap")
	later := monday.Add(time.Hour)
	full := layer(t, monday, metaFile(monday), shardFile(t, "db/rp/1", monday), shardFile(t, "db/rp/2", monday))
	incremental := layer(t, later, metaFile(later), shardFile(t, "db/rp/2", later), shardFile(t, "db/rp/3", later))
	empty := layer(t, later.Add(time.Hour))
	var known []string
	queue := answers(full, incremental, empty, empty)
	src := asked(func(ctx context.Context, k *chain.Manifest) (io.ReadCloser, error) {
		text := "none"
		if k != nil {
			text = string(k.AppendJSON(nil))
		}
		known = append(known, text)
		return queue(ctx, k)
	})
	var last Progress
	opts := Options{Progress: func(p Progress) { last = p }}
	for i, want := range []Result{
		{Path: path, Point: "full", Time: monday, Files: 3, Bytes: int64(len(full)), Attempts: 1},
		{Path: path + ".0", Point: "0", Time: later, Files: 3, Bytes: int64(len(incremental)), Attempts: 1},
		{Path: path + ".1", Point: "1", Time: later.Add(time.Hour), Bytes: int64(len(empty)), Attempts: 1, Unchanged: true},
	} {
		r := take(t, path, src, opts)
		if len(r.Warnings) > 0 || len(r.Torn) > 0 {
			t.Errorf("%d: %v, %v", i, r.Warnings, r.Torn)
		}
		r.Warnings, r.Torn = nil, nil
		if fmt.Sprint(r) != fmt.Sprint(want) {
			t.Errorf("%d:\n%+v, want\n%+v", i, r, want)
		}
		if last.Files != want.Files || last.TotalFiles != want.Files || last.Bytes != last.TotalBytes {
			t.Errorf("%d: progress ends with %+v", i, last)
		}
		got, err := os.ReadFile(r.Path)
		if err != nil || int64(len(got)) != r.Bytes {
			t.Errorf("%d: %d bytes, %v", i, len(got), err)
		}
	}
	one := fmt.Sprintf(`{"name":"db/rp/1","size":%d,"lastModified":"2015-11-02T03:04:05Z"}`, len(shardFile(t, "", monday).Data))
	two, three := strings.NewReplacer("/1", "/2", "T03", "T04").Replace(one), strings.NewReplacer("/1", "/3", "T03", "T04").Replace(one)
	meta := fmt.Sprintf(`{"name":"meta","size":%d,"lastModified":"2015-11-02T03:04:05Z"}`, len(metaFile(monday).Data))
	want := []string{
		"none",
		`{"files":[` + one + "," + strings.Replace(one, "/1", "/2", 1) + "," + meta + `]}`,
		`{"files":[` + one + "," + two + "," + three + "," + strings.Replace(meta, "T03", "T04", 1) + `]}`,
	}
	if !slices.Equal(known, want) {
		t.Errorf("the source was asked\n%s, want\n%s", strings.Join(known, "\n"), strings.Join(want, "\n"))
	}

	// Nothing new: no layer, if that is not wanted.
	before := state(t, filepath.Dir(path))
	opts.SkipUnchanged = true
	if r := take(t, path, src, opts); r.Path != "" || !r.Unchanged {
		t.Errorf("%+v", r)
	}
	if after := state(t, filepath.Dir(path)); after != before {
		t.Errorf("%s, was %s", after, before)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm()&0o077 != 0 {
		t.Errorf("a backup holds hashes of passwords, and everybody may read it: %v, %v", fi.Mode(), err)
	}
}

func TestGap(t *testing.T) {
	path := base(t)
	dir := filepath.Dir(path)
	later := monday.Add(2 * time.Hour)
	incremental := layer(t, later, metaFile(later))
	if err := os.Rename(path+".0", path+".1"); err != nil {
		t.Fatal(err)
	}
	before := state(t, dir)
	_, err := Take(t.Context(), path, answers(), Options{})
	if !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), "snap.0 is missing") || !strings.Contains(hint.Of(err), "--fill-gap") {
		t.Errorf("%v", err)
	}
	if after := state(t, dir); after != before {
		t.Errorf("%s, was %s", after, before)
	}
	if r := take(t, path, answers(incremental), Options{FillGap: true}); r.Path != path+".0" {
		t.Errorf("%+v", r)
	}
	if r := take(t, path, answers(incremental), Options{}); r.Path != path+".2" {
		t.Errorf("%+v", r)
	}

	// The full snapshot itself is missing.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err = Take(t.Context(), path, answers(), Options{}); !errors.Is(err, ErrGap) {
		t.Errorf("%v", err)
	}
	full := layer(t, later, metaFile(later), shardFile(t, "db/rp/1", later))
	if r := take(t, path, answers(full), Options{FillGap: true}); r.Path != path {
		t.Errorf("%+v", r)
	}
}

// TestDamagedChain does not add to a chain whose claims would be wrong.
func TestDamagedChain(t *testing.T) {
	truncate := func(size int64) func(string) error {
		return func(path string) error { return os.Truncate(path, size) }
	}
	for _, tt := range []struct {
		name string
		harm func(path string) error
		want error
	}{
		{"an empty incremental", func(p string) error { return os.Truncate(p+".0", 0) }, ErrDamaged},
		{"an incremental that is cut", func(p string) error { return os.Truncate(p+".0", 1000) }, ErrDamaged},
		{"an empty full snapshot", truncate(0), ErrDamaged},
		{"a full snapshot that is cut", truncate(5000), ErrDamaged},
		{"an incremental that is no tar", func(p string) error { return os.WriteFile(p+".0", bytes.Repeat([]byte("text\n"), 1000), 0o600) }, ErrDamaged},
		{"a tar without a manifest", func(p string) error {
			return os.WriteFile(p+".0", write(t, sample.Layer{Time: monday, NoManifest: true, Files: []sample.File{metaFile(monday)}}), 0o600)
		}, ErrDamaged},
		{"another dialect", func(p string) error {
			return os.WriteFile(p+".0", write(t, sample.Layer{Time: monday, Dialect: chain.ByIndex, Files: []sample.File{metaFile(monday)}}), 0o600)
		}, chain.ErrBroken},
	} {
		path := base(t)
		if err := tt.harm(path); err != nil {
			t.Fatal(err)
		}
		before := state(t, filepath.Dir(path))
		_, err := Take(t.Context(), path, answers(), Options{})
		if !errors.Is(err, tt.want) || hint.Of(err) == "" {
			t.Errorf("%s: %v", tt.name, err)
		}
		if after := state(t, filepath.Dir(path)); after != before {
			t.Errorf("%s: %s, was %s", tt.name, after, before)
		}
	}
}

// TestLock runs one backup while another waits for its answer.
func TestLock(t *testing.T) {
	path := base(t)
	later := monday.Add(2 * time.Hour)
	incremental := layer(t, later, metaFile(later))
	arrived, goOn := make(chan bool), make(chan bool)
	slow := asked(func(ctx context.Context, k *chain.Manifest) (io.ReadCloser, error) {
		arrived <- true
		<-goOn
		return answers(incremental)(ctx, k)
	})
	done := make(chan error)
	go func() {
		r, err := Take(t.Context(), path, slow, Options{})
		if err == nil && r.Path != path+".1" {
			err = errors.New(r.Path)
		}
		done <- err
	}()
	<-arrived
	for range 3 {
		if _, err := Take(t.Context(), path, answers(), Options{}); !errors.Is(err, ErrLocked) {
			t.Errorf("while another backup runs: %v", err)
		}
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if r := take(t, path, answers(incremental), Options{}); r.Path != path+".2" {
		t.Errorf("%+v", r)
	}
}

// TestLockMoves gives the lock of a file to one who opened it by the name that
// it has no more.
func TestLockMoves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snap")
	for _, move := range []func(name string) error{os.Remove, func(name string) error { return os.Rename(name, path) }} {
		first, err := lock(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(first.path(0))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		second := &slots{base: path}
		if ok, err := second.try(f); ok || !errors.Is(err, ErrLocked) {
			t.Errorf("%v, %v", ok, err)
		}
		if err := move(first.path(0)); err != nil {
			t.Fatal(err)
		}
		if err := first.close(); err != nil {
			t.Fatal(err)
		}
		if ok, err := second.try(f); ok || err != nil {
			t.Errorf("a file that was moved away: %v, %v", ok, err)
		}
	}
}

// TestLeftover replaces what a backup left that was killed, but nothing that is
// no file.
func TestLeftover(t *testing.T) {
	path := base(t)
	later := monday.Add(2 * time.Hour)
	for _, name := range []string{path + ".pending", path + ".retry.pending"} {
		if err := os.WriteFile(name, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := take(t, path, answers(layer(t, later, metaFile(later))), Options{})
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "4 bytes of an unfinished backup") {
		t.Errorf("%q", r.Warnings)
	}
	if left, _ := filepath.Glob(path + ".*pending"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if err := os.Symlink(path, path+".pending"); err != nil {
		t.Fatal(err)
	}
	before := state(t, filepath.Dir(path))
	if _, err := Take(t.Context(), path, answers(), Options{}); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("%v", err)
	}
	if after := state(t, filepath.Dir(path)); after != before {
		t.Errorf("%s, was %s", after, before)
	}
	if err := os.Remove(path + ".pending"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path+".pending", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), path, answers(), Options{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
}

// TestTorn asks again, and takes the best.
func TestTorn(t *testing.T) {
	torn, _, err := sample.Torn(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	tornFile := func(name string) sample.File { return sample.File{Name: name, Data: torn, Modified: monday} }
	whole := layer(t, monday, metaFile(monday), shardFile(t, "db/rp/1", monday), shardFile(t, "db/rp/2", monday))
	one := layer(t, monday, metaFile(monday), tornFile("db/rp/1"), shardFile(t, "db/rp/2", monday))
	two := layer(t, monday, metaFile(monday), tornFile("db/rp/1"), tornFile("db/rp/2"))
	cut := two[:len(two)/2]
	for _, tt := range []struct {
		name           string
		answers        [][]byte
		retry          int
		torn, attempts int
		want           []byte
		warned         string
	}{
		{"sound at once", [][]byte{whole}, 5, 0, 1, whole, ""},
		{"not asked again", [][]byte{two}, 0, 2, 1, two, ""},
		{"sound later", [][]byte{two, one, whole}, 5, 0, 3, whole, ""},
		{"the best is the last", [][]byte{two, two, one}, 2, 1, 3, one, ""},
		{"the best is the first", [][]byte{one, two, two}, 2, 1, 3, one, ""},
		{"the best is in the middle", [][]byte{two, one, two, two}, 3, 1, 4, one, ""},
		{"the retry fails", [][]byte{one, cut}, 3, 1, 2, one, "asked again, in vain"},
	} {
		path := filepath.Join(t.TempDir(), "snap")
		r := take(t, path, answers(tt.answers...), Options{RetryTorn: tt.retry})
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, tt.want) {
			t.Errorf("%s: not the best was taken: %v", tt.name, err)
		}
		if len(r.Torn) != tt.torn || r.Attempts != tt.attempts || !strings.Contains(strings.Join(r.Warnings, "\n"), tt.warned) || tt.warned == "" && len(r.Warnings) > 0 {
			t.Errorf("%s: %+v", tt.name, r)
		}
		for _, x := range r.Torn {
			if x.Class != boltview.ClassC && x.Class != boltview.ClassE {
				t.Errorf("%s: %v", tt.name, x)
			}
		}
		if names := state(t, filepath.Dir(path)); !strings.HasSuffix(names, " snap") || strings.Count(names, " ") != 1 {
			t.Errorf("%s: left behind: %s", tt.name, names)
		}
	}
}

// TestWarnings tells what is odd about an answer that is taken all the same.
func TestWarnings(t *testing.T) {
	later := monday.Add(3 * time.Hour)
	for _, tt := range []struct {
		name   string
		answer []byte
		want   string
	}{
		{"clock", layer(t, monday.Add(-time.Hour), metaFile(later)), "the clock of the server is behind the chain"},
		{"not newer", layer(t, later, shardFile(t, "db/rp/1", monday.Add(-time.Hour))), `"db/rp/1" was sent although`},
		{"no Bolt file", layer(t, later, sample.File{Name: "db/rp/7", Data: []byte("tsm"), Modified: later}), `1 of 1 files are no Bolt files, the first is "db/rp/7"`},
		{"no metadata", layer(t, later, sample.File{Name: "meta", Data: []byte("\xff\xff"), Modified: later}), "meta cannot be read"},
		{"empty metadata", layer(t, later, sample.File{Name: "meta", Data: []byte{8, 0, 16, 0, 24, 0, 56, 0, 64, 0, 72, 0}, Modified: later}), "meta knows nothing"},
		{"one of two nodes", layer(t, later, sample.File{Name: "meta", Data: append(metaFile(later).Data, "\x22\x06\x08\x02\x12\x02:1"...), Modified: later}), `one of 2 nodes: policy "rp" of database "db" keeps each shard on 1`},
	} {
		if r := take(t, base(t), answers(tt.answer), Options{}); len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], tt.want) {
			t.Errorf("%s: %q", tt.name, r.Warnings)
		}
	}
}

// TestRealAnswers plays what real servers answered, and gets their chains again.
func TestRealAnswers(t *testing.T) {
	for _, snap := range realchains.All(t) {
		path := filepath.Join(t.TempDir(), "snap")
		torn := 0
		for i := -1; ; i++ {
			name, mine := snap, path
			if i >= 0 {
				name, mine = fmt.Sprintf("%s.%d", snap, i), fmt.Sprintf("%s.%d", path, i)
			}
			want, err := os.ReadFile(name)
			if errors.Is(err, os.ErrNotExist) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			r, err := Take(t.Context(), path, answers(want), Options{})
			if len(want) == 0 {
				if !errors.Is(err, ErrAnswer) {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			torn += len(r.Torn)
			got, err := os.ReadFile(mine)
			if err != nil || r.Path != mine || !bytes.Equal(got, want) {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
		}
		if (torn > 0) != strings.Contains(snap, "torn") {
			t.Errorf("%s: %d torn files", snap, torn)
		}
	}
}
