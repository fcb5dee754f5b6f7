package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// byteBar returns a bar of so many bytes, with the time that is left. It is
// shown on a terminal only, and cleared when it is finished.
func (a *App) byteBar(total int64, what string, more ...progressbar.Option) *progressbar.ProgressBar {
	width, tty := a.terminal(a.Stderr)
	w := io.Discard
	if tty {
		w = a.Stderr
	}
	opts := []progressbar.Option{
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(min(width/4, 40)), progressbar.OptionThrottle(100 * time.Millisecond), progressbar.OptionClearOnFinish(),
	}
	return progressbar.NewOptions64(total, append(opts, more...)...)
}
