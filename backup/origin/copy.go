package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/snaptar"
)

// Origin is where copies come from.
type Origin interface {
	// Begin holds the present fast for one who has what known says; with no
	// files in known, all is new. The copy is to be closed.
	Begin(ctx context.Context, known chain.Manifest) (*Copy, error)
}

// Copy is one moment of an origin, as far as it is new to the asker.
type Copy struct {
	Manifest chain.Manifest
	Time     time.Time // of the moment
	Warnings []string  // what is left out, and why

	files  []content // as in the manifest
	closer io.Closer // of what they lie in; may be nil
}

// content is the content of one file.
type content interface {
	// write writes all of it into the member that was begun.
	write(ctx context.Context, w *snaptar.Writer) error
	close() error
}

// Write writes the layer. It ends with ctx, if only between two pieces. If it
// fails, what was written has no end mark, and is no whole layer.
func (c *Copy) Write(ctx context.Context, w io.Writer) error {
	out := snaptar.NewWriter(w)
	if err := out.Manifest(c.Manifest, c.Time); err != nil {
		return err
	}
	for i, f := range c.Manifest.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := out.Next(f.Name, f.Size, time.Now()); err != nil {
			return err
		}
		if err := c.files[i].write(ctx, out); err != nil {
			return fmt.Errorf("copy %q: %w", f.Name, err)
		}
	}
	return out.Close()
}

// Close lets go of the moment.
func (c *Copy) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.close())
	}
	if c.closer != nil {
		errs = append(errs, c.closer.Close())
	}
	c.files, c.closer = nil, nil
	return errors.Join(errs...)
}

// Source asks an origin in this process, as package backup does it.
type Source struct{ Origin Origin }

// Fetch begins a copy and returns the layer, with the warnings of the copy,
// which is closed with it.
func (s Source) Fetch(ctx context.Context, known *chain.Manifest) (io.ReadCloser, error) {
	if known == nil {
		known = &chain.Manifest{}
	}
	c, err := s.Origin.Begin(ctx, *known)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	p := &pipe{r, c.Warnings, make(chan error)}
	go func() {
		w.CloseWithError(c.Write(ctx, w))
		p.done <- c.Close()
	}()
	return p, nil
}

// pipe is a layer that is written by a goroutine.
type pipe struct {
	*io.PipeReader
	warnings []string
	done     chan error
}

// Warnings returns those of the copy.
func (p *pipe) Warnings() []string { return p.warnings }

// Close ends the goroutine and waits for it.
func (p *pipe) Close() error {
	_ = p.PipeReader.Close() // never fails
	return <-p.done
}
