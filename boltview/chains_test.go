package boltview_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/realchains"
)

// members returns the files of a tar in order, by name.
func members(t *testing.T, path string) func(func(name string, data []byte) bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func(yield func(string, []byte) bool) {
		tr := tar.NewReader(f)
		for {
			h, err := tr.Next()
			if err != nil {
				if err != io.EOF {
					t.Error(err)
				}
				return
			}
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Error(err)
				return
			}
			if !yield(h.Name, data) {
				return
			}
		}
	}
}

// layers returns the tars of one chain.
func layers(t *testing.T, chain string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(chain, "snap*"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no layers in %s: %v", chain, err)
	}
	return list
}

// openOracle gives data to bbolt. Only sound files may be given: bbolt dies of
// others.
func openOracle(t *testing.T, data []byte) *bbolt.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shard")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestChains reads and checks each shard that real servers wrote as bbolt does.
func TestChains(t *testing.T) {
	chains, err := filepath.Glob(filepath.Join(realchains.Dir(t), "v*"))
	if err != nil || len(chains) == 0 {
		t.Fatalf("no chains: %v", err)
	}
	shards, trees := 0, 0
	checked := map[int]int{} // from the number of faults to that of shards
	for _, chain := range chains {
		if strings.HasSuffix(chain, "torn") {
			continue
		}
		for i, layer := range layers(t, chain) {
			for name, data := range members(t, layer) {
				db, err := boltview.Open(bytes.NewReader(data), int64(len(data)), boltview.Options{})
				if name == "manifest" || name == "meta" && !strings.Contains(chain, "rc30") {
					if !errors.Is(err, boltview.ErrNotBolt) {
						t.Errorf("%s: %s: %v", layer, name, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %s: %v", layer, name, err)
					continue
				}
				if d := db.Info().Damage; len(d) > 0 {
					t.Errorf("%s: %s: %q", layer, name, d)
				}
				oracle := openOracle(t, data)
				sameRoot(t, db, oracle)
				got, want := faults(db), oracleCheck(t, oracle)
				if len(got) != len(want) || (db.Class() == boltview.ClassA) != (len(want) == 0) {
					t.Errorf("%s: %s: class %s, faults %v, bbolt says %q", layer, name, db.Class(), got, want)
				}
				checked[len(want)]++
				shards++
				if i == 0 && trees < 12 {
					trees++
					if err := fstest.TestFS(db.FS(boltview.FSOptions{}), boltview.InfoName); err != nil {
						t.Errorf("%s: %s: %v", layer, name, err)
					}
				}
			}
		}
	}
	t.Logf("%d shards, %d trees, shards by faults %v", shards, trees, checked)
	if shards < 100 {
		t.Errorf("only %d shards", shards)
	}
}
