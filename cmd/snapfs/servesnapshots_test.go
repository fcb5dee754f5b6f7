package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/snapfs/snapfs/internal/sample"
)

// output can be read while a command writes to it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// serveSnapshots runs the command until stop is called, which returns its exit
// code. It returns the addresses of both doors.
func serveSnapshots(t *testing.T, args ...string) (tcp, http string, stderr *output, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stderr = &output{}
	code := make(chan int, 1)
	go func() {
		app := &App{Stdin: strings.NewReader(""), Stdout: stderr, Stderr: stderr, Getenv: os.Getenv}
		code <- app.Run(ctx, append([]string{"serve-snapshots", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"}, args...))
	}()
	door := regexp.MustCompile(`door=(tcp|http) addr=(\S+)\n`)
	var found [][]string
	until(t, func() bool {
		found = door.FindAllStringSubmatch(stderr.String(), -1)
		return len(found) == 2 || strings.Contains(stderr.String(), "snapfs: ")
	})
	if len(found) != 2 {
		t.Fatalf("%s", stderr)
	}
	return found[0][2], "http://" + found[1][2], stderr, func() int { cancel(); return <-code }
}

// snapfs runs a command and returns its exit code and what it wrote.
func snapfs(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	app := &App{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: os.Getenv}
	return app.Run(t.Context(), args), out.String()
}

// TestServeSnapshots copies a chain, point by point, through both doors.
func TestServeSnapshots(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, point := range []string{"full", "0", "1", "2"} {
		tcp, http, stderr, stop := serveSnapshots(t, "--at", point, snap)
		for name, host := range map[string]string{"tcp": tcp, "http": http} {
			if code, out := snapfs(t, "backup", "--host", host, filepath.Join(dir, name)); code != exitOK {
				t.Errorf("%s at %s: exit code %d, %s", name, point, code, out)
			}
		}
		if code := stop(); code != exitOK || strings.Count(stderr.String(), `msg="snapshot sent"`) != 2 {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	}
	for _, suffix := range []string{"", ".0", ".1", ".2"} {
		want, err := os.ReadFile(snap + suffix)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"tcp", "http"} {
			got, err := os.ReadFile(filepath.Join(dir, name+suffix))
			if err != nil || len(got) != len(want) {
				t.Errorf("%s%s: %d bytes, want %d: %v", name, suffix, len(got), len(want), err)
			}
		}
	}
	for _, name := range []string{"tcp", "http"} {
		_, want := snapfs(t, "export", "--ghosts", "show", snap)
		if _, got := snapfs(t, "export", "--ghosts", "show", filepath.Join(dir, name)); got != want || len(want) < 1000 {
			t.Errorf("%s: %d bytes of line protocol, not the %d of the chain", name, len(got), len(want))
		}
	}
}

// TestServeDisabled refuses by the configuration, unless a flag says otherwise.
func TestServeDisabled(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "influxdb.conf")
	if err := os.WriteFile(conf, []byte("[broker]\ndir = \"b\"\n[data]\ndir = \"d\"\n[snapshot]\nenabled = false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy")
	tcp, http, stderr, stop := serveSnapshots(t, "--config", conf, snap)
	if code, out := snapfs(t, "backup", "--host", http, path); code != exitIncomplete || !strings.Contains(out, `404 Not Found: {"error":"not found"}`) || !strings.Contains(out, "hint: snapshots may be disabled") {
		t.Errorf("exit code %d, %s", code, out)
	}
	if code, out := snapfs(t, "backup", "--host", tcp, path); code == exitOK {
		t.Errorf("exit code %d, %s", code, out)
	}
	until(t, func() bool { return strings.Count(stderr.String(), "[snapshot] enabled = false") == 2 })
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	tcp, _, _, stop = serveSnapshots(t, "--config", conf, "--enabled", snap)
	if code, out := snapfs(t, "backup", "--host", tcp, path); code != exitOK {
		t.Errorf("exit code %d, %s", code, out)
	}
	stop()
}

func TestServeUsage(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"", exitUsage, "neither a directory nor a chain"},
		{"--listen none " + snap, exitUsage, "neither --listen nor --http"},
		{"--max-copies 0 " + snap, exitUsage, "must be more than nothing"},
		{"--at 0 " + filepath.Dir(snap), exitUsage, "no points in time"},
		{"--meta x " + snap, exitUsage, "its own metadata"},
		{"--at 9 " + snap, exitBroken, "no such point"},
		{snap + ".none", exitOpen, "no such file"},
		{"--listen 127.0.0.1:999999 " + snap, exitOther, "invalid port"},
	} {
		if code, out := snapfs(t, append([]string{"serve-snapshots"}, strings.Fields(tt.args)...)...); code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("%q: exit code %d, %s", tt.args, code, out)
		}
	}
}
