package main

import (
	"errors"
	"fmt"

	"github.com/snapfs/snapfs/dataset"
)

// losses gathers what could not be read of the data, shard by shard.
type losses struct {
	shards []string // in the order that they were met
	first  map[string]error
	counts map[string]int64
	total  int64
}

// add takes an error, and returns it if it is not about a shard.
func (l *losses) add(err error) error {
	var s *dataset.ShardError
	if !errors.As(err, &s) {
		return err
	}
	if l.counts == nil {
		l.first, l.counts = map[string]error{}, map[string]int64{}
	}
	if l.counts[s.Path] == 0 {
		l.shards = append(l.shards, s.Path)
		l.first[s.Path] = s
	}
	l.counts[s.Path]++
	l.total++
	return nil
}

// report complains once per shard, and returns an error that has but the exit
// code for damage; nil if nothing was lost.
func (l *losses) report(a *App) error {
	if l.total == 0 {
		return nil
	}
	for _, name := range l.shards {
		err := l.first[name]
		if n := l.counts[name]; n > 1 {
			err = fmt.Errorf("%w (and %s more)", err, plural(n-1, "error"))
		}
		a.complain(err)
	}
	fmt.Fprintf(a.Stderr, "snapfs: what could not be read of %s is left out: %s\n", plural(int64(len(l.shards)), "shard"), plural(l.total, "error"))
	return &codeError{nil, exitDamage}
}
