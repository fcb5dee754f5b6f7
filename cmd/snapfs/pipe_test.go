package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/snapfs/snapfs/internal/sample"
)

const aShard = "telemetry/default/1"

// commands are the commands that take a snapshot, each once. What writes files
// writes to out, or to a name that begins so.
func commands(snap, out string) [][]string {
	var list [][]string
	for _, c := range []string{
		"ls -lR SNAP", "tree SNAP", "cat SNAP meta", "find SNAP", "du SNAP", "stat SNAP SHARD", "log SNAP", "why SNAP SHARD", "diff --keys --points SNAP full latest", "points SNAP", "info --count SNAP", "doctor SNAP", "verify SNAP", "seal SNAP --out OUT.seal",
		"databases SNAP", "measurements SNAP", "series SNAP", "fields SNAP", "tags SNAP",
		"bolt info SNAP SHARD", "bolt buckets SNAP SHARD", "bolt keys SNAP SHARD cpu,host=alpha", "bolt get SNAP SHARD fields cpu",
		"bolt stats SNAP SHARD", "bolt check SNAP", "bolt pages SNAP SHARD", "bolt page SNAP SHARD 3", "bolt inspect SNAP SHARD",
		"bolt dump SNAP SHARD 0", "bolt export SNAP SHARD", "bolt repair SNAP SHARD --output OUT.db",
		"export SNAP", "plot SNAP --db telemetry --rp default --measurement cpu --field load",
		"restore SNAP --target OUT", "flatten SNAP --out OUT.flat", "prune --dry-run SNAP",
	} {
		words := strings.Fields(c)
		for i, w := range words {
			words[i] = strings.NewReplacer("SNAP", snap, "SHARD", aShard, "OUT", out).Replace(w)
		}
		list = append(list, words)
	}
	return list
}

// elsewhere are the commands that are not in the list of commands, and why.
var elsewhere = map[string]string{
	"mount":           "serves until it is unmounted: TestForeground",
	"umount":          "takes a mount, no snapshot",
	"backup":          "takes no snapshot: TestInterruptedAtWork, and its own scripts",
	"serve-snapshots": "serves until it is interrupted: servesnapshots_test.go",
	"browse":          "needs a terminal: browse_test.go",
	"demo":            "makes its own chain, and takes no snapshot",
	"bench":           "hidden; makes its own archives",
	"version":         "takes no snapshot, and prints a line",
	"completion":      "takes no snapshot",
	"man":             "takes no snapshot",
}

