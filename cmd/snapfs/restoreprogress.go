package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/snapfs/snapfs/restore"
)

// progress is a bar on a terminal, and a line now and then elsewhere.
type progress struct {
	app   *App
	width int // of the terminal; 0 if there is none
	quiet bool
	bar   *progressbar.ProgressBar
	phase restore.Phase
	last  time.Time // of the last line
}

// lineEvery is how long it takes until a line says that there is progress.
const lineEvery = 10 * time.Second

func (a *App) progress(quiet bool) *progress {
	width, _ := a.terminal(a.Stderr)
	return &progress{app: a, width: width, quiet: quiet, last: time.Now()}
}

func (p *progress) update(r restore.Progress) {
	text := map[restore.Phase]string{restore.PhaseCheck: "checking", restore.PhaseCopy: "restoring"}[r.Phase]
	switch {
	case p.quiet:
	case p.width == 0:
		if time.Since(p.last) >= lineEvery {
			p.last = time.Now()
			fmt.Fprintf(p.app.Stderr, "%s: %d of %s, %d of %s\n", text, r.Files, plural(int64(r.TotalFiles), "file"), r.Bytes, plural(r.TotalBytes, "byte"))
		}
	default:
		if p.bar == nil || p.phase != r.Phase {
			p.finish()
			p.phase = r.Phase
			p.bar = p.app.byteBar(r.TotalBytes, text, progressbar.OptionShowCount())
		}
		_ = p.bar.Set64(r.Bytes) // a bar that cannot be drawn is no reason to stop
	}
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
