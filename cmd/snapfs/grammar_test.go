package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestOnly: the grammar of one command says what that of all says.
func TestOnly(t *testing.T) {
	var out bytes.Buffer
	a := &App{Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}
	full := func() *kong.Kong {
		all, err := kong.New(new(cli), a.options()...)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, top := range full().Model.Children {
		for _, name := range append(slices.Clone(top.Aliases), top.Name) {
			all := full()
			one, err := a.parser(new(cli), []string{name})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(one.Model.Children); n != 1 {
				t.Errorf("%s: a grammar of %d commands", name, n)
			}
			lines := [][]string{{name}, {name, "a"}, {name, "a", "b"}, {name, "--help"}, {name, "--no-such-flag"}, {name, "a", "b", "--at"}}
			for _, sub := range top.Children {
				lines = append(lines, []string{name, sub.Name, "a", "b", "c"}, []string{name, sub.Name, "--help"}, []string{name, sub.Name, "--no-such-flag"})
			}
			for _, args := range lines {
				if got, want := parsed(one, &out, args), parsed(all, &out, args); got != want {
					t.Errorf("%s:\n%s\nbut with all commands\n%s", strings.Join(args, " "), got, want)
				}
			}
		}
	}
}

// TestCompletion: candidates come from all commands, whatever the arguments of
// who asks are.
func TestCompletion(t *testing.T) {
	t.Setenv("COMP_LINE", "snapfs mo")
	var out bytes.Buffer
	a := &App{Stdout: &out, Stderr: &out, Getenv: func(string) string { return "snapfs mo" }}
	if code := a.Run(t.Context(), []string{"mount", "mo", "snapfs"}); code != 0 || out.String() != "mount\n" {
		t.Errorf("code %d and %q, want mount", code, out.String())
	}
}

// parsed tells how a parser takes arguments: what it prints to out, what it fails
// with, and what it fills in.
func parsed(p *kong.Kong, out *bytes.Buffer, args []string) (said string) {
	out.Reset()
	defer func() {
		if code, ok := recover().(exited); ok {
			said = fmt.Sprintf("%sexit %d", out, code)
		}
	}()
	k, err := p.Parse(args)
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return fmt.Sprintf("%s%s\n%+v", out, k.Command(), k.Selected().Target)
}