// TestAllCommands keeps the list complete: a command is there, or it is told why
// not.
func TestAllCommands(t *testing.T) {
	var c cli
	parser, err := kong.New(&c, kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	listed := commands("SNAP", "OUT")
	var all []string
	for _, leaf := range parser.Model.Leaves(false) {
		name := leaf.Name
		for p := leaf.Parent; p != nil && p.Type == kong.CommandNode; p = p.Parent {
			name = p.Name + " " + name
		}
		all = append(all, name)
		words := strings.Fields(name)
		known := slices.ContainsFunc(listed, func(args []string) bool {
			return len(args) >= len(words) && slices.Equal(args[:len(words)], words)
		})
		if _, but := elsewhere[name]; known == but {
			t.Errorf("%s: among the commands that are interrupted and piped into head: %v, among those that are not: %v", name, known, but)
		}
	}
	for name := range elsewhere {
		if !slices.Contains(all, name) {
			t.Errorf("%q is no command", name)
		}
	}
	for name := range onlyRead {
		if !slices.Contains(all, name) {
			t.Errorf("%q is no command", name)
		}
	}
}

// TestNamesOnTerminal: no name of a file, be it in a tar or of one, reaches the
// terminal with what it would obey.
func TestNamesOnTerminal(t *testing.T) {
	made, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const evil = "\x1b[31m"
	dir := t.TempDir()
	snap := filepath.Join(dir, "snap"+evil)
	for _, layer := range []string{"", ".0", ".1", ".2"} {
		if err := os.Rename(made+layer, snap+layer); err != nil {
			t.Fatal(err)
		}
	}
	shard, _, code := runApp(t, "cat", snap, aShard)
	bare := filepath.Join(dir, "shard"+evil)
	if err := os.WriteFile(bare, []byte(shard), 0o644); err != nil || code != exitOK {
		t.Fatal(err, code)
	}
	at := sample.Start.AddDate(0, 0, 9)
	f, err := os.Create(snap + ".3")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	layer := sample.Layer{Time: at, Files: []sample.File{{Name: "db" + evil + "/rp/9", Data: []byte(shard), Modified: at}}}
	if _, err := layer.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out"+evil)
	list := append(commands(snap, out),
		[]string{"restore", snap, "--target", out, "--dry-run", "--replace"},
		[]string{"restore", snap, "--target", out, "--replace"},
		[]string{"backup", "--from", out, filepath.Join(dir, "new"+evil)},
		[]string{"backup", "--from", out, "--skip-if-unchanged", filepath.Join(dir, "new"+evil)})
	for _, c := range []string{"info", "doctor", "verify", "bolt info", "bolt stats", "bolt check"} {
		list = append(list, append(strings.Fields(c), bare))
	}
	for _, p := range []string{aShard, "db%1B[31m/rp/9"} {
		list = append(list, []string{"log", snap, p}, []string{"why", snap, p}, []string{"stat", snap, p}, []string{"bolt", "info", snap, p})
	}
	for _, args := range list {
		if args[0] == "cat" || args[0] == "export" || args[0] == "bolt" && args[1] == "export" {
			continue // what they write is data
		}
		out, errs, code := runApp(t, args...)
		if code != exitOK || out+errs == "" {
			t.Errorf("%q: exit code %d, prints %q", args, code, out+errs)
		}
		if i := strings.Index(out+errs, evil); i >= 0 {
			t.Errorf("%q prints it as it is: %q", args, (out + errs)[max(i-80, 0):i+len(evil)])
		}
	}
}

// TestPipes is about standard output that is not read to its end.
func TestPipes(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bin := build(t, ".")
	t.Run("broken", func(t *testing.T) { brokenPipe(t, bin, snap) })
	t.Run("interrupted", func(t *testing.T) { interruptedInPipe(t, bin, snap) })
}

// brokenPipe pipes each command into something that reads nothing, as head does
// after some lines.
func brokenPipe(t *testing.T, bin, snap string) {
	for _, args := range commands(snap, filepath.Join(t.TempDir(), "out")) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		var stderr bytes.Buffer
		cmd := exec.Command(bin, args...)
		cmd.Stdout, cmd.Stderr = w, &stderr
		err = cmd.Run()
		w.Close()
		var exit *exec.ExitError
		piped := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGPIPE
		if err != nil && !piped {
			t.Errorf("%q: %v", args, err)
		}
		if strings.Contains(stderr.String(), "pipe") || strings.Contains(stderr.String(), "snapfs:") {
			t.Errorf("%q is not quiet: %s", args, &stderr)
		}
	}
}

// interruptedInPipe interrupts commands that write to a pipe which is full and
// which nobody reads on.
func interruptedInPipe(t *testing.T, bin, snap string) {
	for _, args := range [][]string{
		{"cat", snap, aShard},
		{"ls", "-lR", snap, ".snapfs/bolt/" + aShard},
		{"bolt", "export", snap, aShard},
		{"export", "--ghosts", "show", snap},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd := exec.Command(bin, args...)
		cmd.Stdout, cmd.Stderr = w, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		// Once something has come, the command is at work, and has more than a
		// pipe holds.
		if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
			t.Fatalf("%q: %v, %s", args, err, &stderr)
		}
		send(t, cmd, os.Interrupt)
		err = cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
			t.Errorf("%q: %v", args, err)
		}
		if got := stderr.String(); got != "snapfs: interrupted\n" {
			t.Errorf("%q: %s", args, got)
		}
		r.Close()
	}
}
