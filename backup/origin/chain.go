package origin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/snapfs/snapfs/backup/wire"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/snaptar"
)

// Chain is a chain, at one of its points in time.
type Chain struct {
	Path string // of the full snapshot
	At   string // see [chain.Chain.At]; "" is the newest at the time of asking
}

// Begin implements [Origin]. The chain is opened each time, so that layers
// which were added are there. The error is one of [chain.Open] or
// [chain.Chain.At], or matches [chain.ErrMissing] if the chain does not hold what
// it would have to send.
func (o Chain) Begin(_ context.Context, known chain.Manifest) (_ *Copy, err error) {
	ch, err := chain.Open(o.Path, chain.Options{})
	if err != nil {
		return nil, err
	}
	c := &Copy{closer: ch}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	view, err := ch.At(o.At)
	if err != nil {
		return nil, err
	}
	c.Time = view.Point().Time
	have := chain.Manifest{Dialect: ch.Dialect()}
	if have.Dialect == chain.Unknown {
		return nil, fmt.Errorf("%s: no manifest in it, so that it does not tell how new its files are", o.Path)
	}
	files := map[string]chain.File{}
	for f := range view.Files() {
		if f.Listed.Name != "" {
			entry := f.Listed
			entry.Size = f.Size
			have.Files = append(have.Files, entry)
			files[entry.Name] = f
		}
	}
	slices.SortFunc(have.Files, func(a, b chain.ManifestFile) int { return cmp.Compare(a.Name, b.Name) })
	c.Manifest = wire.Newer(have, known)
	for _, entry := range c.Manifest.Files {
		f := files[entry.Name]
		r, err := f.Content()
		if err == nil && f.Size > 0 {
			_, err = r.ReadAt(make([]byte, 1), f.Size-1)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: %q: %w: %w", f.Layer.Path, entry.Name, chain.ErrMissing, err)
		}
		c.files = append(c.files, stored{r})
	}
	return c, nil
}

// stored is a member of a tar.
type stored struct{ io.ReaderAt }

func (s stored) write(ctx context.Context, w *snaptar.Writer) error {
	return w.Copy(ctx, s, 0, func(int64) {})
}

func (stored) close() error { return nil }
