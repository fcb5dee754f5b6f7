package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

type logCmd struct {
	JSON  bool `name:"json" help:"A JSON array; for a file, one of its versions."`
	Files bool `help:"Name the files that each layer added (+) or replaced (~)."`
	atFlag
	snapArg
	Path string `arg:"" optional:"" help:"A file, for its versions, or a directory, for what happened in it."`
}

func (logCmd) Help() string {
	return `Newest first. Of a file, all versions that the layers hold, where each lies, and by which rule it took the place of
the one before or did not: snapfs why tells that in sentences.

NEW BYTES are those of files that were added or replaced; LOST are copies that a layer holds in vain, since an
earlier one counts.

Examples:
  snapfs log /tmp/snap
  snapfs log --files /tmp/snap telemetry/default
  snapfs log /tmp/snap telemetry/default/1
  snapfs log --json /tmp/snap | jq -r '.[] | .changes[]?.path' | sort | uniq -c`
}

// layerChange is what a layer brought.
type layerChange struct {
	Name      string       `json:"name"`
	Time      time.Time    `json:"time,omitzero"`
	File      string       `json:"file"`
	Added     int          `json:"added"`
	Replaced  int          `json:"replaced"`
	Unchanged int          `json:"unchanged"`
	Lost      int          `json:"lost"`
	Bytes     int64        `json:"bytes"` // of files that were added or replaced
	Size      int64        `json:"size"`  // of the tar
	Changes   []fileChange `json:"changes"`
}

type fileChange struct {
	Path   string `json:"path"`
	Change string `json:"change"` // added, replaced
	Size   int64  `json:"size"`
	Before *int64 `json:"size_before,omitempty"`
}

func (c *logCmd) Run(a *App) error {
	t, err := c.open(space.Options{At: c.At})
	if err != nil {
		return err
	}
	defer t.Close()
	v, p, err := a.inView(t, c.Path)
	if err != nil {
		return err
	}
	if p != "." {
		fi, err := v.Stat(p)
		if err != nil {
			return err
		}
		if !fi.IsDir() {
			return c.versions(a, v, p)
		}
	}
	// Names of files and of the tree differ below directories like meta.d.
	prefix := ""
	if p != "." {
		prefix = p + "/"
	}
	keep := func(string) bool { return true }
	if prefix != "" {
		keep = func(name string) bool {
			return strings.HasPrefix(name, prefix) || strings.HasPrefix(v.TreePath(chain.File{Path: name}), prefix)
		}
	}
	rows := []layerChange{}
	for _, l := range slices.Backward(v.Log(keep)) {
		row := layerChange{Name: l.Point.Name, Time: l.Point.Time, File: l.Point.Layer.Path, Added: l.Added, Replaced: l.Replaced,
			Unchanged: l.Unchanged, Lost: l.Lost, Bytes: l.Bytes, Size: l.Point.Layer.Size, Changes: []fileChange{}}
		for _, d := range l.Changes {
			x := fileChange{Path: v.TreePath(*d.New), Change: "added", Size: d.New.Size}
			if d.Old != nil {
				x.Change, x.Before = "replaced", &d.Old.Size
			}
			row.Changes = append(row.Changes, x)
		}
		rows = append(rows, row)
	}
	if c.JSON {
		return a.printJSON(rows)
	}
	tab := a.table("POINT", "BACKUP TIME", "~FILE", ">ADDED", ">REPLACED", "?>UNCHANGED", ">LOST", ">NEW BYTES")
	for _, r := range rows {
		tab.add(r.Name, when(r.Time), nameOf(filepath.Base(r.File)), fmt.Sprint(r.Added), fmt.Sprint(r.Replaced), fmt.Sprint(r.Unchanged), fmt.Sprint(r.Lost), a.size(r.Bytes))
		if !c.Files {
			continue
		}
		for _, x := range r.Changes {
			if x.Before == nil {
				tab.note(fmt.Sprintf("  + %s  %s", nameOf(x.Path), a.size(x.Size)))
			} else {
				tab.note(fmt.Sprintf("  ~ %s  %s, before %s", nameOf(x.Path), a.size(x.Size), a.size(*x.Before)))
			}
		}
	}
	return tab.write(a.Stdout)
}

