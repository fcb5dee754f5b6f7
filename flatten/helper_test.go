package flatten_test

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/flatten"
	"github.com/snapfs/snapfs/internal/sample"
)

func at(n int) time.Time { return sample.Start.Add(time.Duration(n) * time.Minute) }

func file(name, data string, n int) sample.File {
	return sample.File{Name: name, Data: []byte(data), Modified: at(n), Index: uint64(n)}
}

// write writes a chain into a new directory, and returns its path.
func write(t testing.TB, layers ...sample.Layer) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snap")
	if err := sample.Write(path, layers...); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *chain.Chain {
	t.Helper()
	c, err := chain.Open(path, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func view(t testing.TB, c *chain.Chain, point string) *chain.View {
	t.Helper()
	v, err := c.At(point)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func plan(t testing.TB, v *chain.View, o flatten.Options) *flatten.Plan {
	t.Helper()
	p, err := flatten.New(t.Context(), v, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func nothing(int64) {}

// create writes a flat snapshot, verifies it, and returns its path.
func create(t testing.TB, p *flatten.Plan) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "flat")
	var wrote, read int64
	if err := p.Create(t.Context(), name, false, func(n int64) { wrote += n }, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(t.Context(), name, func(n int64) { read += n }); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() != p.Size() || wrote > p.Size() || wrote != read {
		t.Errorf("%s: %d bytes, planned %d; %d written, %d verified", name, st.Size(), p.Size(), wrote, read)
	}
	return name
}

// members reads a tar by archive/tar: names and contents.
func members(t testing.TB, name string) (names []string, content map[string]string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content = map[string]string{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names, content
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		content[h.Name] = string(b)
	}
}

// sums returns the hashes of the files of a directory.
func sums(t testing.TB, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "snap*"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %x\n", name, sha256.Sum256(data))
	}
	return b.String()
}
