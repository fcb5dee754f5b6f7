package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRename(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for name, data := range map[string]string{a: "a", b: "b"} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Rename(a, b); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := Rename(a, filepath.Join(dir, "link")); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a link: %v", err)
	}
	for name, want := range map[string]string{a: "a", b: "b"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	c := filepath.Join(dir, "c")
	if err := errors.Join(Rename(a, c), SyncDir(dir)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(c); err != nil || string(got) != "a" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Lstat(a); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old name is still there: %v", err)
	}
	if err := Rename(a, b); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := SyncDir(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := unix.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("pipe", path("link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(path(name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"pipe", "link", "."} {
		if err := Replace(path("a"), path(name)); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s was replaced: %v", name, err)
		}
	}
	for _, name := range []string{"b", "new"} {
		if err := Replace(path("a"), path(name)); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(path(name)); err != nil || string(b) != "a" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if err := os.WriteFile(path("a"), []byte("a"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
