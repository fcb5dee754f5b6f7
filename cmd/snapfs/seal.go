package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/seal"
	"github.com/snapfs/snapfs/space"
)

type sealCmd struct {
	Out  string `required:"" short:"o" placeholder:"FILE" help:"Write the seal to FILE; - is standard output. Keep it elsewhere than the snapshot." predictor:"file"`
	JSON bool   `name:"json" help:"Tell what was sealed as a JSON object, on standard error if the seal goes to standard output."`
	snapArg
}

func (sealCmd) Help() string {
	return `A seal has a SHA-256 of every member, and a CRC of each page, or of a few pages where a file is large, so that
snapfs verify --seal finds later which bytes have changed, and tells what they held. It takes 0.15% of the snapshot's
size at most. The same snapshot gives the same seal. Nothing is written beside the snapshot.

The format is that of JSON Lines; see the documentation of package seal.

Examples:
  snapfs seal /tmp/snap --out ~/snap.seal
  snapfs verify --seal ~/snap.seal /tmp/snap
  snapfs seal /tmp/snap --out - | gzip >snap.seal.gz`
}

func (c *sealCmd) Run(a *App) error {
	t, err := c.open(space.Options{})
	if err != nil {
		return err
	}
	defer t.Close()
	if t.Chain() == nil {
		return &codeError{hint.Wrap(fmt.Errorf("%s: a bare Bolt file cannot be sealed", c.Snap), "sha256sum %s", hint.Quote(c.Snap)), exitNotSnapshot}
	}
	if c.Out != "-" {
		if err := c.mayWrite(); err != nil {
			return err
		}
	}
	progress, finish := a.examining("sealing")
	s, err := seal.Make(a.ctx, t.Chain(), seal.Options{Progress: progress})
	finish()
	if err != nil {
		return err
	}
	var sum seal.Totals
	write := func(w io.Writer) error {
		var err error
		sum, err = s.Write(w)
		return err
	}
	told := a
	if c.Out == "-" {
		err = write(a.Stdout)
		told = &App{Stdout: a.Stderr}
	} else {
		err = writeFile(c.Out, write)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return told.printJSON(sum)
	}
	_, err = fmt.Fprintf(told.Stdout, "sealed %s, %s, %s\n", plural(int64(sum.Layers), "layer"), plural(int64(sum.Members), "member"), told.bytes(sum.Bytes))
	return err
}

// mayWrite keeps a seal from taking the place of another file, or from being
// taken for a layer.
func (c *sealCmd) mayWrite() error {
	if _, err := os.Lstat(c.Out); err == nil {
		return &codeError{hint.Wrap(fmt.Errorf("%s: there is such a file", c.Out), "choose another name, or remove it"), exitConflict}
	}
	same := func(a, b string) bool {
		x, err1 := os.Stat(a)
		y, err2 := os.Stat(b)
		return err1 == nil && err2 == nil && os.SameFile(x, y)
	}
	if same(filepath.Dir(c.Out), filepath.Dir(c.Snap)) && strings.HasPrefix(filepath.Base(c.Out), filepath.Base(c.Snap)+".") {
		return &codeError{hint.Wrap(errors.New(c.Out+": a name like that of a layer, beside the snapshot"), "choose another directory, such as that of other seals"), exitUsage}
	}
	return nil
}
