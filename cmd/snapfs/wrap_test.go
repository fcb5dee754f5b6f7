package main

import "testing"

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
