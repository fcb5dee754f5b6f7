package origin

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/chain"
)

var monday = time.Date(2015, 11, 2, 3, 4, 5, 600, time.UTC)

// put writes keys into a bucket of a Bolt file, which is made, and sets its time.
func put(t testing.TB, path, bucket string, when time.Time, pairs ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(bucket))
		for i := 0; i+1 < len(pairs) && err == nil; i += 2 {
			err = b.Put([]byte(pairs[i]), []byte(pairs[i+1]))
		}
		return err
	})
	if err := errors.Join(err, db.Close(), os.Chtimes(path, when, when)); err != nil {
		t.Fatal(err)
	}
}

// read returns the members of what an origin sends, by name.
func read(t testing.TB, o Origin, known chain.Manifest) (chain.Manifest, map[string][]byte) {
	t.Helper()
	c, err := o.Begin(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := errors.Join(c.Write(t.Context(), &b), c.Close()); err != nil {
		t.Fatal(err)
	}
	return members(t, b.Bytes())
}

// members returns those of a layer, as archive/tar reads them, without the
// manifest.
func members(t testing.TB, layer []byte) (chain.Manifest, map[string][]byte) {
	t.Helper()
	var m chain.Manifest
	found := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return m, found
		}
		var data []byte
		if err == nil {
			data, err = io.ReadAll(r)
		}
		if err == nil && h.Name == chain.ManifestName {
			m, err = chain.ReadManifest(bytes.NewReader(data))
		} else {
			found[h.Name] = data
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func names(m chain.Manifest) (all []string) {
	for _, f := range m.Files {
		all = append(all, f.Name)
	}
	return all
}

// digest is the state of a directory.
func digest(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(p)
		fmt.Fprintf(&b, "%s %v %v %x\n", p, fi.Mode(), fi.ModTime(), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
