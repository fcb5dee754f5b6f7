package export_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/space"
)

// dirFiles returns the files of a directory.
func dirFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

func TestFiles(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	whole, first := write(t, set, export.Options{})
	head, body, _ := strings.Cut(whole, "# DML\n")
	head += "# DML\n"
	dir := t.TempDir()
	r, err := export.ToFiles(t.Context(), export.Files{Name: dir + "/x.lp"}, set, export.Options{})
	if err != nil || r.Points != first.Points || r.Bytes != first.Bytes || len(r.Files) != 1 {
		t.Fatal(r, err)
	}
	if got := dirFiles(t, dir); len(got) != 1 || got["x.lp"] != whole {
		t.Errorf("files %q", sorted(got))
	}
	// What is there stays, unless it is to be replaced.
	if _, err := export.ToFiles(t.Context(), export.Files{Name: dir + "/x.lp"}, set, export.Options{Format: export.CSV}); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if got := dirFiles(t, dir); len(got) != 1 || got["x.lp"] != whole {
		t.Errorf("files %q", sorted(got))
	}

	for _, tt := range []struct {
		name  string
		c     export.Compression
		size  int64
		want  string
		parts int
	}{
		{"y.lp", "", 1 << 20, "y.0001.lp", 1},
		{"y.lp", "", 10_000, "y.0001.lp", 18},
		{"y", "", 50_000, "y.0001", 4},
		{".lp", "", 50_000, ".lp.0001", 4},
		{"y.lp", export.Gzip, 50_000, "y.0001.lp.gz", 4},
		{"y.lp.zst", export.Zstd, 50_000, "y.0001.lp.zst", 4},
	} {
		dir := t.TempDir()
		r, err := export.ToFiles(t.Context(), export.Files{Name: filepath.Join(dir, tt.name), SplitSize: tt.size, Compression: tt.c}, set, export.Options{})
		if err != nil || r.Points != first.Points || len(r.Files) != tt.parts || filepath.Base(r.Files[0]) != tt.want {
			t.Errorf("%+v: %d files, %v; %v", tt, len(r.Files), r.Files[:1], err)
			continue
		}
		files := dirFiles(t, dir)
		if len(files) != tt.parts {
			t.Errorf("%+v: %d files", tt, len(files))
		}
		var all, context string
		for _, name := range sorted(files) {
			text := files[name]
			if tt.c != "" {
				text = decompress(t, tt.c, strings.NewReader(text))
			}
			rest, ok := strings.CutPrefix(text, head)
			if !ok || !strings.HasPrefix(rest, "# CONTEXT-DATABASE: ") {
				t.Fatalf("%s begins with %.200q", name, text)
			}
			if int64(len(text)) > tt.size && strings.Count(rest, "\n") > 3 {
				t.Errorf("%s has %d bytes", name, len(text))
			}
			// The whole has the lines of context only where they change.
			for line := range strings.Lines(rest) {
				if strings.HasPrefix(line, "# CONTEXT-DATABASE") {
					context = line
				} else if strings.HasPrefix(line, "# CONTEXT-RETENTION") {
					if context += line; !strings.HasSuffix(all, context) && lastContext(all) != context {
						all += context
					}
				} else {
					all += line
				}
			}
		}
		if all != body {
			t.Errorf("%+v: other points", tt)
		}
	}
}

