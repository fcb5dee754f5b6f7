package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/snapfs/snapfs/internal/sample"
)

// TestBackupEvery goes on through a failure, until it is interrupted.
func TestBackupEvery(t *testing.T) {
	dir := t.TempDir()
	data, _, err := sample.Torn(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "data", "app.db")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int)
	snap := filepath.Join(dir, "%Y", "snap")
	go func() {
		app := &App{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: os.Getenv}
		code <- app.Run(ctx, []string{"backup", "--from", filepath.Dir(file), "--every", "20ms", "--keep", "all", snap})
	}()
	// At first there is nothing to be backed up, and that is an error.
	until(t, func() bool { found, _ := filepath.Glob(filepath.Join(dir, "[0-9]*")); return len(found) > 0 })
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { found, _ := filepath.Glob(filepath.Join(dir, "*", "snap.1")); return len(found) > 0 })
	cancel()
	if c := <-code; c != exitOK && c != exitInterrupted {
		t.Errorf("exit code %d", c)
	}
	if !strings.Contains(stderr.String(), "snap.1: ") {
		t.Errorf("%s", &stderr)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*", "*.pending")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestBackupEveryStopped: a series of backups that is stopped ends as the last of
// them did.
func TestBackupEveryStopped(t *testing.T) {
	well, _, err := sample.Torn(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	torn, _, err := sample.Torn(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	series := func(t *testing.T, args ...string) (stderr *output, stop func() int) {
		ctx, cancel := context.WithCancel(t.Context())
		stderr = &output{}
		code := make(chan int, 1)
		snap := filepath.Join(t.TempDir(), "snap")
		go func() {
			app := &App{Stdin: strings.NewReader(""), Stdout: stderr, Stderr: stderr, Getenv: os.Getenv}
			code <- app.Run(ctx, append([]string{"backup", snap}, args...))
		}()
		return stderr, func() int { cancel(); return <-code }
	}
	for name, c := range map[string]struct {
		file []byte
		told string
		code int
	}{
		"well":   {well, "snap: 1 file, ", exitOK},
		"torn":   {torn, "hint: nothing is lost", exitDamage},
		"failed": {nil, "hint: name the data directory", exitOther},
	} {
		t.Run("between, "+name, func(t *testing.T) {
			from := t.TempDir()
			if c.file != nil {
				if err := os.WriteFile(filepath.Join(from, "app.db"), c.file, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			stderr, stop := series(t, "--from", from, "--every", "1h")
			until(t, func() bool { return strings.Contains(stderr.String(), c.told) })
			if code := stop(); code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, stderr)
			}
			if told := strings.Contains(stderr.String(), "snapfs: stopped; the last backup: "); told != (c.code != exitOK) {
				t.Errorf("%s", stderr)
			}
		})
	}
	// A server that closes the first connections, and does not answer on the next.
	for name, c := range map[string]struct{ closed, code int }{
		"well":   {0, exitInterrupted},
		"failed": {2, exitIncomplete},
	} {
		t.Run("within, "+name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			stderr, stop := series(t, "--host", l.Addr().String(), "--every", "1ms")
			for n := range c.closed + 1 {
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.Read(make([]byte, 4096)); err != nil { // else closing is a reset
					t.Fatal(err)
				}
				if n < c.closed {
					conn.Close()
				}
			}
			if code := stop(); code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, stderr)
			}
		})
	}
}

// TestBackupProgress backs up the files of another program: with a bar that
// leaves nothing behind on a terminal, and without one in a pipe.
func TestBackupProgress(t *testing.T) {
	dir := t.TempDir()
	data, err := sample.Keys(dir, 1000)
	if err != nil {
		t.Fatal(err)
	}
	from, snap := filepath.Join(dir, "data"), filepath.Join(dir, "snap")
	file := filepath.Join(from, "db", "rp", "1") // as a shard would be called
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}

	x := inTerminal(t, nil, "backup", "--from", from, snap)
	if code := x.end(); code != exitOK {
		t.Errorf("exit code %d on a terminal", code)
	}
	// Both may come at once, so that until would drop the second with the first.
	shown := ansi.Strip(x.out.String())
	if bar, after, ok := strings.Cut(shown, "snap: 1 file, "); !ok || !strings.Contains(bar, "copying ") || strings.Contains(after, "copying") {
		t.Errorf("on a terminal %q", shown)
	}

	var stdout, stderr bytes.Buffer
	run := func(args ...string) {
		t.Helper()
		stdout.Reset()
		stderr.Reset()
		app := &App{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: os.Getenv}
		if code := app.Run(t.Context(), args); code != exitOK {
			t.Errorf("%q: exit code %d\n%s%s", args, code, &stdout, &stderr)
		}
	}
	run("backup", "--from", from, snap)
	if want := snap + ".0: 0 files, 2,048 bytes\n"; stderr.String() != want || stdout.Len() > 0 {
		t.Errorf("in a pipe %q, want %q; on stdout %q", &stderr, want, &stdout)
	}
	run("doctor", snap)
	if !strings.Contains(stdout.String(), "Bolt files of another program") || stderr.Len() > 0 {
		t.Errorf("%s%s", &stdout, &stderr)
	}
	run("verify", snap)
}

func TestOldFlags(t *testing.T) {
	for in, want := range map[string]string{
		"backup -host a:1 snap":  "backup --host a:1 snap",
		"backup -host=a:1 snap":  "backup --host=a:1 snap",
		"backup --host a:1 snap": "backup --host a:1 snap",
		"ls -host":               "ls -host",
	} {
		if got := strings.Join(oldFlags(strings.Fields(in)), " "); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
