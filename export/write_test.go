package export_test

import (
	"testing"

	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// sampleTree opens the sample chain.
func sampleTree(t testing.TB, opts space.Options) *space.Tree {
	t.Helper()
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return openTree(t, path, opts)
}

func openTree(t testing.TB, path string, opts space.Options) *space.Tree {
	t.Helper()
	tree, err := space.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree
}
