package dataset_test

import (
	"io"
	"math"
	"slices"
	"testing"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestOpenOnce: whatever is asked of a shard, its file is opened once.
func TestOpenOnce(t *testing.T) {
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := chain.Open(path, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	view, err := c.At(chain.Latest)
	if err != nil {
		t.Fatal(err)
	}
	var opened []string
	set := dataset.New(dataset.Source{View: view, Bolt: func(name string) (*boltview.DB, error) {
		opened = append(opened, name)
		f, err := view.Open(name)
		if err != nil {
			return nil, err
		}
		fi, err := f.Stat()
		if err != nil {
			return nil, err
		}
		return boltview.Open(f.(io.ReaderAt), fi.Size(), boltview.Options{})
	}})
	if set.View() != view {
		t.Error("another view")
	}
	var want []string
	for _, sh := range set.Shards() {
		want = append(want, sh.Path)
		db, err := sh.Bolt()
		if err != nil || db.Info().Size != sh.Size {
			t.Errorf("%s: %v, %v", sh.Path, db, err)
		}
		n, err := sh.Count(t.Context())
		if err != nil || n.Points == 0 {
			t.Errorf("%s: %+v, %v", sh.Path, n, err)
		}
		points := int64(0)
		for one := range sh.Series(dataset.Filter{}) {
			shard, err := sh.Open()
			if err != nil {
				t.Fatal(err)
			}
			for range shard.Points(one.Key, math.MinInt64, math.MaxInt64) {
				points++
			}
		}
		if points != n.Points {
			t.Errorf("%s: %d points, counted %d", sh.Path, points, n.Points)
		}
	}
	if len(want) < 3 || !slices.Equal(opened, want) {
		t.Errorf("opened %q, want %q", opened, want)
	}
}
