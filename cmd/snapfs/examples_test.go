package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestExamples: the parser takes each line that help and the documents give to
// type, and each command that anyone would have to try has such lines.
func TestExamples(t *testing.T) {
	var out bytes.Buffer
	a := &App{Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}
	p, err := a.parser(new(cli), nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	try := func(where, line string) {
		for _, args := range commandsIn(line) {
			n++
			p, err := a.parser(new(cli), args)
			if err == nil {
				_, err = p.Parse(oldFlags(args))
			}
			if err != nil {
				t.Errorf("%s: %s\n%q: %v", where, line, args, err)
			}
		}
	}
	var walk func(node *kong.Node)
	walk = func(node *kong.Node) {
		before := n
		for line := range strings.Lines(node.Detail) {
			if strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "   ") {
				try(node.FullPath()+" --help", line)
			}
		}
		plain := []string{"completion", "version"}
		if node.Type == kong.CommandNode && n == before && !slices.Contains(plain, node.Name) {
			t.Errorf("%s --help has no example", node.FullPath())
		}
		for _, child := range node.Children {
			walk(child)
		}
	}
	walk(p.Model.Node)
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range append(docs, "../../README.md") {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if cmd, ok := strings.CutPrefix(line, "    $ "); ok {
				try(filepath.Base(doc), cmd)
			}
		}
	}
	if n < 100 {
		t.Errorf("%d examples", n)
	}
}

// commandsIn returns the arguments of each snapfs in a line for a shell, as far
// as examples use one: quotes, pipes, "&&" and redirections. Two spaces begin a
// remark.
func commandsIn(line string) (list [][]string) {
	line, _, _ = strings.Cut(strings.TrimSpace(line), "  ")
	line, _, _ = strings.Cut(line, " #")
	var words []string
	word, quote, open := "", rune(0), false
	end := func() {
		if open {
			words = append(words, word)
		}
		word, open = "", false
	}
	command := func() {
		end()
		if i := slices.Index(words, ">"); i >= 0 {
			words = words[:i]
		}
		if i := slices.Index(words, "snapfs"); i >= 0 {
			args := words[i+1:]
			if i > 0 && words[0] == "xargs" {
				args = append(args, "what xargs gives")
			}
			list = append(list, args)
		}
		words = nil
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == ' ':
			end()
		case r == '|' || r == '&' || r == ';':
			command()
		case r == '>':
			end()
			words = append(words, ">")
		default:
			word, open = word+string(r), true
		}
	}
	command()
	return list
}

func TestCommandsIn(t *testing.T) {
	got := commandsIn(`  find -0 | xargs -0 snapfs cat 'a b' "" > all && snapfs ls -l x  a remark`)
	if len(got) != 2 || !slices.Equal(got[0], []string{"cat", "a b", "", "what xargs gives"}) || !slices.Equal(got[1], []string{"ls", "-l", "x"}) {
		t.Errorf("%q", got)
	}
}
