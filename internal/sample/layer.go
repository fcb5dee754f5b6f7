// Package sample writes snapshot chains as InfluxDB 0.9 servers did, for the
// demo and for tests: tars with a manifest, a meta file and shards that are
// real Bolt databases in the b1 layout, written with bbolt.
//
// Nothing in it reads a snapshot; what it writes is the same each time.
package sample

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/snaptar"
)

// File is one file of a layer.
type File struct {
	Name     string // as in the tar, for example "telemetry/default/1"
	Data     []byte
	Modified time.Time // lastModified in the manifest
	Index    uint64    // index in the manifest of a release candidate
}

// Layer is one tar to be written.
type Layer struct {
	Time       time.Time // of the backup: the time in all headers
	Files      []File    // any order
	Dialect    chain.Dialect
	NoManifest bool // leave the manifest out
}

// WriteTo writes the tar: the manifest, the files in the order of the bytes of
// their names, two blocks of zeros. Dialect [chain.Unknown] stands for
// [chain.ByTime].
func (l Layer) WriteTo(w io.Writer) (int64, error) {
	files := slices.SortedFunc(slices.Values(l.Files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	count := &counter{w: w}
	tw := snaptar.NewWriter(count)
	if !l.NoManifest {
		if err := tw.Manifest(l.manifest(files), l.Time); err != nil {
			return count.n, err
		}
	}
	for _, f := range files {
		if err := tw.Next(f.Name, int64(len(f.Data)), l.Time); err != nil {
			return count.n, err
		}
		if _, err := tw.Write(f.Data); err != nil {
			return count.n, err
		}
	}
	err := tw.Close()
	return count.n, err
}

func (l Layer) manifest(files []File) chain.Manifest {
	m := chain.Manifest{Dialect: l.Dialect}
	if m.Dialect == chain.Unknown {
		m.Dialect = chain.ByTime
	}
	for _, f := range files {
		mf := chain.ManifestFile{Name: f.Name, Size: int64(len(f.Data)), Stamp: chain.Stamp{Index: f.Index}}
		if m.Dialect == chain.ByTime {
			mf.Stamp = chain.Stamp{Time: f.Modified}
		}
		m.Files = append(m.Files, mf)
	}
	return m
}

// Write writes the layers as path, path.0, path.1, …; none of them may exist.
func Write(path string, layers ...Layer) error {
	for i, l := range layers {
		name := path
		if i > 0 {
			name = fmt.Sprintf("%s.%d", path, i-1)
		}
		if err := l.writeFile(name); err != nil {
			return err
		}
	}
	return nil
}

func (l Layer) writeFile(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if _, err := l.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
