package serve

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/backup"
	"github.com/snapfs/snapfs/backup/origin"
)

// BenchmarkBackup takes a full backup of 16 Bolt files by each way, beside a copy
// of the same bytes into one file that is synced, which reads nothing twice and
// checks nothing.
func BenchmarkBackup(b *testing.B) {
	dir := b.TempDir()
	value := strings.Repeat("v", 4<<20)
	sizes := map[string]int64{}
	for i := range 16 {
		name := filepath.Join(dir, "db", string(rune('a'+i)))
		put(b, name, monday, "k", value)
		sizes[name] = used(b, name)
	}
	d := open(b, origin.Dir{Path: dir}, Options{})
	var size int64
	run := func(name string, copy func(path string) error) {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "snap")
			for b.Loop() {
				if err := copy(path); err != nil {
					b.Fatal(err)
				}
				st, err := os.Stat(path)
				if err != nil {
					b.Fatal(err)
				}
				size = st.Size()
				if err := os.Remove(path); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(size)
		})
	}
	take := func(src backup.Source) func(string) error {
		return func(path string) error {
			_, err := backup.Take(b.Context(), path, src, backup.Options{})
			return err
		}
	}
	run("baseline", func(path string) error {
		out, err := os.Create(path)
		if err != nil {
			return err
		}
		for name := range sizes {
			in, oerr := os.Open(name)
			if oerr != nil {
				return oerr
			}
			_, cerr := io.CopyBuffer(struct{ io.Writer }{out}, io.LimitReader(in, sizes[name]), make([]byte, 256<<10))
			err = errors.Join(err, cerr, in.Close())
		}
		return errors.Join(err, out.Sync(), out.Close())
	})
	run("local", take(origin.Source{Origin: origin.Dir{Path: dir}}))
	run("tcp", take(backup.TCP{Addr: d.tcp}))
	run("http", take(backup.HTTP{URL: d.url}))
}
