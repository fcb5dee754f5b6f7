package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/snapfs/snapfs/browse"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

type browseCmd struct {
	ASCII bool `name:"ascii" help:"Draw with ASCII only, as without a locale of UTF-8."`
	atFlag
	ghostsFlag
	snapArg
}

func (browseCmd) Help() string {
	return `At the left is the tree, with all that a mount shows: files, points in time, Bolt files, series. At the right is
what is selected: a chart of a series, decoded points, text, or hexadecimal digits. Press ? for the keys, q to leave.
It works over ssh, on 80×24 and smaller terminals, and without colours (NO_COLOR).

Examples:
  snapfs browse /tmp/snap
  snapfs browse --at 0 /tmp/snap      as of the first incremental
  snapfs browse member/snap/db        any Bolt file`
}

func (c *browseCmd) Run(a *App) error {
	in, ok := a.Stdin.(*os.File)
	if _, tty := a.terminal(a.Stdout); !tty || !ok || !term.IsTerminal(int(in.Fd())) || a.Getenv("TERM") == "dumb" {
		return hint.Wrap(errors.New("browse needs a terminal"), "snapfs ls -R %s, snapfs info %s", hint.Quote(c.Snap), hint.Quote(c.Snap))
	}
	t, err := c.open(space.Options{At: c.At, Ghosts: c.Ghosts, ShowControl: true})
	if err != nil {
		return err
	}
	defer t.Close()
	title := c.Snap
	if v := t.View(); v != nil {
		title = fmt.Sprintf("%s  at %s, %s", c.Snap, v.Point().Name, when(v.Point().Time))
	}
	return browse.Run(a.ctx, t, browse.Options{Title: title, Plain: a.Getenv("NO_COLOR") != "", ASCII: c.ASCII || !a.utf8()},
		browse.Terminal{In: a.Stdin, Out: a.Stdout, Env: os.Environ()})
}

// utf8 reports whether the locale says that the terminal shows UTF-8.
func (a *App) utf8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(a.Getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}
