package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/space"
)

type infoCmd struct {
	JSON   bool `name:"json" help:"A JSON object."`
	Shards bool `help:"List every shard."`
	Count  bool `help:"Read all points and count them, which takes a while. Exit code 14 if some cannot be read."`
	atFlag
	snapArg
}

func (infoCmd) Help() string {
	return `A star marks the default policy; FROM and TO are the span of the groups of the shards.

Examples:
  snapfs info /tmp/snap
  snapfs info --count --shards /tmp/snap
  snapfs info shard.db`
}

// chainInfo is what info tells of a chain or a tar.
type chainInfo struct {
	Path      string          `json:"path"`
	Kind      string          `json:"kind"` // chain, tar
	Dialect   chain.Dialect   `json:"dialect"`
	At        string          `json:"at"` // the point that files, bytes and databases are of
	Time      time.Time       `json:"time,omitzero"`
	Files     int             `json:"files"`
	Bytes     int64           `json:"bytes"`
	Shards    int             `json:"shards"`
	Ghosts    []string        `json:"ghosts"` // shards that the server had dropped by then
	Torn      []string        `json:"torn"`   // Bolt files whose metas show that they are torn
	Meta      metaInfo        `json:"meta"`
	Databases []database      `json:"databases"`
	Lost      []dataset.Lost  `json:"lost"` // shards that the metadata know and no layer holds
	ShardList []shard         `json:"shard_list,omitempty"`
	Tail      []tail          `json:"tail,omitempty"`
	Points    []point         `json:"points"`
	Warnings  []chain.Warning `json:"warnings"`

	all []shard
}

func (c *infoCmd) Run(a *App) error {
	t, err := c.open(space.Options{At: c.At})
	if err != nil {
		return err
	}
	defer t.Close()
	if t.Chain() == nil {
		return c.bolt(a, t)
	}
	points, err := pointRows(t.Chain())
	if err != nil {
		return err
	}
	info := describeChain(t.Chain(), t.View(), points)
	if info.Torn, err = tornFiles(a, t.View()); err != nil {
		return err
	}
	if err := info.addData(a, t, c.Count); err != nil {
		return err
	}
	if c.Shards {
		info.ShardList = info.all
	}
	if c.JSON {
		err = a.printJSON(info)
	} else {
		err = a.printInfo(info, c.Count)
	}
	if err != nil {
		return err
	}
	lost := info.errors()
	return lost.report(a)
}

// tornFiles returns the paths of the Bolt files of a view that show at once
// that they are torn.
func tornFiles(a *App, v *chain.View) ([]string, error) {
	torn := []string{}
	for f := range v.Files() {
		if err := a.ctx.Err(); err != nil {
			return nil, err
		}
		if !f.Mode.IsRegular() || f.Size == 0 {
			continue
		}
		file, err := v.Open(f.Path)
		if err != nil {
			continue // it cannot be read, which warnings tell
		}
		r, ok := file.(io.ReaderAt)
		if ok {
			_, err = r.ReadAt(make([]byte, 1), f.Size-1)
		}
		// A member that is cut off has warnings of its own.
		if ok && (err == nil || err == io.EOF) && tornSign(r, f.Size) {
			torn = append(torn, f.Path)
		}
		file.Close()
	}
	return torn, nil
}

func describeChain(c *chain.Chain, v *chain.View, points []point) chainInfo {
	info := chainInfo{
		Path: c.Path(), Kind: "chain", Dialect: c.Dialect(), At: v.Point().Name, Time: v.Point().Time,
		Points: points, Warnings: c.Warnings(), Ghosts: []string{},
	}
	if c.Dialect() == chain.Unknown && len(points) == 1 {
		info.Kind = "tar"
	}
	if info.Warnings == nil {
		info.Warnings = []chain.Warning{}
	}
	for f := range v.Files() {
		if !f.Mode.IsRegular() {
			continue
		}
		info.Files++
		info.Bytes += f.Size
		if c.Dialect() == chain.Unknown || f.Path == "meta" {
			continue
		}
		info.Shards++
		if f.Ghost != "" {
			info.Ghosts = append(info.Ghosts, f.Path)
		}
	}
	return info
}

