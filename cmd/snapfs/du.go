package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/space"
)

type duCmd struct {
	By    string `default:"" enum:",db,rp,shard,measurement,layer" placeholder:"WHAT" help:"Sum up by db, rp, shard, measurement or layer. Without it by directories, as du does."`
	Depth int    `short:"d" default:"-1" placeholder:"N" help:"Directories no deeper than that."`
	All   bool   `short:"a" help:"Files as well as directories."`
	Ncdu  bool   `help:"What ncdu -f reads, to browse it there."`
	JSON  bool   `name:"json" help:"A JSON array."`
	atFlag
	ghostsFlag
	snapArg
	Path string `arg:"" optional:"" help:"Directory to begin with; not with --by."`
}

func (duCmd) Help() string {
	return `Sizes are those of files in the merged view. With --by layer, VIEW is what the view shows of a layer, and REST what
else is in its tar: headers, padding, and copies that newer ones have replaced. With --by measurement all points
are read; BYTES are those of points as the engine b1 has them.

Examples:
  snapfs du -d 1 /tmp/snap
  snapfs du --by rp /tmp/snap
  snapfs du --by measurement --json /tmp/snap | jq -r 'max_by(.bytes).measurement'
  snapfs du --ncdu /tmp/snap | ncdu -f -`
}

func (c *duCmd) Run(a *App) error {
	if c.By != "" && (c.Ncdu || c.Path != "" || c.All || c.Depth >= 0) || c.Ncdu && (c.JSON || c.All || c.Depth >= 0) {
		return usageError(errors.New("--by goes without a path, --ncdu, --all and --depth; --ncdu without --json, --all and --depth"))
	}
	t, err := c.open(space.Options{At: c.At, Ghosts: c.Ghosts})
	if err != nil {
		return err
	}
	defer t.Close()
	switch {
	case c.Ncdu:
		return c.ncdu(a, t)
	case c.By == "":
		return c.dirs(a, t)
	case c.By == "measurement":
		return c.measurements(a, t)
	}
	v, err := view(t)
	if err != nil {
		return err
	}
	if c.By == "layer" {
		return c.layers(a, v)
	}
	return c.shards(a, v, t.Data())
}

// usage is a row of --by db, rp and shard.
type usage struct {
	Shard    string  `json:"shard,omitempty"` // path
	Database string  `json:"database"`
	Policy   *string `json:"policy,omitempty"`
	Files    int     `json:"files"`
	Bytes    int64   `json:"bytes"`
}

// shards sums up the files of shards, and all others together.
func (c *duCmd) shards(a *App, v *chain.View, set *dataset.Set) error {
	known := map[string]*dataset.Shard{}
	for _, sh := range set.Shards() {
		known[sh.Path] = sh
	}
	type group struct{ shard, database, policy string }
	sums := map[group]*usage{}
	other := usage{}
	for f := range v.Files() {
		if !f.Mode.IsRegular() {
			continue
		}
		u := &other
		if sh := known[v.TreePath(f)]; sh != nil {
			g := group{database: sh.Database}
			if c.By != "db" {
				g.policy = sh.Policy
			}
			if c.By == "shard" {
				g.shard = sh.Path
			}
			if sums[g] == nil {
				sums[g] = &usage{Shard: g.shard, Database: g.database}
				if c.By != "db" {
					sums[g].Policy = &g.policy
				}
			}
			u = sums[g]
		}
		u.Files++
		u.Bytes += f.Size
	}
	rows := []usage{}
	for _, u := range sums {
		rows = append(rows, *u)
	}
	name := func(u usage) string { return u.Database + "\x00" + *cmp.Or(u.Policy, new(string)) + "\x00" + u.Shard }
	slices.SortFunc(rows, func(x, y usage) int {
		return cmp.Or(cmp.Compare(y.Bytes, x.Bytes), strings.Compare(name(x), name(y)))
	})
	if c.JSON {
		return a.printJSON(rows)
	}
	tab := &table{head: []string{">BYTES", ">FILES", "DATABASE"}}
	if c.By != "db" {
		tab.head = append(tab.head, "POLICY")
	}
	if c.By == "shard" {
		tab.head = append(tab.head, "SHARD")
	}
	for _, u := range rows {
		cells := []string{a.size(u.Bytes), fmt.Sprint(u.Files), nameOf(u.Database), "", nameOf(u.Shard)}
		if u.Policy != nil {
			cells[3] = nameOf(*u.Policy)
		}
		tab.add(cells[:len(tab.head)]...)
	}
	if other.Files > 0 {
		tab.add(a.size(other.Bytes), fmt.Sprint(other.Files), "(files that are no shards)")
	}
	return tab.write(a.Stdout)
}

