package main

import (
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"
)

// onlyRead says of commands whether they leave nothing behind, wherever they are
// stopped: they read snapshots and print, or do so until they call begin. All
// others clean up, and are waited for.
var onlyRead = map[string]func(c *cli) bool{
	"ls": always, "cat": always, "points": always, "info": always, "doctor": always, "verify": always,
	"tree": always, "find": always, "du": always, "stat": always, "log": always, "why": always, "diff": always,
	"databases": always, "measurements": always, "series": always, "fields": always, "tags": always,
	"bolt info": always, "bolt buckets": always, "bolt keys": always, "bolt get": always, "bolt stats": always, "bolt check": always,
	"bolt pages": always, "bolt page": always, "bolt inspect": always, "bolt dump": always, "bolt export": always,
	"export":      func(c *cli) bool { return c.Export.Out == "-" && c.Export.To == "" },
	"plot":        func(c *cli) bool { return c.Plot.Out == "" },
	"bolt repair": always, // opening and choosing a tree may walk all of a large file
	"prune":       always, "version": always, "man": always, "completion": always,
}

func always(*cli) bool { return true }

// grace is how long an interrupted command that only reads may take to end by
// itself.
const grace = 100 * time.Millisecond

// begun tells whether a command of onlyRead has begun to write.
type begun struct {
	mu  sync.Mutex
	yes bool
}

// begin is called by a command before it makes its first file, so that it is
// waited for from then on. After an interruption it is an error: nobody may be
// waiting any more.
func (a *App) begin() error {
	if a.begun == nil {
		return a.ctx.Err()
	}
	a.begun.mu.Lock()
	defer a.begun.mu.Unlock()
	if err := a.ctx.Err(); err != nil {
		return err
	}
	a.begun.yes = true
	return nil
}

// writes reports whether it has begun. When the context has ended, that does not
// change any more.
func (b *begun) writes() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.yes
}

// result is how a command ended.
type result struct {
	err      error
	panicked any
}

// run runs a command. One that only reads is left where it is soon after the
// context has ended: it may be in the middle of something long, or writing to a
// pipe that nobody reads.
func (a *App) run(k *kong.Context, c *cli) error {
	name := strings.TrimPrefix(k.Selected().FullPath(), k.Model.Name+" ")
	do := func() error { return k.Run(a) }
	if may, ok := onlyRead[name]; !ok || !may(c) {
		return do()
	}
	return a.left(do)
}

// left does something that may be left where it is until it calls begin.
func (a *App) left(do func() error) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	a.begun = &begun{}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			r.panicked = recover()
			done <- r
		}()
		r.err = do()
	}()
	var r result
	select {
	case r = <-done:
	case <-a.ctx.Done():
		if a.begun.writes() {
			r = <-done
			break
		}
		select {
		case r = <-done:
		case <-time.After(grace):
			return a.ctx.Err()
		}
	}
	if r.panicked != nil {
		panic(r.panicked)
	}
	if r.err != nil && a.ctx.Err() != nil && !a.begun.writes() {
		return a.ctx.Err() // what else went wrong follows from that
	}
	return r.err
}