// inView returns the view at the root of a snapshot, and a path in it as that of
// an [fs.FS].
func (a *App) inView(t *space.Tree, name string) (*chain.View, string, error) {
	v, err := view(t)
	if err = cmp.Or(err, a.ctx.Err()); err != nil {
		return nil, "", err
	}
	p, err := clean(name)
	return v, p, err
}

// view returns the view at the root of a snapshot.
func view(t *space.Tree) (*chain.View, error) {
	if v := t.View(); v != nil {
		return v, nil
	}
	err := fmt.Errorf("%s: a bare Bolt file has no layers", t.Path())
	return nil, &codeError{hint.Wrap(err, "snapfs bolt info %s", hint.Quote(t.Path())), exitNotSnapshot}
}

// fileVersion is a copy of a file in a layer.
type fileVersion struct {
	Layer    string     `json:"layer"`
	Time     time.Time  `json:"time,omitzero"` // of the backup
	File     string     `json:"file"`
	Offset   *int64     `json:"offset,omitempty"`
	Size     int64      `json:"size"`
	Modified time.Time  `json:"mtime,omitzero"`
	Index    *uint64    `json:"index,omitempty"`
	Rule     chain.Rule `json:"rule"`
	Against  string     `json:"against,omitempty"` // layer that it was compared with
	Current  bool       `json:"current"`
	Missing  bool       `json:"missing,omitempty"`
	Why      string     `json:"why"`
}

// versionRows returns the versions of a file of a view, the earliest first.
func versionRows(v *chain.View, f chain.File) []fileVersion {
	rows := []fileVersion{}
	for _, x := range v.History(f.Path) {
		row := fileVersion{Layer: x.Layer.Name, Time: x.Layer.Time, File: x.Layer.Path, Size: x.Size, Modified: x.ModTime.UTC(),
			Rule: x.Rule, Current: x.Current, Missing: x.Missing, Why: whyText(x)}
		if off, ok := x.Offset(); ok {
			row.Offset = &off
		}
		if x.Listed.Stamp.Index > 0 {
			row.Index = &x.Listed.Stamp.Index
		}
		if x.Before != nil {
			row.Against = x.Before.Layer.Name
		}
		rows = append(rows, row)
	}
	return rows
}

// whyText says why a version took the place of the one before, or not.
func whyText(x chain.Version) string {
	stamp := func(f *chain.File) string {
		if f.Listed.Stamp.Index > 0 || f.Listed.Stamp.Time.IsZero() {
			return "index " + strconv.FormatUint(f.Listed.Stamp.Index, 10)
		}
		return "lastModified " + f.Listed.Stamp.Time.UTC().Format(time.RFC3339Nano)
	}
	text := "the first copy"
	switch x.Rule {
	case chain.Newer:
		text = fmt.Sprintf("its %s is newer than that of %s", stamp(&x.File), x.Before.Layer.Name)
	case chain.Tie:
		text = fmt.Sprintf("lost: the same %s as %s, and of two the earlier stays", stamp(&x.File), x.Before.Layer.Name)
	case chain.Older:
		text = fmt.Sprintf("lost: its %s is older than that of %s", stamp(&x.File), x.Before.Layer.Name)
	case chain.NoEntry:
		text = "later than " + x.Before.Layer.Name + ", and one of the two is in no manifest"
	case chain.LaterLayer:
		text = "later than " + x.Before.Layer.Name + "; there are no manifests to tell more"
	}
	if x.Missing {
		text += "; the manifest lists it, but the tar does not hold it"
	}
	return text
}

// fileOf returns the file at a path of the tree.
func fileOf(v *chain.View, p string) (chain.File, error) {
	f, ok := v.FileAt(p)
	if ok {
		return f, nil
	}
	if _, err := v.Stat(p); err != nil {
		return f, err
	}
	return f, hint.Wrap(fmt.Errorf("%s: made from all layers: no layer holds it as it is", p), "the layers' own are in .snapfs/layers")
}