// layers sums up by the layers that the files of the view lie in.
func (c *duCmd) layers(a *App, v *chain.View) error {
	type row struct {
		Layer string `json:"layer"`
		File  string `json:"file"`
		Files int    `json:"files"`
		Bytes int64  `json:"bytes"` // that the view shows
		Rest  int64  `json:"rest"`
		Size  int64  `json:"size"`
	}
	rows := []row{}
	at := map[*chain.Layer]int{}
	for _, l := range v.Chain().Layers() {
		at[l] = len(rows)
		rows = append(rows, row{Layer: l.Name, File: l.Path, Size: l.Size, Rest: l.Size})
		if l == v.Point().Layer {
			break
		}
	}
	for f := range v.Files() {
		if r := &rows[at[f.Layer]]; f.Mode.IsRegular() && !f.Missing {
			r.Files++
			r.Bytes += f.Size
			r.Rest = max(r.Rest-f.Size, 0) // two links may have one content
		}
	}
	if c.JSON {
		return a.printJSON(rows)
	}
	tab := a.table("LAYER", "~FILE", ">FILES", ">VIEW", ">REST", ">SIZE")
	for _, r := range rows {
		tab.add(r.Layer, nameOf(filepath.Base(r.File)), fmt.Sprint(r.Files), a.size(r.Bytes), a.size(r.Rest), a.size(r.Size))
	}
	return tab.write(a.Stdout)
}

func (c *duCmd) measurements(a *App, t *space.Tree) error {
	set, err := data(t)
	if err != nil {
		return err
	}
	rows := []dataset.Usage{}
	var lost losses
	for u, err := range set.Usage(a.ctx, dataset.Filter{}) {
		if err == nil {
			rows = append(rows, u)
		} else if err := lost.add(err); err != nil {
			return err
		}
	}
	slices.SortStableFunc(rows, func(x, y dataset.Usage) int { return cmp.Compare(y.Bytes, x.Bytes) })
	if c.JSON {
		err = a.printJSON(rows)
	} else {
		tab := &table{head: []string{">BYTES", ">POINTS", ">SERIES", "DATABASE", "POLICY", "MEASUREMENT"}}
		for _, u := range rows {
			tab.add(a.size(u.Bytes), fmt.Sprint(u.Points), fmt.Sprint(u.Series), nameOf(u.Database), nameOf(u.Policy), nameOf(u.Name))
		}
		err = tab.write(a.Stdout)
	}
	return cmp.Or(err, lost.report(a))
}

// duLine is a directory or file.
type duLine struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	Files int64  `json:"files"`
}

// dirs sums up directories, each after what is in it.
func (c *duCmd) dirs(a *App, t *space.Tree) error {
	root, err := clean(c.Path)
	if err != nil {
		return err
	}
	rows := []duLine{}
	var walk func(p string, depth int) (duLine, error)
	walk = func(p string, depth int) (duLine, error) {
		line := duLine{Path: p}
		if err := a.ctx.Err(); err != nil {
			return line, err
		}
		fi, err := fs.Lstat(t, p)
		if err != nil {
			return line, err
		}
		if fi.IsDir() {
			entries, err := t.ReadDir(p)
			if err != nil {
				return line, err
			}
			for _, e := range entries {
				sub, err := walk(path.Join(p, e.Name()), depth+1)
				if err != nil {
					return line, err
				}
				line.Bytes += sub.Bytes
				line.Files += sub.Files
			}
		} else if fi.Mode().IsRegular() {
			line.Bytes, line.Files = fi.Size(), 1
		}
		if (fi.IsDir() || c.All || depth == 0) && (c.Depth < 0 || depth <= c.Depth) {
			rows = append(rows, line)
		}
		return line, nil
	}
	if _, err := walk(root, 0); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(rows)
	}
	tab := &table{head: []string{">BYTES", ">FILES", "PATH"}}
	for _, r := range rows {
		tab.add(a.size(r.Bytes), fmt.Sprint(r.Files), nameOf(r.Path))
	}
	return tab.write(a.Stdout)
}

// ncdu writes the JSON that ncdu exports and reads: a directory is an array of
// what it is itself and what is in it.
func (c *duCmd) ncdu(a *App, t *space.Tree) error {
	root, err := clean(c.Path)
	if err != nil {
		return err
	}
	name, err := filepath.Abs(c.Snap)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.Stdout)
	head, err := json.Marshal(map[string]any{"progname": "snapfs", "progver": version(), "timestamp": time.Now().Unix()})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "[1,2,%s", head)
	err = ncduEntry(a, t, out, root, path.Join(filepath.ToSlash(name), root))
	fmt.Fprintln(out, "]")
	return errors.Join(err, out.Flush())
}

func ncduEntry(a *App, t fs.FS, out *bufio.Writer, p, name string) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	fi, err := fs.Lstat(t, p)
	if err != nil {
		return err
	}
	type entry struct {
		Name   string `json:"name"`
		Size   int64  `json:"asize,omitempty"`
		Disk   int64  `json:"dsize,omitempty"`
		NotReg bool   `json:"notreg,omitempty"`
	}
	e := entry{Name: name, NotReg: !fi.IsDir() && !fi.Mode().IsRegular()}
	if fi.Mode().IsRegular() {
		e.Size, e.Disk = fi.Size(), (fi.Size()+511)&^511 // as in the tar
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		_, err = fmt.Fprintf(out, ",\n%s", text)
		return err
	}
	fmt.Fprintf(out, ",\n[%s", text)
	entries, err := fs.ReadDir(t, p)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ncduEntry(a, t, out, path.Join(p, e.Name()), e.Name()); err != nil {
			return err
		}
	}
	_, err = out.WriteString("]")
	return err
}
