package main

import (
	"fmt"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/flatten"
	"github.com/snapfs/snapfs/space"
)

type flattenCmd struct {
	snapArg
	Out        string `required:"" short:"o" placeholder:"NEW" help:"The new snapshot." predictor:"file"`
	Force      bool   `short:"f" help:"Replace a file that is there."`
	DropGhosts bool   `help:"Leave out shards that the server had dropped."`
	DropUsers  bool   `help:"Leave out users, with the hashes of their passwords."`
	Damaged    string `default:"refuse" enum:"refuse,skip" placeholder:"WHAT" help:"What to do with files that are not all there: refuse, skip."`
	Verify     bool   `help:"Read the new snapshot back and compare every byte."`
	JSON       bool   `name:"json" help:"A JSON summary."`
	Quiet      bool   `short:"q" help:"No progress and no summary."`
	atFlag
}

func (flattenCmd) Help() string {
	return `The new file is one full snapshot with what the chain holds at a point in time, in the form in which the servers
wrote them: influxd restore and all of snapfs take it. It gets its name when it is complete, synced and, with --verify,
compared; the chain is not changed. Incrementals that follow that point can be renamed to follow the new file.

Everything is looked at first. Files that are cut off or missing stop it with exit code 14 before anything is written,
unless --damaged skip leaves them out. Bolt files are copied as they are, torn ones too: snapfs bolt check tells.

Examples:
  snapfs flatten /tmp/snap --out /tmp/flat                 the newest point
  snapfs flatten /tmp/snap --at 1 -o /tmp/flat-1 --verify  another; compared with the chain after that
  snapfs flatten /tmp/snap -o /tmp/to-share --drop-users --drop-ghosts`
}

// flattened is the summary.
type flattened struct {
	Out      string            `json:"out"`
	At       string            `json:"at"`
	Files    int               `json:"files"`
	Bytes    int64             `json:"bytes"`
	Chain    int64             `json:"chain_bytes"` // of the layers up to the point
	Ghosts   int               `json:"ghosts_dropped"`
	Users    int               `json:"users_dropped"`
	Skipped  []flatten.Skipped `json:"skipped,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
	Verified bool              `json:"verified"`
}

func (c *flattenCmd) Run(a *App) error {
	opts := space.Options{At: c.At}
	if c.DropGhosts {
		opts.Ghosts = chain.Hide
	}
	t, err := c.open(opts)
	if err != nil {
		return err
	}
	defer t.Close()
	if t.View() == nil {
		return &codeError{fmt.Errorf("flatten %s: a bare Bolt file is no snapshot", c.Snap), exitNotSnapshot}
	}
	plan, err := flatten.New(a.ctx, t.View(), flatten.Options{Skip: c.Damaged == "skip", DropUsers: c.DropUsers})
	if err != nil {
		return err
	}
	point := t.View().Point()
	sum := flattened{Out: c.Out, At: point.Name, Files: plan.Files(), Bytes: plan.Size(), Users: plan.Users, Skipped: plan.Skipped, Notes: plan.Notes}
	for _, l := range t.Chain().Layers() {
		sum.Chain += l.Size
		if l == point.Layer {
			break
		}
	}
	if sum.Ghosts, err = c.ghosts(t); err != nil {
		return err
	}
	if m, err := t.MetaAt(point); err == nil && m.Stale {
		sum.Notes = append(sum.Notes, fmt.Sprintf("the newest meta knows nothing; older ones, such as that of layer %s, are only in the chain: keep it", m.Layer.Name))
	}
	bar := a.bar(c.Quiet || c.JSON)
	defer bar.finish()
	var check func(path string) error
	if c.Verify {
		check = func(path string) error { return plan.Verify(a.ctx, path, bar.start("verifying", plan.Size())) }
	}
	if err := plan.Create(a.ctx, c.Out, c.Force, bar.start("writing", plan.Size()), check); err != nil {
		return err
	}
	sum.Verified = c.Verify
	bar.finish()
	return c.tell(a, sum)
}

// ghosts returns how many ghosts are left out.
func (c *flattenCmd) ghosts(t *space.Tree) (int, error) {
	if !c.DropGhosts {
		return 0, nil
	}
	all, err := t.Chain().At(c.At)
	if err != nil {
		return 0, err
	}
	return all.Len() - t.View().Len(), nil
}

func (c *flattenCmd) tell(a *App, s flattened) error {
	for _, x := range s.Skipped {
		a.warn("left out %q: %s", x.Name, x.Reason)
	}
	for _, note := range s.Notes {
		a.warn("%s", note)
	}
	if c.JSON {
		return a.printJSON(s)
	}
	if c.Quiet {
		return nil
	}
	text := fmt.Sprintf("%s: full snapshot of point %s, %s, %s of %s in the chain", s.Out, s.At, plural(int64(s.Files), "file"), a.bytes(s.Bytes), a.size(s.Chain))
	if c.DropGhosts {
		text += "; " + plural(int64(s.Ghosts), "ghost") + " left out"
	}
	if c.DropUsers {
		text += "; " + plural(int64(s.Users), "user") + " left out"
	}
	if s.Verified {
		text += "; verified"
	}
	width, _ := a.terminal(a.Stderr)
	_, err := fmt.Fprintln(a.Stderr, wrap(printable(text), width, 0, 2))
	return err
}