// versions shows the versions of a file, newest first.
func (c *logCmd) versions(a *App, v *chain.View, p string) error {
	f, err := fileOf(v, p)
	if err != nil {
		return err
	}
	rows := versionRows(v, f)
	slices.Reverse(rows)
	if c.JSON {
		return a.printJSON(rows)
	}
	return a.versionTable(rows).write(a.Stdout)
}

func (a *App) versionTable(rows []fileVersion) *table {
	tab := a.table("", "LAYER", "~FILE", ">OFFSET", ">SIZE", "?MTIME", "|WHY")
	for _, r := range rows {
		mark, off := "", "-"
		if r.Current {
			mark = "*"
		}
		if r.Offset != nil {
			off = fmt.Sprint(*r.Offset)
		}
		tab.add(mark, r.Layer, nameOf(filepath.Base(r.File)), off, a.size(r.Size), when(r.Modified), r.Why)
	}
	return tab
}

type whyCmd struct {
	JSON bool `name:"json" help:"A JSON document."`
	atFlag
	snapArg
	Path string `arg:"" help:"A file."`
}

func (whyCmd) Help() string {
	return `Tells which copy of a file is shown, and by which rule the others are not.

Of the copies of a file the one with the newest lastModified in its manifest counts, in backups of release candidates
that with the highest index; of two that are equal, the one of the earlier layer.

Examples:
  snapfs why /tmp/snap telemetry/default/1
  snapfs why --at 0 /tmp/snap meta`
}

func (c *whyCmd) Run(a *App) error {
	t, err := c.open(space.Options{At: c.At})
	if err != nil {
		return err
	}
	defer t.Close()
	v, p, err := a.inView(t, c.Path)
	if err != nil {
		return err
	}
	f, err := fileOf(v, p)
	if err != nil {
		return err
	}
	rows := versionRows(v, f)
	if c.JSON {
		return a.printJSON(struct {
			Path     string        `json:"path"`
			Name     string        `json:"name"` // as in the tar
			At       string        `json:"at"`
			Layer    string        `json:"layer"`
			Ghost    string        `json:"ghost,omitempty"`
			Missing  bool          `json:"missing,omitempty"`
			Versions []fileVersion `json:"versions"`
		}{p, strings.ToValidUTF8(f.Name, "�"), v.Point().Name, f.Layer.Name, f.Ghost, f.Missing, rows})
	}
	others := ""
	if n := len(rows) - 1; n > 0 {
		others = fmt.Sprintf(", of %d", n+1)
	}
	width, _ := a.terminal(a.Stdout)
	fmt.Fprintln(a.Stdout, wrap(fmt.Sprintf("%s at %s: the copy of layer %s is shown%s", nameOf(p), v.Point().Name, f.Layer.Name, others), width, 0, 2))
	for _, r := range rows {
		verdict := ""
		if r.Rule != chain.First && r.Rule.Won() {
			verdict = "took its place: "
		}
		where := nameOf(filepath.Base(r.File))
		if r.Offset != nil {
			where += fmt.Sprintf(" at byte %d", *r.Offset)
		}
		text := fmt.Sprintf("%s, %s, %s: %s%s", r.Layer, where, plural(r.Size, "byte"), verdict, r.Why)
		fmt.Fprintf(a.Stdout, "  %s\n", wrap(text, width, 2, 4))
	}
	if f.Ghost != "" {
		fmt.Fprintf(a.Stdout, "  %s\n", wrap("a ghost: "+printable(f.Ghost), width, 2, 4))
	}
	if f.Missing {
		text := fmt.Sprintf("reading it fails: the manifest of %s promises it, and the tar does not hold it", nameOf(filepath.Base(f.Layer.Path)))
		fmt.Fprintf(a.Stdout, "  %s\n", wrap(text, width, 2, 4))
	}
	return nil
}
