package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/repair"
	"github.com/snapfs/snapfs/restore"
)

// TestCompactKeeps: of two Bolt files, one of them made by a repair, so that
// another makes it no smaller, only the other takes room in the temporary
// directory.
func TestCompactKeeps(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	shard, _, code := runApp(t, "cat", snap, aShard)
	if code != exitOK {
		t.Fatal(code)
	}
	dir := t.TempDir()
	before := filepath.Join(dir, "before")
	if err := os.WriteFile(before, []byte(shard), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(before)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	db, err := boltview.Open(f, int64(len(shard)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repair.Bolt(t.Context(), filepath.Join(dir, "small"), db, repair.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	tree := os.DirFS(dir)
	plan, err := restore.NewPlan(t.Context(), filepath.Join(t.TempDir(), "new"), tree, restore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var r repairs
	defer r.Close()
	_, list, err := r.compactAll(&App{ctx: t.Context()}, tree, plan, nil, func(restore.Progress) {})
	if err != nil || len(list) != 1 || list[0].Path != "before" {
		t.Fatalf("%+v, %v", list, err)
	}
	files, err := os.ReadDir(r.dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if st, err := files[0].Info(); err != nil || st.Size() != list[0].After {
		t.Errorf("%v, %v, want %+v", st, err, list[0])
	}
}
