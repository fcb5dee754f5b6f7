package tarindex

import (
	"archive/tar"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/dirtree"
)

// TestStop leaves iterators early.
func TestStop(t *testing.T) {
	data := write(t, memb{name: "../a", data: "1"}, memb{name: "../a", data: "2"}, memb{name: "h", typ: tar.TypeLink, data: "none"}, memb{name: "b"}, memb{name: "cut", data: "123"})
	data = data[:len(data)-1024-510]
	ix, err := Build(strings.NewReader(string(data)), int64(len(data)), Options{})
	if !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
	all := warnings(ix)
	want := []string{`escaped "../a"`, `escaped "../a"`, `shadowed "../a"`, `no target "h"`, `cut off "cut"`, `no end mark ""`}
	if !slices.Equal(all, want) {
		t.Fatalf("warnings %q, want %q", all, want)
	}
	for stop := range len(all) {
		n := 0
		for w := range ix.Warnings() {
			if fmt.Sprintf("%s %q", w.Kind, w.Name) != all[n] {
				t.Errorf("warning %d: %v, want %s", n, w, all[n])
			}
			if n++; n > stop {
				break
			}
		}
	}
	for i := range ix.All() {
		if i == 2 {
			break
		}
	}
	for stop := range 4 {
		n := 0
		for range ix.FileInfo(0).Sys().(attr.Lister).Attrs() {
			if n++; n > stop {
				break
			}
		}
	}
	// Another archive behind the end mark is not seen by any tar.
	one := write(t, memb{name: "a"})
	ix = index(t, append(one, write(t, memb{name: "b"})...))
	if got := warnings(ix); ix.Len() != 1 || !slices.Equal(got, []string{`appended ""`}) {
		t.Errorf("%d members, warnings %q", ix.Len(), got)
	}
	if ix = index(t, append(write(t, memb{name: "a"}), make([]byte, 9*1024)...)); len(warnings(ix)) != 0 {
		t.Errorf("a record filled up: warnings %q", warnings(ix))
	}
	if s := Kind(99).String(); s != "kind 99" {
		t.Errorf("Kind(99) = %q", s)
	}
}

// TestNotesWithoutTree wants no tree made for warnings about a tar as servers
// write it, and the right ones about others.
func TestNotesWithoutTree(t *testing.T) {
	for _, tt := range []struct {
		names []string
		tree  bool
	}{
		{[]string{"manifest", "a/1", `b\c`, "meta", "z"}, false},
		{[]string{"manifest", "a", "manifest"}, true},
		{[]string{"b", "a", "c"}, false},
		{[]string{"a", "c", "b"}, true},
		{[]string{"a", "a"}, true},
	} {
		var members []memb
		for _, name := range tt.names {
			members = append(members, memb{name: name})
		}
		ix := index(t, write(t, members...))
		made := false
		build := ix.build
		ix.build = func() (*dirtree.FS, []note) { made = true; return build() }
		got := ix.findNotes()
		if _, want := build(); !slices.Equal(got, want) || made != tt.tree {
			t.Errorf("%q: %v, want %v; tree made: %v", tt.names, got, want, made)
		}
	}
}
