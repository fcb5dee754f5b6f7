package chain

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snapfs/snapfs/internal/hint"
)

var (
	// ErrBroken is returned when the layers do not make a chain: the full
	// snapshot is missing, or two layers speak different dialects.
	ErrBroken = errors.New("broken chain")

	// ErrNoPoint is returned when a chain has no point of that name, or none
	// that early.
	ErrNoPoint = errors.New("no such point in time")

	// ErrMissing is returned when a file is read that a manifest promises and
	// its layer does not hold.
	ErrMissing = errors.New("not in the archive")
)

// Options adjusts [Open]. The zero value is what most callers want.
type Options struct {
	// Workers is the number of layers that are indexed at once. 0 means
	// GOMAXPROCS.
	Workers int

	// Keep opens what can be opened of chains that are broken, to tell what is
	// wrong with them: a layer that cannot be opened, or is of another dialect,
	// is kept with [Layer.Err], where Open would fail else. So is a full
	// snapshot that is not there, if an incremental is. What a view of such a
	// chain shows is no state that a server ever had.
	Keep bool
}

// Chain is an open chain. It is safe for concurrent use, and must be closed.
type Chain struct {
	path     string
	layers   []*Layer
	views    []slot    // one for each layer
	warnings []Warning // of the whole and of its layers, but not of single members
	all      func() []Warning
	dialect  Dialect
}

// Open opens the chain whose full snapshot is path, and indexes all layers. A
// single tar of any kind is a chain of one layer.
//
// A layer that is truncated or empty is reported in [Chain.Warnings] and in
// [Layer.Err], and the others are used. The error matches [io/fs.ErrNotExist] if there
// is no such file, [ErrBroken], or what [tarindex.Build] says if no layer holds
// anything.
func Open(path string, opts Options) (*Chain, error) {
	found, err := discover(path, opts.Keep)
	if err != nil {
		return nil, err
	}
	c := &Chain{path: path, warnings: found.warnings, layers: make([]*Layer, len(found.paths))}
	workers := opts.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var g errgroup.Group
	g.SetLimit(workers)
	for i, p := range found.paths {
		g.Go(func() error {
			l, err := openLayer(p, i)
			c.layers[i] = l
			if err != nil && opts.Keep {
				l.unreadable(err)
				return nil
			}
			return err
		})
	}
	err = g.Wait()
	if err == nil {
		err = c.check(opts.Keep)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	c.all = sync.OnceValue(c.allWarnings)
	c.views = make([]slot, len(c.layers))
	return c, nil
}

// slot is where the view of a layer is kept once it was asked for.
type slot struct {
	once sync.Once
	view atomic.Pointer[View]
}

// viewOf returns the view after a layer.
func (c *Chain) viewOf(layer int) *View {
	s := &c.views[layer]
	s.once.Do(func() {
		base, from := c.layers[0].records, 1
		for i := layer - 1; i > 0; i-- {
			if v := c.views[i].view.Load(); v != nil {
				base, from = v.records, i+1
				break
			}
		}
		s.view.Store(newView(c, layer, c.fold(base, c.layers[min(from, layer+1):layer+1])))
	})
	return s.view.Load()
}

// check looks at the layers side by side.
func (c *Chain) check(keep bool) error {
	var bad error
	usable := false
	var first *Layer // that has a dialect
	var before *Layer
	for _, l := range c.layers {
		c.warnings = append(c.warnings, l.warnings...)
		if l.index == nil {
			bad = cmp.Or(bad, l.Err)
			continue
		}
		usable = true
		if d := l.listing.dialect; d != Unknown {
			if first == nil {
				first = l
			}
			if d != first.listing.dialect {
				err := fmt.Errorf("%w: the manifest of %s has %v, that of %s has %v", ErrBroken, first.Path, first.listing.dialect, l.Path, d)
				if !keep {
					return hint.Wrap(err, "these are backups of two servers; open one by itself: snapfs info %s", hint.Quote(l.Path))
				}
				l.Err = cmp.Or(l.Err, err)
				c.warnings = append(c.warnings, Warning{Code: MixedDialect, Layer: l.Name, File: l.Path,
					Text: fmt.Sprintf("its manifest has %v, that of layer %s has %v", d, first.Name, first.listing.dialect)})
			}
		}
		if before != nil && !l.Time.IsZero() && l.Time.Before(before.Time) {
			c.warnings = append(c.warnings, Warning{Code: TimeOrder, Layer: l.Name, File: l.Path,
				Text: fmt.Sprintf("backup time %s is before that of layer %s, %s", formatTime(l.Time), before.Name, formatTime(before.Time))})
		}
		if !l.Time.IsZero() {
			before = l
		}
	}
	if !usable && !keep {
		return bad
	}
	if first != nil {
		c.dialect = first.listing.dialect
		for _, l := range c.layers {
			if l.index != nil && !l.HasManifest {
				c.warnings = append(c.warnings, Warning{Code: NoManifest, Layer: l.Name, File: l.Path,
					Text: "no manifest, so its members replace those of earlier layers"})
			}
		}
	}
	return nil
}

// Close closes the tars. Views of the chain cannot be read any more.
func (c *Chain) Close() error {
	var errs []error
	for _, l := range c.layers {
		if l != nil {
			errs = append(errs, l.close())
		}
	}
	return errors.Join(errs...)
}

// Path returns the path that was given to [Open].
func (c *Chain) Path() string { return c.path }

// Dialect returns the dialect of the manifests, [Unknown] if there are none.
func (c *Chain) Dialect() Dialect { return c.dialect }

// Layers returns the layers in the order of the chain; the first is the full
// snapshot.
func (c *Chain) Layers() []*Layer { return slices.Clone(c.layers) }

// Warnings returns what is odd about the chain: first the whole, then layer by
// layer, then single members. It is the same each time.
func (c *Chain) Warnings() []Warning { return slices.Clone(c.all()) }

func (c *Chain) allWarnings() []Warning {
	all := c.warnings
	for _, l := range c.layers {
		all = append(all, l.members()...)
	}
	return all
}

// Point is a moment that a view can be had of.
type Point struct {
	Name  string    `json:"name"`           // "full", "0", "1", …
	Time  time.Time `json:"time,omitzero"`  // backup time; zero if the layer does not tell
	Layer *Layer    `json:"layer,omitzero"` // the newest layer of the view
}

// Points yields the points in the order of the chain.
func (c *Chain) Points() iter.Seq[Point] {
	return func(yield func(Point) bool) {
		for _, l := range c.layers {
			if !yield(Point{l.Name, l.Time, l}) {
				return
			}
		}
	}
}
