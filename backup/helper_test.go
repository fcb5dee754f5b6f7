package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
)

// monday is the time of the first backup of the tests.
var monday = time.Date(2015, 11, 2, 3, 4, 5, 0, time.UTC)

// asked is a source that is a function.
type asked func(ctx context.Context, known *chain.Manifest) (io.ReadCloser, error)

func (a asked) Fetch(ctx context.Context, known *chain.Manifest) (io.ReadCloser, error) {
	return a(ctx, known)
}

// answers is a source with one answer after the other.
func answers(all ...[]byte) asked {
	return func(context.Context, *chain.Manifest) (io.ReadCloser, error) {
		b := all[0]
		all = all[1:]
		return io.NopCloser(bytes.NewReader(b)), nil
	}
}

// shard is a sound Bolt file.
var shard = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "snapfs-backup-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	return sample.Shard{Flushed: []sample.Point{{Series: "cpu", Time: monday, Fields: map[string]any{"load": 1.5}}}}.Bytes(dir)
})

func shardFile(t testing.TB, name string, modified time.Time) sample.File {
	t.Helper()
	b, err := shard()
	if err != nil {
		t.Fatal(err)
	}
	return sample.File{Name: name, Data: b, Modified: modified}
}

func metaFile(modified time.Time) sample.File {
	m := sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{{Name: "rp"}}}}}
	return sample.File{Name: "meta", Data: m.Bytes(), Modified: modified}
}

// layer is an answer.
func layer(t testing.TB, when time.Time, files ...sample.File) []byte {
	t.Helper()
	return write(t, sample.Layer{Time: when, Files: files})
}

func write(t testing.TB, l sample.Layer) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := l.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// state is the names, modes, times and contents of all files in a directory.
func state(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	names := ""
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		fmt.Fprintf(h, "%s %v %v %d\n", p, fi.Mode(), fi.ModTime(), len(b))
		h.Write(b)
		names += " " + d.Name()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x%s", h.Sum(nil), names)
}

// take is Take that must succeed.
func take(t testing.TB, path string, src Source, opts Options) Result {
	t.Helper()
	r, err := Take(t.Context(), path, src, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// base takes a full snapshot and one incremental, and returns the chain.
func base(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snap")
	src := answers(
		layer(t, monday, metaFile(monday), shardFile(t, "db/rp/1", monday.Add(-time.Hour))),
		layer(t, monday.Add(time.Hour), metaFile(monday.Add(time.Hour))))
	take(t, path, src, Options{})
	take(t, path, src, Options{})
	return path
}
