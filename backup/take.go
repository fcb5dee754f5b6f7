package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
)

var (
	// ErrLocked is returned when another process is adding to the chain.
	ErrLocked = errors.New("another backup is running")

	// ErrGap is returned when the number that is next is not the last: beyond
	// it, there are layers that readers of the chain do not see.
	ErrGap = errors.New("gap in the chain")

	// ErrDamaged is returned when the chain cannot be added to, because a layer
	// is not what its manifest says. What it lacks would never be sent again.
	ErrDamaged = errors.New("damaged chain")

	// ErrAnswer is returned when an answer is not a whole and proper layer.
	ErrAnswer = errors.New("no whole answer")
)

// Source is where layers come from.
type Source interface {
	// Fetch asks for what is newer than known says, for all if that is nil, and
	// returns a tar. The reader is to be closed. Both it and Fetch end with ctx.
	// If it has a method "Warnings() []string", they get into the result.
	Fetch(ctx context.Context, known *chain.Manifest) (io.ReadCloser, error)
}

// Options adjusts [Take]. The zero value takes one backup.
type Options struct {
	// FillGap takes the first free number, even if higher ones are in use, as
	// the old client did.
	FillGap bool

	// RetryTorn is how many more times to ask while the answer holds a torn
	// Bolt file. The answer with the fewest is taken.
	RetryTorn int

	// SkipUnchanged takes no incremental that holds nothing but a manifest.
	SkipUnchanged bool

	// MaxManifest is the longest manifest to take, in bytes. 0 means 64 MiB.
	MaxManifest int64

	// Progress is called while an answer comes in, by one goroutine.
	Progress func(Progress)
}

// Progress tells how far an answer is. The totals are those of its manifest.
type Progress struct {
	Attempt           int // from 1
	Files, TotalFiles int
	Bytes, TotalBytes int64
}

// Result is a backup that was taken.
type Result struct {
	Path      string    `json:"path"`          // of the new layer; "" if none was needed
	Point     string    `json:"point"`         // "full", "0", "1", …
	Time      time.Time `json:"time,omitzero"` // that the server gives it
	Files     int       `json:"files"`         // without the manifest
	Bytes     int64     `json:"bytes"`         // of the tar
	Attempts  int       `json:"attempts"`
	Unchanged bool      `json:"unchanged"` // nothing but a manifest was sent
	Torn      []Torn    `json:"torn"`      // Bolt files that are not sound
	Warnings  []string  `json:"warnings"`
}

// Take adds a layer to the chain whose full snapshot is path, and returns when
// it is on disk under its name. Errors match those of this package,
// [chain.ErrBroken], or what the source and the file system say; then the chain
// is as before.
func Take(ctx context.Context, path string, src Source, opts Options) (r Result, err error) {
	slots, err := lock(path)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, slots.close()) }()
	next, err := plan(path, opts.FillGap)
	if err != nil {
		return Result{}, err
	}
	r = Result{Path: next.path, Point: next.point, Torn: []Torn{}, Warnings: []string{}}
	if n := slots.stale; n > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s: %d bytes of an unfinished backup were there, and are removed", slots.path(0), n))
	}
	var best *answer
	slot := 0
	for r.Attempts = 1; ; r.Attempts++ {
		free := 1 - slot
		if best == nil {
			free = slot
		}
		a, err := receive(ctx, slots, free, src, next, opts, r.Attempts)
		if err != nil && best != nil && ctx.Err() == nil {
			r.Warnings = append(r.Warnings, fmt.Sprintf("asked again, in vain: %v", err))
			break
		}
		if err != nil {
			return Result{}, err
		}
		if best == nil || len(a.torn) < len(best.torn) {
			best, slot = a, free
		}
		if len(best.torn) == 0 || r.Attempts > opts.RetryTorn {
			break
		}
	}
	r.Time, r.Files, r.Bytes = best.time, len(best.manifest.Files), best.size
	r.Torn = append(r.Torn, best.torn...)
	r.Warnings = append(r.Warnings, best.warnings...)
	r.Unchanged = r.Files == 0
	if r.Unchanged && opts.SkipUnchanged && next.known != nil {
		r.Path, r.Point, r.Bytes = "", "", 0
		return r, nil
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	if err := slots.publish(slot, best.size, next.path); err != nil {
		return Result{}, err
	}
	return r, nil
}

// step is what is to be done to a chain.
type step struct {
	path  string          // of the new layer
	point string          // its name
	known *chain.Manifest // what the chain has; nil if it is empty
	last  time.Time       // backup time of the newest layer
}

// plan finds out which layer is next.
func plan(path string, fillGap bool) (step, error) {
	c, err := chain.Open(path, chain.Options{})
	switch {
	case err == nil:
	case errors.Is(err, os.ErrNotExist) && errors.Is(err, chain.ErrBroken):
		if !fillGap {
			return step{}, gapError(fmt.Errorf("%w: %w", ErrGap, err), path)
		}
		return step{path: path, point: "full"}, nil
	case errors.Is(err, os.ErrNotExist):
		return step{path: path, point: "full"}, nil
	default:
		return step{}, damaged(err, path, path)
	}
	defer c.Close()
	layers := c.Layers()
	point := fmt.Sprint(len(layers) - 1)
	next := step{path: path + "." + point, point: point}
	for _, w := range c.Warnings() {
		switch w.Code {
		case chain.Gap:
			if !fillGap {
				return step{}, gapError(fmt.Errorf("%w: %s", ErrGap, w.Text), next.path)
			}
		case chain.EmptyLayer, chain.BadLayer, chain.Compressed, chain.BadHeader, chain.Truncated, chain.BadManifest, chain.Missing, chain.SizeMismatch, chain.CutMember, chain.NoManifest:
			return step{}, damaged(fmt.Errorf("%s: %s", w.File, w.Text), path, w.File)
		}
	}
	for _, l := range layers {
		if !l.HasManifest {
			return step{}, hint.Wrap(fmt.Errorf("%s: a tar without a manifest, not a layer of a chain", l.Path), "name a new file for a full snapshot")
		}
		next.last = l.Time
	}
	v, err := c.At(chain.Latest)
	if err != nil {
		return step{}, err
	}
	known := v.Manifest()
	next.known = &known
	return next, nil
}

func gapError(err error, free string) error {
	return hint.Wrap(err, "move the layers beyond the gap away, or take %s with --fill-gap, as the old client did", hint.Quote(free))
}

// damaged is the error for a chain that cannot be added to because of a layer.
func damaged(err error, path, layer string) error {
	err = fmt.Errorf("%w: %w", ErrDamaged, err)
	if layer == path {
		return hint.Wrap(err, "begin another chain: name a new file for the full snapshot")
	}
	return hint.Wrap(err, "move %s and later layers away, and run it again; what they held is sent again then", hint.Quote(layer))
}
