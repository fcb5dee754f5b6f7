package space

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/influx"
)

// Meta is what the servers knew at a point in time.
type Meta struct {
	*influx.Meta
	Layer *chain.Layer // that it was read from
	// Stale says that newer layers have only a meta that knows nothing, as a
	// backup has that was taken right after the start of a server.
	Stale bool
}

// metaName is the name of the file that holds the metadata.
const metaName = "meta"

// MetaAt returns the newest metadata in the layers up to a point, those left
// out that know nothing. The error matches [fs.ErrNotExist] if there are none,
// or tells why the newest could not be read.
func (t *Tree) MetaAt(p chain.Point) (Meta, error) {
	if t.chain == nil || t.chain.Dialect() == chain.Unknown {
		return Meta{}, &fs.PathError{Op: "open", Path: metaName, Err: fs.ErrNotExist}
	}
	layers := t.chain.Layers()
	at := slices.Index(layers, p.Layer)
	stale := false
	var first error
	for i := at; i >= 0; i-- {
		m, err := t.LayerMeta(layers[i])
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			if first == nil {
				first = fmt.Errorf("%s: meta: %w", layers[i].Path, err)
			}
		case m.Empty():
			stale = true
		default:
			return Meta{m, layers[i], stale || first != nil}, nil
		}
	}
	if first != nil {
		return Meta{}, first
	}
	return Meta{}, &fs.PathError{Op: "open", Path: metaName, Err: fs.ErrNotExist}
}

// LayerMeta returns the metadata that one layer of the chain holds. The error
// matches [fs.ErrNotExist] if it has none.
func (t *Tree) LayerMeta(l *chain.Layer) (*influx.Meta, error) {
	f, ok := t.chain.LayerView(l).File(metaName)
	if !ok || !f.Mode.IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: metaName, Err: fs.ErrNotExist}
	}
	r, err := f.Content()
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: metaName, Err: err}
	}
	return influx.OpenMeta(r, f.Size)
}

// GhostReason returns why a file of the view is a ghost by this metadata, or ""
// if it is none.
func (m Meta) GhostReason(f chain.File) string {
	if m.Meta == nil || !f.Mode.IsRegular() || f.Path == metaName {
		return ""
	}
	id, err := strconv.ParseUint(path.Base(f.Name), 10, 64)
	if err != nil {
		return ""
	}
	place, ok := m.Shard(id)
	switch {
	case !ok:
		return fmt.Sprintf("unknown to the meta of layer %s: database or policy dropped, or expired", m.Layer.Name)
	case !place.Group.DeletedAt.IsZero():
		return "shard group deleted at " + place.Group.DeletedAt.UTC().Format(time.RFC3339)
	}
	return ""
}

// ghosts returns the view with its ghosts marked, shown or hidden, and whether
// there is metadata to tell them by.
func (t *Tree) ghosts(v *chain.View, g chain.Ghosts) (marked *chain.View, meta bool) {
	m, err := t.MetaAt(v.Point())
	if err != nil {
		// Without metadata nothing is known to be a ghost.
		return v, false
	}
	return v.WithGhosts(g, m.GhostReason), true
}

// metaJSON makes the content of meta.json.
func (t *Tree) metaJSON() ([]byte, error) {
	m, err := t.MetaAt(t.view.Point())
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if t.hashes {
		m.Meta = m.WithHashes()
	}
	err = e.Encode(m.Meta)
	return b.Bytes(), err
}
