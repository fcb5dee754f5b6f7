package dataset

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/snapfs/snapfs/influx"
)

// Count is what a shard holds.
type Count struct {
	Series int64     `json:"series"`         // with points
	Points int64     `json:"points"`         // those that another shard has as well included
	First  time.Time `json:"first,omitzero"` // zero if there are no points
	Last   time.Time `json:"last,omitzero"`
	Errors int64     `json:"errors"` // of what could not be read
	Err    error     `json:"-"`      // the first of them, a [*ShardError]
	// Left is how many of the errors are what servers left behind:
	// [influx.ErrUndefined] and [influx.ErrDropped]. Err is such a one only if
	// all are.
	Left int64 `json:"-"`
}

// Add adds what another shard holds. A series that both have counts twice.
func (c *Count) Add(o Count) {
	if !o.First.IsZero() && (c.First.IsZero() || o.First.Before(c.First)) {
		c.First = o.First
	}
	if o.Last.After(c.Last) {
		c.Last = o.Last
	}
	c.Series += o.Series
	c.Points += o.Points
	if c.Err == nil || c.Left == c.Errors && o.Left < o.Errors {
		c.Err = o.Err
	}
	c.Errors += o.Errors
	c.Left += o.Left
}

// Count reads and counts all points of a shard. The error is that of ctx; what
// else goes wrong is counted.
func (sh *Shard) Count(ctx context.Context) (Count, error) {
	var c Count
	fail := func(err error) {
		left := errors.Is(err, influx.ErrUndefined) || errors.Is(err, influx.ErrDropped)
		if c.Err == nil || c.Left == c.Errors && !left {
			c.Err = shardError(sh, err)
		}
		if c.Errors++; left {
			c.Left++
		}
	}
	shard, err := sh.Open()
	if err != nil {
		fail(err)
		return c, nil
	}
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for s, err := range shard.Series() {
		if err != nil {
			fail(err)
			continue
		}
		if err := ctx.Err(); err != nil {
			return c, err
		}
		before := c.Points
		for t, err := range shard.Times(s.Key, math.MinInt64, math.MaxInt64) {
			if err != nil {
				fail(err)
				continue
			}
			if c.Points++; c.Points%(1<<16) == 0 && ctx.Err() != nil {
				return c, ctx.Err()
			}
			first, last = min(first, t), max(last, t)
		}
		if c.Points > before {
			c.Series++
		}
	}
	if c.Points > 0 {
		c.First, c.Last = time.Unix(0, first).UTC(), time.Unix(0, last).UTC()
	}
	return c, nil
}
