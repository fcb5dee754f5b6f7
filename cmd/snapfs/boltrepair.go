package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/repair"
)

type boltRepairCmd struct {
	Output string `required:"" short:"o" placeholder:"FILE" help:"The new file, which must not exist." predictor:"file"`
	JSON   bool   `name:"json" help:"A JSON report."`
	boltArgs
}

func (boltRepairCmd) Help() string {
	return `The source is not changed. The new file has the buckets, keys, values and sequences of the tree that is read,
see --meta, and was checked by bbolt. If parts of the tree cannot be read, they are listed, and the exit code is 14.

Examples:
  snapfs bolt repair /tmp/snap telemetry/default/1 -o sound.db
  snapfs bolt repair --meta 1 torn.db --output older.db`
}

func (c *boltRepairCmd) Run(a *App) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	if c.Meta == boltview.MetaAuto {
		// Opening may not have seen the damage that a walk finds.
		if c.Meta = repair.Choose(f.DB); c.Meta != boltview.MetaAuto {
			f.Close()
			if f, err = c.file(a); err != nil {
				return err
			}
		}
	}
	defer f.Close()
	if len(f.rest) > 0 {
		return &codeError{hint.Wrap(errors.New("a file is repaired as a whole"), "snapfs bolt export writes single buckets"), exitUsage}
	}
	if err := a.begin(); err != nil {
		return err
	}
	r, err := repair.Bolt(a.ctx, c.Output, f.DB, repair.Options{})
	if err != nil {
		return err
	}
	if c.JSON {
		err = a.printJSON(r)
	} else {
		_, err = fmt.Fprintf(a.Stdout, "%s: %s in %s, %s bytes\n", printable(c.Output), plural(r.Keys, "value"), plural(r.Buckets, "bucket"), a.size(r.Size))
	}
	if err == nil && r.Losses > 0 {
		a.warn("%s lost: %s", plural(r.Losses, "part"), strings.Join(r.Lost, "; "))
		err = &codeError{nil, exitDamage}
	}
	return err
}
