package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// bar shows how far bytes have got: a bar on a terminal, a line now and then
// elsewhere.
type bar struct {
	app         *App
	width       int // of the terminal; 0 if there is none
	quiet       bool
	shown       *progressbar.ProgressBar
	last        time.Time // of the last line
	text        string
	done, total int64
}

func (a *App) bar(quiet bool) *bar {
	width, _ := a.terminal(a.Stderr)
	return &bar{app: a, width: width, quiet: quiet}
}

// start begins to count up to total, and returns what is to be told how many
// bytes more are done.
func (b *bar) start(text string, total int64) func(int64) {
	b.finish()
	b.text, b.done, b.total, b.last = text, 0, total, time.Now()
	if b.width > 0 && !b.quiet {
		b.shown = b.app.byteBar(total, text, progressbar.OptionShowCount())
	}
	return b.add
}

func (b *bar) add(n int64) {
	b.done += n
	switch {
	case b.quiet:
	case b.shown != nil:
		_ = b.shown.Add64(n) // a bar that cannot be drawn is no reason to stop
	case time.Since(b.last) >= lineEvery:
		b.last = time.Now()
		fmt.Fprintf(b.app.Stderr, "%s: %d of %s\n", b.text, b.done, plural(b.total, "byte"))
	}
}

func (b *bar) finish() {
	if b.shown != nil {
		_ = b.shown.Finish()
		b.shown = nil
	}
}
