package main

import (
	"testing"

	"github.com/rivo/uniseg"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text          string
		width         int
		first, indent int
		want          string
	}{
		{"one two three", 0, 0, 2, "one two three"},
		{"one two three", 8, 0, 2, "one two\n  three"},
		{"one two three", 8, 5, 2, "one\n  two\n  three"},
		{"averylongword x", 6, 0, 2, "averylongword\n  x"},
		{"日本 語", 5, 0, 0, "日本\n語"},
		{"e\u0301e\u0301 x", 4, 0, 0, "e\u0301e\u0301 x"},
		{"", 5, 0, 2, ""},
		{"a b", 2, 0, 4, "a b"},
	} {
		if got := wrap(c.text, c.width, c.first, c.indent); got != c.want {
			t.Errorf("wrap(%q, %d, %d, %d) = %q, want %q", c.text, c.width, c.first, c.indent, got, c.want)
		}
	}
}

func TestWrapHint(t *testing.T) {
	for _, c := range []struct {
		text, want string
	}{
		{"snapfs bolt check snap", "snapfs bolt check snap"},
		{"to see: snapfs ls", "to see: snapfs ls"},
		{"to see it: snapfs ls -l", "to see it:\n    snapfs ls -l"},
		{"look; then: snapfs ls 'a: b; c' x", "look; then:\n    snapfs ls 'a: b; c' x"},
		{"", ""},
	} {
		if got := wrapHint(c.text, 20, 2, 4); got != c.want {
			t.Errorf("wrapHint(%q) = %q, want %q", c.text, got, c.want)
		}
		if got := wrapHint(c.text, 0, 2, 4); got != c.text {
			t.Errorf("in a pipe: wrapHint(%q) = %q", c.text, got)
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		text        string
		width, tail int
		want        string
	}{
		{"snapshot", 8, 0, "snapshot"},
		{"snapshot", 7, 0, "snapsh…"},
		{"snapshot", 7, 3, "sna…hot"},
		{"snapshot", 1, 0, "…"},
		{"日本語の名", 10, 4, "日本語の名"},
		{"日本語の名", 9, 4, "日本…の名"},
		{"日本語の名", 8, 3, "日本…名"}, // no half of a character
		{"e\u0301o\u0308u\u0308a\u0308", 3, 1, "e\u0301…a\u0308"},
		{"👩‍👩‍👧 family", 5, 2, "👩‍👩‍👧…ly"},
		{"\xff\xfe\xfd\xfc", 3, 1, "\xff…\xfc"},
	} {
		got := clip(c.text, c.width, c.tail)
		if got != c.want || uniseg.StringWidth(got) > c.width {
			t.Errorf("clip(%q, %d, %d) = %q, want %q", c.text, c.width, c.tail, got, c.want)
		}
	}
}
