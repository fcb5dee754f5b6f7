package space

import (
	"slices"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
)

// Data returns the data of the view at the root, nil for a bare Bolt file: the
// same each time. It reads nothing but metadata until it is asked.
func (t *Tree) Data() *dataset.Set {
	if t.view == nil {
		return nil
	}
	return t.data()
}

func (t *Tree) newData() *dataset.Set {
	return dataset.New(dataset.Source{View: t.view, Metas: t.metas(t.view.Point()), Dropped: t.mode != chain.Hide, Bolt: t.bolts.open, Copies: t.copies})
}

// LayerData returns the data of what one layer of the chain holds by itself. The
// newest metadata of the chain tell where its shards belong.
func (t *Tree) LayerData(l *chain.Layer) *dataset.Set {
	v := t.chain.LayerView(l)
	return dataset.New(dataset.Source{View: v, Metas: t.allMetas(), Copies: t.copies,
		Bolt: func(name string) (*boltview.DB, error) { return openBolt(v, name, &t.maps, t.bolts.opts) }})
}

// metas returns the metadata of the layers up to a point that know anything,
// the newest first.
func (t *Tree) metas(p chain.Point) []*influx.Meta {
	var out []*influx.Meta
	layers := t.chain.Layers()
	for i := slices.Index(layers, p.Layer); i >= 0; i-- {
		if m, err := t.LayerMeta(layers[i]); err == nil && !m.Empty() {
			out = append(out, m)
		}
	}
	return out
}

// copies returns the copies of a Bolt file that other layers hold, the newest
// first.
func (t *Tree) copies(name string) []*boltview.DB {
	var out []*boltview.DB
	for _, l := range slices.Backward(t.chain.Layers()) {
		if db, err := openBolt(t.chain.LayerView(l), name, &t.maps, boltview.Options{}); err == nil {
			out = append(out, db)
		}
	}
	return out
}

// Series returns the series whose points are the content of a file of the tree,
// as of those below influx. ok is false for all others.
func (t *Tree) Series(name string) (s dataset.Series, ok bool) {
	fsys, inner, err := t.find("open", name)
	if err != nil {
		return s, false
	}
	x, ok := fsys.(*influxTree)
	if !ok {
		return s, false
	}
	n, err := x.find(inner)
	if err != nil || n.series == nil {
		return s, false
	}
	return *n.series, true
}
