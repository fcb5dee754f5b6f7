package chain

import (
	"fmt"
	"time"

	"github.com/snapfs/snapfs/internal/hint"
)

// Latest is the name of the newest point.
const Latest = "latest"

// TimeName is the layout of a backup time as a file name. It sorts as the times
// do, and has no colon.
const TimeName = "2006-01-02T150405Z"

// At returns the view at a point: "full", "0", "1", …, "latest" or "" for the
// newest, or a time in RFC 3339 or as in [TimeName], which stands for the newest layer that was
// taken at or before it. Views are made once and shared. The error matches
// [ErrNoPoint].
func (c *Chain) At(point string) (*View, error) {
	if point == "" || point == Latest {
		return c.viewOf(len(c.layers) - 1), nil
	}
	for i, l := range c.layers {
		if l.Name == point {
			return c.viewOf(i), nil
		}
	}
	t, err := time.Parse(time.RFC3339Nano, point)
	if err != nil {
		t, err = time.Parse(TimeName, point)
	}
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("%q: %w", point, ErrNoPoint), "points are %s, or a time such as %s", c.names(), c.sampleTime())
	}
	best := -1
	earliest := time.Time{}
	for i, l := range c.layers {
		if l.Time.IsZero() {
			continue
		}
		if earliest.IsZero() || l.Time.Before(earliest) {
			earliest = l.Time
		}
		if !l.Time.After(t) {
			best = i
		}
	}
	if best < 0 {
		if earliest.IsZero() {
			return nil, hint.Wrap(fmt.Errorf("%q: %w: no layer tells when it was taken", point, ErrNoPoint), "points are %s", c.names())
		}
		return nil, hint.Wrap(fmt.Errorf("%q: %w", point, ErrNoPoint), "the earliest backup is of %s", formatTime(earliest))
	}
	return c.viewOf(best), nil
}

// names lists the names of points for a message.
func (c *Chain) names() string {
	if n := len(c.layers); n > 1 {
		return fmt.Sprintf("full, 0 to %d, latest", n-2)
	}
	return "full, latest"
}

func (c *Chain) sampleTime() string {
	for _, l := range c.layers {
		if !l.Time.IsZero() {
			return formatTime(l.Time)
		}
	}
	return "2015-11-02T03:04:05Z"
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
