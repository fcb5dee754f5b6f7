package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestWriteFile replaces files, and writes to what is no file, which keeps its
// name: for who may do everything that could be /dev/null.
func TestWriteFile(t *testing.T) {
	text := func(s string) func(w io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	name := filepath.Join(t.TempDir(), "file")
	for _, s := range []string{"new", "in its place"} {
		if err := writeFile(name, text(s)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != s {
			t.Errorf("%q, %v", b, err)
		}
	}
	if err := writeFile(name, func(io.Writer) error { return io.ErrClosedPipe }); err == nil {
		t.Error("no error")
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "in its place" {
		t.Errorf("after an error: %q, %v", b, err)
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := writeFile(fmt.Sprintf("/proc/self/fd/%d", w.Fd()), text("through a pipe")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "through a pipe" {
		t.Errorf("%q, %v", b, err)
	}
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
