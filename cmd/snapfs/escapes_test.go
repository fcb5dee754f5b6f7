package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/internal/sample"
)

// TestEscapes has all commands read a chain, and a Bolt file, whose paths would
// colour a terminal, and one that holds such names.
func TestEscapes(t *testing.T) {
	const red = "\x1b[31m"
	dir := t.TempDir()
	if _, err := sample.Chain(dir); err != nil {
		t.Fatal(err)
	}
	snap := filepath.Join(dir, red+"snap")
	for _, ext := range []string{"", ".0", ".1"} {
		if err := os.Rename(filepath.Join(dir, "snap"+ext), snap+ext); err != nil {
			t.Fatal(err)
		}
	}
	odd := filepath.Join(dir, "odd")
	if err := sample.Write(odd, sample.Layer{Time: sample.Start, Files: []sample.File{{Name: "a/" + red + "/b", Data: []byte("b"), Modified: sample.Start}}}); err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(dir, red+"bare")
	shard, _, code := runApp(t, "cat", snap, "telemetry/default/1")
	if code != 0 {
		t.Fatal(code)
	}
	if err := os.WriteFile(bare, []byte(shard), 0o600); err != nil {
		t.Fatal(err)
	}
	all := append(commands(snap, filepath.Join(dir, red+"out")), []string{"info", bare}, []string{"bolt", "info", bare}, []string{"log", bare}, []string{"ls", filepath.Join(dir, red)},
		[]string{"restore", snap, "--target", filepath.Join(dir, red+"dry"), "--dry-run"}, []string{"restore", snap, "--target", filepath.Join(dir, red+"out"), "--replace"},
		[]string{"backup", "--from", dir, filepath.Join(dir, red+"new")})
	for _, words := range []string{"ls -lR ODD", "tree ODD", "find ODD", "du -a ODD", "info ODD", "log --files ODD", "doctor ODD", "verify ODD", "restore ODD --target OUT --dry-run", "restore ODD --target OUT", "restore ODD --target OUT --overwrite never"} {
		all = append(all, strings.Fields(strings.NewReplacer("ODD", odd, "OUT", filepath.Join(dir, "restored")).Replace(words)))
	}
	for _, args := range all {
		stdout, stderr, code := runApp(t, args...)
		if code == exitUsage || strings.Contains(stdout+stderr, red) {
			t.Errorf("%q: %d, %q", args, code, stdout+stderr)
		}
	}
}