// maxRows keeps each list on one screen.
const maxRows = 12

func (a *App) printInfo(i chainInfo, count bool) error {
	w := a.Stdout
	width, _ := a.terminal(w)
	head := fmt.Sprintf("%s: %s, %s", printable(i.Path), dialectName(i.Dialect), plural(int64(len(i.Points)), "layer"))
	fmt.Fprintln(w, wrap(head, width, 0, 2))
	fmt.Fprintf(w, "at %s (%s): %s, %s", i.At, when(i.Time), plural(int64(i.Files), "file"), a.bytes(i.Bytes))
	if i.Dialect != chain.Unknown {
		fmt.Fprintf(w, ", %s", plural(int64(i.Shards), "shard"))
	}
	fmt.Fprint(w, "\n\n")

	points := i.Points
	if len(points) > maxRows {
		points = points[len(points)-maxRows:]
		fmt.Fprintf(w, "the last %d of %d layers; snapfs points lists all\n", maxRows, len(i.Points))
	}
	if err := a.pointTable(points).write(w); err != nil {
		return err
	}
	if len(i.Databases) > 0 {
		fmt.Fprintln(w)
		if err := a.databaseTable(i.Databases, count).write(w); err != nil {
			return err
		}
	}
	if len(i.ShardList) > 0 {
		fmt.Fprintln(w)
		if err := a.shardTable(i.ShardList, count).write(w); err != nil {
			return err
		}
	}
	var text strings.Builder
	if n := len(i.Ghosts); n > 0 {
		fmt.Fprintf(&text, "\n%s, dropped by the server before that: %s\n", plural(int64(n), "ghost"), printable(firstFew(i.Ghosts)))
	}
	a.printData(&text, i)
	a.printTorn(&text, i)
	if err := a.printWarnings(&text, i.Warnings); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if !strings.Contains(line, "hint: ") { // which is to be copied
			line = wrap(line, width, 0, 4)
		}
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}

// printTorn tells how many files are torn, and which the first are.
func (a *App) printTorn(w io.Writer, i chainInfo) {
	if len(i.Torn) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s torn: %s\n", plural(int64(len(i.Torn)), "Bolt file"), printable(firstFew(i.Torn)))
	fmt.Fprintf(w, "  hint: snapfs bolt check %s\n", printable(i.Path))
}

// firstFew lists the first paths for a message.
func firstFew(paths []string) string {
	const shown = 3
	list := strings.Join(paths[:min(shown, len(paths))], ", ")
	if more := len(paths) - shown; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// nameOf shows a name from an archive: quoted if it is not plain.
func nameOf(s string) string {
	if s == "" {
		return "-"
	}
	if !isText([]byte(s)) {
		return fmt.Sprintf("%q", s)
	}
	return s
}

func (a *App) printWarnings(w io.Writer, warnings []chain.Warning) error {
	if len(warnings) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\n%s:\n", plural(int64(len(warnings)), "warning"))
	for n, warning := range warnings {
		if n == maxRows {
			fmt.Fprintf(w, "  … %d more; snapfs info --json lists all\n", len(warnings)-n)
			break
		}
		fmt.Fprintf(w, "  %s\n", printable(warning.String()))
		if warning.Hint != "" {
			fmt.Fprintf(w, "    hint: %s\n", printable(warning.Hint))
		}
	}
	return nil
}

// bolt tells about a bare Bolt file.
func (c *infoCmd) bolt(a *App, t *space.Tree) error {
	db, err := t.Bolt(".")
	if err != nil {
		return err
	}
	info := db.Info()
	if c.JSON {
		return a.printJSON(struct {
			Path string        `json:"path"`
			Kind string        `json:"kind"`
			Bolt boltview.Info `json:"bolt"`
		}{c.Snap, "bolt", info})
	}
	return a.printBolt(c.Snap, info)
}
