package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dustin/go-humanize"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/space"
)

type findCmd struct {
	Name string `placeholder:"GLOB" help:"Files whose last name matches, or with a slash in GLOB the whole path; ** stands for any directories."`
	shardFlags
	Measurement string   `placeholder:"GLOB" help:"Shards with series of a measurement."`
	Tag         []string `name:"tag" aliases:"where-tag" sep:"none" placeholder:"KEY=GLOB" help:"Shards with series that have such a tag; given more than once, one series must have all."`
	Newer       string   `placeholder:"TIME" help:"Modified after that: 2015-11-02, 2015-11-02T03:04:05Z."`
	Older       string   `placeholder:"TIME" help:"Modified before that."`
	Larger      string   `placeholder:"SIZE" help:"Of more bytes than that, such as 10MB or 1GiB."`
	At          string   `placeholder:"POINT" help:"Point in time as for ls, or all for every copy in every layer."`
	Long        bool     `short:"l" help:"Show size, time and layer."`
	JSON        bool     `name:"json" xor:"form" help:"One JSON object a line, as ls has them."`
	Print0      bool     `name:"print0" short:"0" xor:"form" help:"End each path with a zero byte, for xargs -0."`
	ghostsFlag
	snapArg
}

func (findCmd) Help() string {
	return `All conditions must hold. With --at all, paths are those below .snapfs/layers, which cat and stat take as well.

Examples:
  snapfs find /tmp/snap --db telemetry --larger 50kB -l
  snapfs find /tmp/snap --measurement cpu --tag 'host=a*'
  snapfs find /tmp/snap --at all --name 'telemetry/**/4'
  snapfs find /tmp/snap --newer 2015-11-02 -0 | xargs -0 -n 1 snapfs why /tmp/snap`
}

// finder says which files are wanted.
type finder struct {
	cmd          *findCmd
	filter       dataset.Filter
	shards       bool // only
	series       bool // are looked into
	newer, older time.Time
	larger       int64
	lost         losses
	ctx          context.Context
}

func (c *findCmd) finder() (*finder, error) {
	f := &finder{cmd: c, larger: -1}
	var err error
	if f.filter, err = (dataFlags{shardFlags: c.shardFlags, Measurement: c.Measurement, Tag: c.Tag}).filter(); err != nil {
		return nil, err
	}
	f.series = c.Measurement != "" || len(c.Tag) > 0
	f.shards = f.series || !c.shardFlags.all()
	if c.Name != "" && !doublestar.ValidatePattern(c.Name) {
		return nil, usageError(fmt.Errorf("--name %q: not a glob", c.Name))
	}
	if c.Newer != "" {
		_, last, err := parseSpan(c.Newer)
		if err != nil {
			return nil, usageError(fmt.Errorf("--newer: %w", err))
		}
		f.newer = time.Unix(0, last)
	}
	if c.Older != "" {
		first, _, err := parseSpan(c.Older)
		if err != nil {
			return nil, usageError(fmt.Errorf("--older: %w", err))
		}
		f.older = time.Unix(0, first)
	}
	if c.Larger != "" {
		n, err := humanize.ParseBytes(c.Larger)
		if err != nil || n > 1<<62 {
			return nil, usageError(fmt.Errorf("--larger %q: not a size, such as 10MB or 1GiB", c.Larger))
		}
		f.larger = int64(n)
	}
	return f, nil
}

// named reports whether a path has the name.
func (f *finder) named(p string) bool {
	glob := f.cmd.Name
	if glob == "" {
		return true
	}
	if !strings.Contains(glob, "/") {
		p = path.Base(p)
	}
	ok, err := doublestar.Match(strings.Trim(glob, "/"), p)
	return ok && err == nil
}

// matches reports whether a file is wanted, but for what is in it.
func (f *finder) matches(p string, x chain.File) bool {
	return x.Mode.IsRegular() && f.named(p) && x.Size > f.larger &&
		(f.newer.IsZero() || x.ModTime.After(f.newer)) && (f.older.IsZero() || x.ModTime.Before(f.older))
}

func (c *findCmd) Run(a *App) error {
	f, err := c.finder()
	if err != nil {
		return err
	}
	f.ctx = a.ctx
	everything := c.At == "all"
	at := c.At
	if everything {
		at = ""
	}
	t, err := c.open(space.Options{At: at, Ghosts: c.Ghosts})
	if err != nil {
		return err
	}
	defer t.Close()
	v, err := view(t)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.Stdout)
	show := &lister{cmd: &lsCmd{Long: c.Long, JSON: c.JSON}, app: a, tree: t, out: out}
	if everything {
		for _, l := range t.Chain().Layers() {
			dir := path.Join(space.Control, "layers", l.Name)
			if err = f.search(a, show, t.Chain().LayerView(l), t.LayerData(l), dir); err != nil {
				break
			}
		}
	} else {
		err = f.search(a, show, v, t.Data(), "")
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		return err
	}
	return f.lost.report(a)
}

// search prints the files of a view that are wanted. dir is put before paths.
func (f *finder) search(a *App, show *lister, v *chain.View, set *dataset.Set, dir string) error {
	shards := map[string]*dataset.Shard{}
	if f.shards {
		for _, sh := range set.Shards() {
			if f.filter.MatchShard(sh) {
				shards[sh.Path] = sh
			}
		}
	}
	for x := range v.Files() {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		p := v.TreePath(x)
		if !f.matches(p, x) {
			continue
		}
		if f.shards {
			sh := shards[p]
			if sh == nil {
				continue
			}
			if f.series {
				ok, err := f.holds(sh)
				if err != nil {
					return err
				}
				if !ok {
					continue
				}
			}
		}
		if err := f.print(show, path.Join(dir, p)); err != nil {
			return err
		}
	}
	return nil
}

// holds reports whether a shard has a series that is wanted.
func (f *finder) holds(sh *dataset.Shard) (bool, error) {
	for _, err := range sh.Series(f.filter) {
		if ctxErr := f.ctx.Err(); ctxErr != nil {
			return false, ctxErr
		}
		if err == nil {
			return true, nil
		}
		if err := f.lost.add(err); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (f *finder) print(show *lister, p string) error {
	if f.cmd.Print0 {
		_, err := fmt.Fprintf(show.out, "%s\x00", p)
		return err
	}
	fi, err := fs.Lstat(show.tree, p)
	if err != nil {
		return err
	}
	return show.print(p, p, fi)
}
