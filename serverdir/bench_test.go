package serverdir_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/serverdir"
	"github.com/snapfs/snapfs/space"
)

// BenchmarkRelease makes the directories of a server from 20,000 shards and
// walks them as restore does; beside it the walk of the snapshot alone.
func BenchmarkRelease(b *testing.B) {
	l := sample.Layer{Time: sample.Start, Files: []sample.File{{Name: "meta", Data: sample.Meta{}.Bytes(), Modified: sample.Start}}}
	for i := range 20_000 {
		l.Files = append(l.Files, sample.File{Name: fmt.Sprintf("db%d/rp/%d", i%50, i), Data: []byte("x"), Modified: sample.Start})
	}
	snap := filepath.Join(b.TempDir(), "snap")
	if err := sample.Write(snap, l); err != nil {
		b.Fatal(err)
	}
	tree, err := space.Open(snap, space.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer tree.Close()
	walk := func(fsys fs.FS) {
		n := 0
		err := fs.WalkDir(fsys, ".", func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				n++
				_, err = d.Info()
			}
			return err
		})
		if err != nil || n < 20_000 {
			b.Fatal(n, err)
		}
	}
	b.Run("snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			walk(tree)
		}
	})
	b.Run("server", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			data, _, err := serverdir.Source{Tree: tree}.Release("localhost:8088")
			if err != nil {
				b.Fatal(err)
			}
			walk(data)
		}
	})
}
