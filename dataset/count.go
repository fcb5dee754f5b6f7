package dataset

import (
	"context"
	"math"
	"time"
)

// Count is what a shard holds.
type Count struct {
	Series int64     `json:"series"`         // with points
	Points int64     `json:"points"`         // those that another shard has as well included
	First  time.Time `json:"first,omitzero"` // zero if there are no points
	Last   time.Time `json:"last,omitzero"`
	Errors int64     `json:"errors"` // of what could not be read
	Err    error     `json:"-"`      // the first of them, a [*ShardError]
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
	c.Errors += o.Errors
	if c.Err == nil {
		c.Err = o.Err
	}
}

// Count reads and counts all points of a shard. The error is that of ctx; what
// else goes wrong is counted.
func (sh *Shard) Count(ctx context.Context) (Count, error) {
	var c Count
	fail := func(err error) {
		if c.Errors++; c.Err == nil {
			c.Err = shardError(sh, err)
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
		for p, err := range shard.Points(s.Key, math.MinInt64, math.MaxInt64) {
			if err != nil {
				fail(err)
				continue
			}
			if c.Points++; c.Points%(1<<16) == 0 && ctx.Err() != nil {
				return c, ctx.Err()
			}
			first, last = min(first, p.Time), max(last, p.Time)
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
