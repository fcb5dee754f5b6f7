package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/snapfs/snapfs/doctor"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/seal"
)

type verifyCmd struct {
	Quick  bool    `xor:"depth" help:"Read headers, manifests, and the metas of Bolt files only."`
	Full   bool    `xor:"depth" help:"Read every page and every point. The default."`
	Sample percent `xor:"depth" placeholder:"P%" help:"Do so for a share of the Bolt files, such as 5%, and what --quick does for the others."`
	Seed   int64   `help:"Chooses the sample; without it, another one each time, and its seed is told."`
	Seal   string  `placeholder:"FILE" help:"Compare all bytes with a seal made by snapfs seal." predictor:"file"`
	JSON   bool    `name:"json" help:"A JSON object."`
	snapArg
}

func (verifyCmd) Help() string {
	return `Checks the sums of tar headers, padding and end marks, manifests against tars, every page of every Bolt file, and
decodes every point. Findings and their codes are those of snapfs doctor, which does not decode points.

A tar has no sums of what it holds, and neither has a Bolt file: a byte of a value that has changed can only be told
with a seal, made while all was well. With --seal FILE alone, the bytes are compared, and the rest is as with --quick;
--full besides does both. Where the disk gives an error, it is told which pages cannot be read, and what they held; all
others are compared.

Exit code 0 means that there are notes at most, 14 that something is wrong.

Examples:
  snapfs verify /tmp/snap
  snapfs verify --quick --json /tmp/snap | jq .checked
  snapfs verify --sample 10% --seed 7 /tmp/snap
  snapfs verify --seal ~/snap.seal /tmp/snap`
}

// percent is a share, written as 5% or 5.
type percent float64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *percent) UnmarshalText(text []byte) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "%"), 64)
	if err != nil || !(n > 0 && n <= 100) {
		return fmt.Errorf("%q is not above 0%% and up to 100%%", text)
	}
	*p = percent(n / 100)
	return nil
}

func (c *verifyCmd) Run(a *App) error {
	if st, err := os.Stat(c.Snap); err == nil && st.IsDir() {
		return isDirError(c.Snap)
	}
	opts := doctor.Options{Depth: doctor.Points}
	switch {
	case c.Quick:
		opts.Depth = doctor.Signs
	case c.Sample > 0:
		if opts.Sample, opts.Seed = float64(c.Sample), c.Seed; c.Seed == 0 {
			opts.Seed = time.Now().UnixNano()
		}
	case c.Seal != "" && !c.Full:
		opts.Depth = doctor.Signs
	}
	if c.Seal != "" {
		f, err := os.Open(c.Seal)
		if err != nil {
			return openError(err)
		}
		opts.Seal, err = seal.Read(f)
		f.Close()
		if err != nil {
			return &codeError{hint.Wrap(fmt.Errorf("%s: %w", c.Seal, err), "a seal is made by snapfs seal %s --out FILE", hint.Quote(c.Snap)), exitOther}
		}
	}
	start := time.Now()
	progress, finish := a.examining("verifying")
	opts.Progress = progress
	r, err := doctor.Examine(a.ctx, c.Snap, opts)
	finish()
	if err != nil {
		return openError(err)
	}
	if c.JSON {
		err = a.printJSON(r)
	} else {
		a.printChecked(r, opts, time.Since(start))
		err = a.printFindings(a.Stdout, r.Findings)
	}
	if err == nil && !r.Sound() {
		err = &codeError{nil, exitDamage}
	}
	return err
}

// printChecked says how much was looked at.
func (a *App) printChecked(r *doctor.Report, opts doctor.Options, took time.Duration) {
	k := r.Checked
	head := fmt.Sprintf("%s: %s, %s", printable(r.Path), plural(int64(k.Layers), "layer"), plural(int64(k.Files), "file"))
	if k.Trees < k.Bolt {
		head += fmt.Sprintf(", %s by their metas", plural(int64(k.Bolt-k.Trees), "Bolt file"))
	}
	if k.Trees > 0 {
		head += fmt.Sprintf(", %s page by page", plural(int64(k.Trees), "Bolt file"))
	}
	if k.Shards > 0 {
		head += fmt.Sprintf(", %s of %s", plural(k.Points, "point"), plural(int64(k.Shards), "shard"))
	}
	if opts.Seal != nil {
		head += ", all bytes by the seal"
	}
	width, tty := a.terminal(a.Stdout)
	fmt.Fprintln(a.Stdout, wrap(head, width, 0, 2))
	if opts.Sample > 0 {
		fmt.Fprintf(a.Stdout, "a sample of %g%%, seed %d\n", 100*opts.Sample, opts.Seed)
	}
	if tty {
		speed := float64(k.Bytes) / max(took.Seconds(), 1e-3)
		fmt.Fprintf(a.Stdout, "%s in %s, %s/s\n", a.bytes(k.Bytes), took.Round(time.Millisecond), humanize.IBytes(uint64(speed)))
	}
}
