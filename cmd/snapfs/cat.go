package main

import (
	"fmt"
	"io"
	"io/fs"

	"github.com/snapfs/snapfs/space"
)

type catCmd struct {
	atFlag
	hashesFlag
	snapArg
	Path []string `arg:"" help:"Files, one after the other. .snapfs/… works too."`
}

// hashesFlag shows what else is left out.
type hashesFlag struct {
	ShowHashes bool `help:"Show the hashes of passwords in .snapfs/meta.json. The file meta has them in any case."`
}

func (catCmd) Help() string {
	return `Examples:
  snapfs cat /tmp/snap telemetry/default/1 > shard-1.db
  snapfs cat --at 0 /tmp/snap meta | protoc --decode_raw
  snapfs cat /tmp/snap .snapfs/chain.json
  snapfs cat --show-hashes /tmp/snap .snapfs/meta.json | jq .users`
}

func (c *catCmd) Run(a *App) error {
	t, err := c.open(space.Options{At: c.At, ShowHashes: c.ShowHashes})
	if err != nil {
		return err
	}
	defer t.Close()
	for _, arg := range c.Path {
		p, err := clean(arg)
		if err != nil {
			return err
		}
		if err := a.cat(t, p); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) cat(t fs.FS, p string) error {
	f, err := t.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if fi.IsDir() {
		return fmt.Errorf("cat %s: is a directory", p)
	}
	buf := make([]byte, 256<<10)
	for {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(buf)
		if n > 0 {
			if _, err := a.Stdout.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cat %s: %w", p, err)
		}
	}
}
