package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/internal/sample"
)

// TestInterruptedAtWork interrupts commands that write while they do: nothing is
// left of what they were about to make, but for what restore has staged. A command may be done before the signal
// comes, and then all is there; it is tried again until one was at work.
func TestInterruptedAtWork(t *testing.T) {
	snap, dir := manyPages(t)
	bin := build(t, ".")
	for name, c := range map[string]struct{ args, made string }{
		"restore":         {"restore --quiet SNAP --target OUT/new", "new"},
		"flatten":         {"flatten --quiet SNAP --out OUT/new", "new"},
		"flatten, verify": {"flatten --quiet --verify SNAP --out OUT/new", "new"},
		"seal":            {"seal SNAP --out OUT/new", "new"},
		"bolt repair":     {"bolt repair SNAP db/default/1 --output OUT/new", "new"},
		"export":          {"export SNAP --out OUT/new.lp", "new.lp"},
		"export, parquet": {"export --format parquet SNAP --out OUT/new", "new"},
		"backup":          {"backup --from DIR OUT/new", "new"},
	} {
		t.Run(name, func(t *testing.T) {
			for !interruptAtWork(t, bin, c.args, c.made, snap, dir) {
				t.Log("done before it was interrupted")
			}
		})
	}
}

// interruptAtWork runs a command once, and reports whether it was interrupted
// in its work.
func interruptAtWork(t *testing.T, bin, args, made, snap, dir string) bool {
	out := t.TempDir()
	words := strings.Fields(args)
	for i, w := range words {
		words[i] = strings.NewReplacer("SNAP", snap, "DIR", dir, "OUT", out).Replace(w)
	}
	var stderr strings.Builder
	cmd := exec.Command(bin, words...)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	// At work is who has made a file, or who reads the snapshot and makes one
	// only at the end.
	var err error
	ended := false
	for !ended {
		list, _ := os.ReadDir(out)
		if len(list) > 0 || words[0] == "seal" && hasOpen(cmd.Process.Pid, snap) {
			break
		}
		select {
		case err = <-done:
			ended = true
		default:
		}
	}
	if !ended {
		if e := cmd.Process.Signal(os.Interrupt); e != nil && !errors.Is(e, os.ErrProcessDone) {
			t.Fatal(e)
		}
		err = <-done
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		if _, err := os.Stat(filepath.Join(out, made)); err != nil {
			t.Errorf("it says that it is done: %v", err)
		}
		return t.Failed()
	case !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted:
		t.Fatalf("%v, %s", err, &stderr)
	}
	if !strings.HasPrefix(stderr.String(), "snapfs: interrupted\n") {
		t.Errorf("stderr %q", &stderr)
	}
	if _, err := os.Lstat(filepath.Join(out, made)); err == nil {
		// The signal came when it had its name already: then all of it is there.
		whole := t.TempDir()
		for i, w := range words {
			words[i] = strings.Replace(w, out, whole, 1)
		}
		if b, err := exec.Command(bin, words...).CombinedOutput(); err != nil {
			t.Fatalf("%v, %s", err, b)
		}
		if got, want := sizes(t, out), sizes(t, whole); !maps.Equal(got, want) {
			t.Errorf("half written: %v, want %v", got, want)
		}
		return t.Failed()
	}
	if words[0] == "restore" {
		// What was staged is kept, under a hidden name, for a second run.
		if b, err := exec.Command(bin, words...).CombinedOutput(); err != nil {
			t.Errorf("the second run: %v, %s", err, b)
		}
		if list, err := os.ReadDir(out); err != nil || len(list) != 1 || list[0].Name() != made {
			t.Errorf("after the second run: %v, %v", list, err)
		}
		return true
	}
	if list, err := os.ReadDir(out); err != nil || len(list) > 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
	return true
}

// sizes returns the size of each file below a directory.
func sizes(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			out[name] = fi.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hasOpen reports whether a process has a file open.
func hasOpen(pid int, name string) bool {
	want, err := os.Stat(name)
	if err != nil {
		return false
	}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if to, err := os.Stat(fd); err == nil && os.SameFile(to, want) {
			return true
		}
	}
	return false
}

// manyPages writes a full snapshot of several shards with some megabytes each,
// and a directory with the same files.
func manyPages(t *testing.T) (snap, dir string) {
	t.Helper()
	dir = t.TempDir()
	var points []sample.Point
	for i := range 20000 {
		points = append(points, sample.Point{Series: "cpu", Time: sample.Start.Add(time.Duration(i) * time.Second), Fields: map[string]any{"load": float64(i), "text": strings.Repeat("x", 64)}})
	}
	data, err := sample.Shard{Flushed: points}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	week := sample.Policy{Name: "default", GroupDuration: 7 * 24 * time.Hour}
	l := sample.Layer{Time: sample.Start.AddDate(0, 2, 0)}
	for id := range uint64(5) {
		from := sample.Start.Truncate(24*time.Hour).AddDate(0, 0, 7*int(id))
		week.Groups = append(week.Groups, sample.Group{ID: id + 1, Start: from, End: from.AddDate(0, 0, 7)})
		l.Files = append(l.Files, sample.File{Name: fmt.Sprintf("db/default/%d", id+1), Data: data, Modified: sample.Start})
	}
	meta := sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{week}}}}
	l.Files = append(l.Files, sample.File{Name: "meta", Data: meta.Bytes(), Modified: l.Time})
	snap = filepath.Join(t.TempDir(), "snap")
	if err := sample.Write(snap, l); err != nil {
		t.Fatal(err)
	}
	for _, f := range l.Files {
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return snap, dir
}
