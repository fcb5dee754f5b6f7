package flatten_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/flatten"
	"github.com/snapfs/snapfs/internal/sample"
)

// BenchmarkCreate flattens a chain of one layer, beside copying its tar: the
// same bytes, synced as well.
func BenchmarkCreate(b *testing.B) {
	for _, tt := range []struct {
		name        string
		files, size int
	}{{"large", 8, 32 << 20}, {"small", 20000, 4 << 10}} {
		data := make([]byte, tt.size)
		for i := range data {
			data[i] = byte(i * 7)
		}
		l := sample.Layer{Time: at(10)}
		for i := range tt.files {
			l.Files = append(l.Files, sample.File{Name: fmt.Sprintf("db/rp/%06d", i), Data: data, Modified: at(i % 9)})
		}
		path := write(b, l)
		out := filepath.Join(b.TempDir(), "out")
		st, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(tt.name+"/flatten", func(b *testing.B) {
			b.SetBytes(st.Size())
			b.ReportAllocs()
			for b.Loop() {
				c, err := chain.Open(path, chain.Options{})
				if err != nil {
					b.Fatal(err)
				}
				if err := plan(b, view(b, c, ""), flatten.Options{}).Create(b.Context(), out, true, nothing, nil); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
		b.Run(tt.name+"/copy", func(b *testing.B) {
			b.SetBytes(st.Size())
			for b.Loop() {
				if err := copyFile(out, path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}
