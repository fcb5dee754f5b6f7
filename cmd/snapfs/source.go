package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

// snapArg is the argument that nearly all commands have.
type snapArg struct {
	Snap string `arg:"" name:"snap" help:"Path of the full snapshot of a chain, of any tar, or of a Bolt file." predictor:"file"`
}

// atFlag chooses a point in time.
type atFlag struct {
	At string `placeholder:"POINT" help:"Point in time: full, 0, 1, …, latest, or a time such as 2015-11-02T03:04:05Z, which stands for the newest backup not after it."`
}

// ghostsFlag says what to do with ghosts.
type ghostsFlag struct {
	Ghosts chain.Ghosts `default:"show" placeholder:"WHAT" help:"Shards that the server had dropped by then but that are still in the chain: show, hide, or only them."`
}

// open opens a snapshot. The tree is to be closed.
func (s snapArg) open(opts space.Options) (*space.Tree, error) {
	if st, err := os.Stat(s.Snap); err == nil && st.IsDir() {
		return nil, isDirError(s.Snap)
	}
	t, err := space.Open(s.Snap, opts)
	return t, openError(err)
}

// isDirError explains what to name instead of a directory.
func isDirError(dir string) error {
	err := fmt.Errorf("%s: is a directory", dir)
	if _, serr := os.Lstat(filepath.Join(dir, space.Control)); serr == nil {
		return &codeError{hint.Wrap(err, "it is a mounted snapshot: look at it with ls and cat"), exitNotSnapshot}
	}
	if _, serr := os.Stat(filepath.Join(dir, "snap")); serr == nil {
		return &codeError{hint.Wrap(err, "did you mean %s?", hint.Quote(filepath.Join(dir, "snap"))), exitNotSnapshot}
	}
	return &codeError{hint.Wrap(err, "name the full snapshot in it, the file without a number at its end"), exitNotSnapshot}
}

// clean turns a path as a user types it into one of the tree.
func clean(p string) (string, error) {
	c := strings.Trim(p, "/")
	for strings.HasPrefix(c, "./") {
		c = strings.TrimLeft(c[2:], "/")
	}
	if c == "" {
		c = "."
	}
	if !fs.ValidPath(c) {
		return "", fmt.Errorf("%q: %w", p, errors.New("not a path in a snapshot"))
	}
	return c, nil
}
