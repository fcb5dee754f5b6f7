package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/snapfs/snapfs/doctor"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestHintsParse takes the commands that doctor tells to type at their word.
func TestHintsParse(t *testing.T) {
	torn, _, err := sample.Torn(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for name, damage := range map[string]func(snap string) error{
		"sound":   func(string) error { return nil },
		"empty":   func(snap string) error { return os.Truncate(snap+".1", 0) },
		"cut":     func(snap string) error { return os.Truncate(snap+".2", 50000) },
		"gap":     func(snap string) error { return os.Remove(snap + ".1") },
		"no full": func(snap string) error { return os.Remove(snap) },
		"pending": func(snap string) error { return os.WriteFile(snap+".pending", nil, 0o644) },
		"swapped": func(snap string) error { return os.Rename(snap+".2", snap+".0") },
		"torn":    func(snap string) error { return os.WriteFile(snap+".3", layerWith(t, torn), 0o644) },
		"no Bolt": func(snap string) error { return os.WriteFile(snap+".3", layerWith(t, []byte("no shard")), 0o644) },
	} {
		snap, err := sample.Chain(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(snap); err != nil {
			t.Fatal(err)
		}
		var out, stderr bytes.Buffer
		app := &App{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &stderr, Getenv: os.Getenv}
		app.Run(t.Context(), []string{"doctor", "--json", filepath.Dir(snap)})
		var reports []struct{ Findings []doctor.Finding }
		if err := json.Unmarshal(out.Bytes(), &reports); err != nil || len(reports) != 1 {
			t.Fatalf("%s: %v, %s", name, err, &stderr)
		}
		for _, f := range reports[0].Findings {
			for _, line := range regexp.MustCompile(`snapfs [a-z][^;|>]*`).FindAllString(f.Hint, -1) {
				line, _, _ = strings.Cut(line, " tells ")
				commands++
				var c cli
				parser, err := kong.New(&c, kong.Vars{"version": ""}, kong.Exit(func(int) { t.Errorf("%s: %q prints help", name, line) }))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := parser.Parse(strings.Fields(line)[1:]); err != nil {
					t.Errorf("%s: hint %q: %v", name, line, err)
				}
			}
		}
	}
	if commands < 9 {
		t.Errorf("only %d commands in hints", commands)
	}
}

// layerWith makes a layer with one shard.
func layerWith(t *testing.T, data []byte) []byte {
	var b bytes.Buffer
	at := sample.Start.AddDate(0, 0, 9)
	l := sample.Layer{Time: at, Files: []sample.File{{Name: "telemetry/default/4", Data: data, Modified: at}}}
	if _, err := l.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