// TestTinyFiles: a file has a point at least, whatever its size.
func TestTinyFiles(t *testing.T) {
	dir := t.TempDir()
	o := export.Options{Filter: dataset.Filter{Database: "events"}, LinesOnly: true}
	r, err := export.ToFiles(t.Context(), export.Files{Name: dir + "/x.lp", SplitSize: 1}, sampleTree(t, space.Options{}).Data(), o)
	if err != nil || len(r.Files) != int(r.Points) || r.Points == 0 {
		t.Fatal(r, err)
	}
	for name, text := range dirFiles(t, dir) {
		if strings.Count(text, "\n") != 1 {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func lastContext(s string) string {
	i := strings.LastIndex(s, "# CONTEXT-DATABASE")
	if i < 0 {
		return ""
	}
	lines := strings.SplitAfterN(s[i:], "\n", 3)
	return lines[0] + lines[1]
}

// TestOverwrite: parts of an earlier export that had more are removed.
func TestOverwrite(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	dir := t.TempDir()
	for _, tt := range []struct {
		size  int64
		force bool
		parts int
	}{{50_000, false, 4}, {100_000, true, 2}} {
		f := export.Files{Name: dir + "/x.lp", SplitSize: tt.size, Overwrite: tt.force}
		if _, err := export.ToFiles(t.Context(), f, set, export.Options{}); err != nil {
			t.Fatal(err)
		}
		if got := dirFiles(t, dir); len(got) != tt.parts {
			t.Errorf("%d files", len(got))
		}
	}
	f := export.Files{Name: dir + "/x.lp", SplitSize: 100_000}
	if _, err := export.ToFiles(t.Context(), f, set, export.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if got := dirFiles(t, dir); len(got) != 2 {
		t.Errorf("%d files", len(got))
	}
}

// stopAfter returns a context, and options that cancel it after so many calls of
// Progress.
func stopAfter(t *testing.T, o export.Options, n int) (context.Context, export.Options) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	calls := 0
	o.Progress = func(p export.Progress) {
		if p.Before > p.Bytes || p.Bytes > p.TotalBytes {
			t.Errorf("progress %+v", p)
		}
		if calls++; calls == n {
			cancel()
		}
	}
	return ctx, o
}

// TestCancel: nothing is left behind without a checkpoint.
func TestCancel(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	for n := 1; n < 5; n++ {
		dir := t.TempDir()
		o := export.Options{}
		o.SetTaskWeight(1)
		ctx, o := stopAfter(t, o, n)
		_, err := export.ToFiles(ctx, export.Files{Name: dir + "/x.lp", SplitSize: 5000}, set, o)
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if got := dirFiles(t, dir); len(got) != 0 {
			t.Errorf("files %q", sorted(got))
		}
	}
}

// TestResume: an export that is stopped again and again has the same output as
// one that is not.
func TestResume(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	for _, f := range []export.Files{{}, {SplitSize: 20_000}, {Compression: export.Gzip}, {Compression: export.Zstd, SplitSize: 30_000}} {
		for _, format := range []export.Format{export.LineProtocol, export.CSV} {
			export1 := func(dir string, stop int) (runs int, r export.Report) {
				var last export.Progress
				for ; runs < 100; runs++ {
					o := export.Options{Format: format, Checkpoint: dir + "/state", Source: "s", Workers: 2}
					o.SetTaskWeight(1)
					ctx, o := stopAfter(t, o, stop)
					stopping, before := o.Progress, int64(-1)
					o.Progress = func(p export.Progress) {
						// A run goes on where the one before was at its last checkpoint.
						if before < 0 && (p.Before > last.Bytes || p.Before < last.Before) {
							t.Errorf("progress goes on at %+v after %+v", p, last)
						}
						before, last = p.Before, p
						stopping(p)
					}
					f.Name = dir + "/out/x"
					f.SetCheckpointEvery(5000)
					r, err := export.ToFiles(ctx, f, set, o)
					if err == nil {
						// What is left are roundings.
						if before >= 0 && last.Bytes < last.TotalBytes-100 {
							t.Errorf("ends at %+v", last)
						}
						return runs, r
					}
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
				}
				t.Fatal("no end")
				return
			}
			var want map[string]string
			var report export.Report
			for _, stop := range []int{-1, 8, 3} {
				dir := t.TempDir()
				if err := os.Mkdir(dir+"/out", 0o755); err != nil {
					t.Fatal(err)
				}
				runs, r := export1(dir, stop)
				got := dirFiles(t, dir+"/out")
				if stop < 0 {
					want, report = got, r
					continue
				}
				if runs == 0 || !maps.Equal(got, want) {
					t.Errorf("%+v %s: %d runs, another output than in one", f, format, runs+1)
				}
				if r.Points != report.Points || r.Series != report.Series || r.Bytes != report.Bytes || !r.Resumed || len(r.Files) != len(want) {
					t.Errorf("%+v: report %+v, want %+v", f, r, report)
				}
				// Once it is done, nothing is left to do.
				if runs, again := export1(dir, 1); runs != 0 || again.Points != r.Points || !maps.Equal(dirFiles(t, dir+"/out"), want) {
					t.Errorf("again: %d runs, %+v", runs, again)
				}
			}
		}
	}
}

// TestCheckpoint: a checkpoint of something else is refused.
func TestCheckpoint(t *testing.T) {
	tree := sampleTree(t, space.Options{})
	dir := t.TempDir()
	o := export.Options{Checkpoint: dir + "/state"}
	o.SetTaskWeight(1)
	f := export.Files{Name: dir + "/x.lp"}
	f.SetCheckpointEvery(1)
	ctx, stopped := stopAfter(t, o, 3)
	if _, err := export.ToFiles(ctx, f, tree.Data(), stopped); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	state, err := os.ReadFile(o.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, f export.Files, set *space.Tree, o export.Options) {
		t.Helper()
		if _, err := export.ToFiles(t.Context(), f, set.Data(), o); !errors.Is(err, export.ErrCheckpoint) {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := o
	other.Format = export.CSV
	refused("format", f, tree, other)
	refused("name", export.Files{Name: dir + "/y.lp"}, tree, o)
	refused("data", f, openTree(t, tree.Path(), space.Options{Ghosts: chain.Hide}), o)
	for _, text := range []string{"", "{}", "[", string(state[:len(state)-10]), strings.Replace(string(state), `"size": `, `"size": 9999`, 1), strings.Replace(string(state), `"part": `, `"part": -`, 1)} {
		if err := os.WriteFile(o.Checkpoint, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		refused(text, f, tree, o)
	}
	if err := os.WriteFile(o.Checkpoint, state, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"/x.lp.part", dir+"/z"); err != nil {
		t.Fatal(err)
	}
	refused("no part", f, tree, o)
	if err := os.Rename(dir+"/z", dir+"/x.lp.part"); err != nil {
		t.Fatal(err)
	}
	if r, err := export.ToFiles(t.Context(), f, tree.Data(), o); err != nil || r.Points != 2893 {
		t.Error(r, err)
	}
}
