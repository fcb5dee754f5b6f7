package restore

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSelect(t *testing.T) {
	const tree = `
		manifest m
		meta m
		db/default/1 a
		db/default/2 b
		db/week/3 c
		logs/db/default/4 d
		logs/a.tmp e
		star/*x f
		empty/
	`
	const all = "db db/default db/default/1 db/default/2 db/week db/week/3 empty logs logs/a.tmp logs/db logs/db/default logs/db/default/4 manifest meta star star/*x"
	tests := []struct {
		include, exclude string
		want             string // files and directories
	}{
		{"", "", all},
		{"/", "", all},
		{"*", "", all},
		{"meta", "", "meta"},
		{"db", "", "db db/default db/default/1 db/default/2 db/week db/week/3 logs logs/db logs/db/default logs/db/default/4"},
		{"/db", "", "db db/default db/default/1 db/default/2 db/week db/week/3"},
		{"./db/", "", "db db/default db/default/1 db/default/2 db/week db/week/3"},
		{"db/default", "", "db db/default db/default/1 db/default/2 logs logs/db logs/db/default logs/db/default/4"},
		{"/db/default/1", "", "db db/default db/default/1"},
		{"default/[12]", "", "db db/default db/default/1 db/default/2"},
		{"/*/default", "", "db db/default db/default/1 db/default/2"},
		{"/**/default", "", "db db/default db/default/1 db/default/2 logs logs/db logs/db/default logs/db/default/4"},
		{"{meta,manifest}", "", "manifest meta"},
		{"/db/{default/2,week}", "", "db db/default db/default/2 db/week db/week/3"},
		{`\*x`, "", "star star/*x"},
		{"empty", "", "empty"},
		{"nothing", "", ""},
		{"[123]", "week", "db db/default db/default/1 db/default/2"},
		{"", "db", "empty logs logs/a.tmp manifest meta star star/*x"},
		{"", "/db", "empty logs logs/a.tmp logs/db logs/db/default logs/db/default/4 manifest meta star star/*x"},
		{"", "*.tmp /db star empty", "logs logs/db logs/db/default logs/db/default/4 manifest meta"},
		{"meta db", "default", "db db/week db/week/3 logs logs/db meta"},
		{"", "/db/**", "empty logs logs/a.tmp logs/db logs/db/default logs/db/default/4 manifest meta star star/*x"},
		{"", "/db/*/*", "db db/default db/week empty logs logs/a.tmp logs/db logs/db/default logs/db/default/4 manifest meta star star/*x"},
	}
	for _, tt := range tests {
		t.Run(tt.include+"!"+tt.exclude, func(t *testing.T) {
			dst := t.TempDir()
			opts := Options{Include: strings.Fields(tt.include), Exclude: strings.Fields(tt.exclude), NoSync: true}
			if _, err := Copy(t.Context(), dst, lines(tree), opts); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(names(t, dst)[1:], " "); got != tt.want {
				t.Errorf("restored\n%s, want\n%s", got, tt.want)
			}
		})
	}
}

func TestBadPattern(t *testing.T) {
	for _, p := range []string{"", "[", "a/[b", "{a", `x\`} {
		for _, opts := range []Options{{Include: []string{p}}, {Exclude: []string{p}}} {
			if _, err := NewPlan(t.Context(), t.TempDir(), lines("a a"), opts); !errors.Is(err, path.ErrBadPattern) {
				t.Errorf("%q: %v, want a bad pattern", p, err)
			}
		}
	}
}

func TestFilter(t *testing.T) {
	dst := t.TempDir()
	var asked []string
	opts := Options{Exclude: []string{"skip"}}
	// Neither what the globs leave out nor what is below a refusal is asked for.
	src := lines("a/x 1\n b/y 2\n b/skip 3\n c 4")
	opts.Filter = func(p string, d fs.DirEntry) bool {
		asked = append(asked, p)
		return p != "a"
	}
	if _, err := Copy(t.Context(), dst, src, opts); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(asked, " "); got != "a b c b/y" {
		t.Errorf("asked for %s", got)
	}
	if got := strings.Join(names(t, dst), " "); got != ". b b/y c" {
		t.Errorf("restored %s", got)
	}
}

// FuzzGlob: a quoted path, anchored, is a pattern for that path alone; no
// pattern brings matching down.
func FuzzGlob(f *testing.F) {
	f.Add("db/rp/1", "*/**")
	f.Add("a*b/[c]", `{a,b/c}/\?`)
	f.Add(`back\slash`, "[^a-c]")
	f.Fuzz(func(t *testing.T, p, pattern string) {
		if len(pattern) > 64 || len(p) > 256 { // nested stars take their time
			return
		}
		if g, err := parseGlob(pattern); err == nil {
			g.match(p)
		} else if !errors.Is(err, path.ErrBadPattern) {
			t.Errorf("%q: %v", pattern, err)
		}
		if !fs.ValidPath(p) || p == "." || strings.HasPrefix(p, "./") {
			return
		}
		quoted := "/"
		for _, c := range p {
			if strings.ContainsRune(`*?[]{}\!^,-`, c) {
				quoted += `\`
			}
			quoted += string(c)
		}
		g, err := parseGlob(quoted)
		if err != nil {
			t.Fatalf("%q: %v", quoted, err)
		}
		if !g.match(p) || g.match(p+"x") || g.match("x/"+p) {
			t.Errorf("%q matches %q wrongly", quoted, p)
		}
	})
}

func TestNewerThan(t *testing.T) {
	tree := lines("old/a 1\nold/deep/b 2\nnew/c 3\nnew/d 4\nnew/link -> c\nempty/")
	for _, name := range []string{"new/c", "new/link"} {
		tree[name].ModTime = when.Add(time.Nanosecond)
	}
	dst := filepath.Join(t.TempDir(), "dst")
	if _, err := Copy(t.Context(), dst, tree, Options{NewerThan: when}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names(t, dst), " "); got != ". new new/c new/link" {
		t.Errorf("restored: %s", got)
	}
}
