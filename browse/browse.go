// Package browse is a full-screen browser for the terminal over everything that
// a [space.Tree] shows: a tree of directories, files and Bolt keys at the left,
// and at the right what is selected: its details, and its content as a chart,
// decoded, as text, or in hexadecimal digits.
//
// The [Model] does nothing by itself. Keys and results come in as messages,
// what is to be read goes out as commands, and the screen is text: all of it
// can be tested without a terminal. At most one listing and one reading are
// under way at a time, so that whoever holds a key down waits for nothing.
//
// Nothing of a snapshot reaches the terminal as it is: what cannot be printed is
// replaced, and everything is cut and filled up to the cells it has.
package browse

import (
	"context"
	"errors"
	"io"

	tea "charm.land/bubbletea/v2"

	"github.com/snapfs/snapfs/space"
)

// Options adjusts a [Model]. The zero value works.
type Options struct {
	Title string // of the screen; the path of the tree if empty
	Plain bool   // without colours; what is selected is shown by signs as well
	ASCII bool   // draw with ASCII only
}

// Terminal is where a browser runs.
type Terminal struct {
	In  io.Reader
	Out io.Writer
	Env []string // as of [os.Environ]
}

// Run shows the tree until the user leaves. The tree should have been opened with
// [space.Options.ShowControl]. The error is that of ctx, [context.Canceled] for
// Ctrl-C, or one of the terminal.
func Run(ctx context.Context, tree *space.Tree, o Options, term Terminal) error {
	m := New(ctx, tree, o)
	defer m.Close()
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(term.In), tea.WithOutput(term.Out),
		tea.WithEnvironment(term.Env), tea.WithoutSignalHandler())
	_, err := p.Run()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case m.interrupted, errors.Is(err, tea.ErrInterrupted):
		return context.Canceled
	}
	return err
}
