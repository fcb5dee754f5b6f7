package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/seal"
	"github.com/snapfs/snapfs/space"
	"github.com/snapfs/snapfs/tarindex"
)

// Depth says how much of a snapshot is read.
type Depth int

// The depths. Each does what those before it do.
const (
	Trees  Depth = iota // every page that a Bolt file uses
	Signs               // less: only the metas of Bolt files, and of those that look torn the trees
	Points              // every point, too
)

// Options adjusts [Examine]. The zero value checks every page, but no points.
type Options struct {
	Depth Depth
	// Sample, if above 0, is the share of Bolt files that are looked at in that
	// depth; the others are as by [Signs]. Seed chooses which.
	Sample float64
	Seed   int64
	// Workers is the number of files that are read at once; 0 means GOMAXPROCS.
	Workers int
	// Seal, if not nil, is compared with the bytes that are there now.
	Seal *seal.Seal
	// Progress is called, by one goroutine at a time, with the bytes of the files
	// that were looked at and of all. Nil is fine.
	Progress func(done, total int64)
}

// Examine looks at the snapshot whose full snapshot is path, or at any tar or
// Bolt file. Whatever is wrong with it is in the report. The error is that of
// ctx, or tells why there is nothing to look at: it matches [fs.ErrNotExist], or
// is one of [space.Open]; or it matches [chain.ErrChanged].
//
// When ctx ends, so do walks through trees that are under way.
func Examine(ctx context.Context, path string, opts Options) (*Report, error) {
	t, err := open(path)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	stop := context.AfterFunc(ctx, func() { t.Close() }) // ends reads that are under way
	defer stop()
	e := &exam{ctx: ctx, tree: t, opts: opts, damaged: map[copyOf]Loss{}, report: &Report{
		Path: path, Kind: "bolt", Layers: []Layer{}, Points: []Point{}, Findings: []Finding{},
	}}
	if opts.Workers <= 0 {
		e.opts.Workers = runtime.GOMAXPROCS(0)
	}
	e.report.Checked.Seed = opts.Seed
	if t.Chain() == nil {
		err = e.bare()
	} else {
		err = e.chain()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return e.report, err
}

// open opens a snapshot; if that cannot be, all of it that can.
func open(path string) (*space.Tree, error) {
	t, err := space.Open(path, space.Options{})
	if err == nil {
		return t, nil
	}
	kept, kerr := space.Open(path, space.Options{Keep: true})
	if kerr != nil {
		return nil, err
	}
	if errors.Is(err, space.ErrNotSnapshot) && len(kept.Chain().Layers()) == 1 && !tarLike(kept.Chain().Layers()[0]) {
		kept.Close()
		return nil, err
	}
	return kept, nil
}

// tarLike reports whether a file that could not be indexed at all may be a
// damaged tar: it is empty, or has the magic of one.
func tarLike(l *chain.Layer) bool {
	if l.Size == 0 {
		return true
	}
	const offMagic = 257
	var magic [5]byte
	f, err := os.Open(l.Path)
	if err != nil {
		return true // why it cannot be read is told
	}
	defer f.Close()
	_, err = f.ReadAt(magic[:], offMagic)
	return err == nil && string(magic[:]) == "ustar"
}

// exam is one Examine.
type exam struct {
	ctx     context.Context
	tree    *space.Tree
	opts    Options
	report  *Report
	layers  []*chain.Layer
	damaged map[copyOf]Loss // what is wrong with single copies
	holes   []hole
	refused map[string]string       // why layers are not to be restored
	other   bool                    // it is of another program than InfluxDB
	latest  map[string]*chain.Layer // that holds each file of the newest point
	copies  map[*chain.Layer]copiesOf
}

// copyOf names a file in a layer.
type copyOf struct{ layer, name string }

// hole is a layer of which it is not known what is lost.
type hole struct {
	layer string
	loss  Loss
}

// add adds a finding about a layer, or about the whole if l is nil.
func (e *exam) add(c Code, l *chain.Layer, name, todo, format string, args ...any) *Finding {
	f := Finding{Code: c, Level: c.Level(), Name: name, Hint: todo, Text: fmt.Sprintf(format, args...)}
	if l != nil {
		f.Layer, f.File = l.Name, l.Path
	}
	e.report.Findings = append(e.report.Findings, f)
	return &e.report.Findings[len(e.report.Findings)-1]
}

// bare looks at a Bolt file by itself.
func (e *exam) bare() error {
	if e.opts.Depth == Points {
		e.opts.Depth = Trees // what its values mean, no metadata tell
	}
	db, err := e.tree.Bolt(".")
	if err != nil {
		return err
	}
	r := e.bolt(db, e.opts.Depth)
	r.hint = fmt.Sprintf("snapfs bolt repair %s -o sound.db", hint.Quote(e.report.Path))
	c := &e.report.Checked
	c.Files, c.Bolt, c.Bytes, c.Trees = 1, 1, db.Info().Size, r.trees
	if r.code == "" {
		c.Sound = 1
		return nil
	}
	f := e.add(r.code, nil, "", r.hint, "%s; %s", r.text, r.fault)
	f.File, f.Class = e.report.Path, r.class
	return nil
}

// chain looks at a chain or tar.
func (e *exam) chain() error {
	c := e.tree.Chain()
	r := e.report
	r.Kind, r.Dialect = "chain", c.Dialect()
	e.layers = c.Layers()
	if r.Dialect == chain.Unknown && len(e.layers) == 1 {
		r.Kind = "tar"
	}
	r.Checked.Layers = len(e.layers)
	e.refused = map[string]string{}
	e.warnings()
	if err := e.describe(); err != nil {
		return err
	}
	if err := e.contents(); err != nil {
		return err
	}
	e.metas()
	if err := e.entries(); err != nil {
		return err
	}
	if err := e.files(); err != nil {
		return err
	}
	if err := e.sealed(); err != nil {
		return err
	}
	e.dropped()
	if err := e.verdicts(); err != nil {
		return err
	}
	// Of a tar that was written to meanwhile, what was found says nothing.
	for _, l := range e.layers {
		if err := l.Changed(); err != nil {
			return err
		}
	}
	e.sort()
	return nil
}

// sort puts findings in the order of the chain, those of one layer as they were
// found.
func (e *exam) sort() {
	at := map[string]int{"": 0}
	for i, l := range e.layers {
		at[l.Name] = i + 1
	}
	slices.SortStableFunc(e.report.Findings, func(a, b Finding) int { return cmp.Compare(at[a.Layer], at[b.Layer]) })
}

// warnings takes over what package chain has to say, and adds what to type.
func (e *exam) warnings() {
	for _, w := range e.tree.Chain().Warnings() {
		c := code(w.Code)
		var l *chain.Layer
		for _, x := range e.layers {
			if x.Name == w.Layer {
				l = x
			}
		}
		switch w.Code {
		case chain.Truncated, chain.BadHeader, chain.CutMember, chain.Missing:
			continue // describe tells of the exact loss
		case chain.NoEndMark:
			if e.report.Dialect == chain.Unknown || nothing(l) || e.short(l) {
				continue // so does it of that
			}
		case chain.NoManifest:
			if nothing(l) || l.Index().Entry(0).Name == chain.ManifestName {
				continue // that there is nothing, or that it is bad, is told
			}
		case chain.BadLayer:
			if tarLike(l) {
				c = code(chain.BadHeader)
			}
		case chain.Unreadable:
			if errors.Is(l.Err, fs.ErrPermission) {
				c = Permission
			}
		}
		f := e.add(c, l, w.Name, w.Hint, "%s", w.Text)
		if f.Level != Note && c == Permission {
			f.Level = Error
		}
		if f.File == "" {
			f.File = w.File
		}
		if f.Hint == "" {
			f.Hint = e.advice(c, l, w)
		}
	}
}

// nothing reports whether a layer has no member at all.
func nothing(l *chain.Layer) bool { return l.Index() == nil || l.Index().Len() == 0 }

// short reports whether files of a layer are missing at its end.
func (e *exam) short(l *chain.Layer) bool {
	return l.Err != nil || l.HasManifest && len(absent(e.tree.Chain(), l)) > 0
}

// before returns the name of the point before a layer.
func (e *exam) before(l *chain.Layer) string {
	for i, x := range e.layers {
		if x == l && i > 0 {
			return e.layers[i-1].Name
		}
	}
	return ""
}

// advice returns what to type after a warning of package chain.
func (e *exam) advice(c Code, l *chain.Layer, w chain.Warning) string {
	snap := hint.Quote(e.report.Path)
	switch chain.Code(c) {
	case chain.Gap:
		return fmt.Sprintf("look for %s; what is left out can be seen layer by layer: snapfs ls -R <layer>", hint.Quote(w.File))
	case chain.Pending:
		return "look into it by itself: snapfs doctor " + hint.Quote(w.File)
	case chain.NoFull:
		return fmt.Sprintf("look for %s; each incremental can be opened by itself: snapfs ls -R %s.0", snap, snap)
	case chain.Unreadable, chain.Code(Permission):
		return fmt.Sprintf("ls -l %s; then chmod u+r, or run as the user that it belongs to", hint.Quote(w.File))
	case chain.MixedDialect:
		return "it is of another server; look at it by itself: snapfs info " + hint.Quote(w.File)
	case chain.TimeOrder:
		return "compare the times: snapfs points " + snap + "; were layers renamed?"
	case chain.EmptyLayer, chain.BadLayer, chain.BadHeader:
		return e.rest(l)
	case chain.Compressed:
		for ext, u := range unpackers {
			if strings.HasSuffix(w.File, "."+ext) {
				return fmt.Sprintf("%s <%s >%s", u, hint.Quote(w.File), hint.Quote(strings.TrimSuffix(w.File, "."+ext)))
			}
		}
		return "unpack it: gzip -dc <" + hint.Quote(w.File) + " >FILE, or bzip2, xz, zstd"
	case chain.Appended:
		return "the rest of it is hidden from every tool; with tar: tar -tvif " + hint.Quote(w.File)
	case chain.EscapedName:
		return "it is restored inside the target, under the escaped name"
	case chain.SizeMismatch:
		return fmt.Sprintf("check the file: snapfs bolt check %s %s", snap, hint.Quote(path.Join(space.Control, "layers", l.Name, w.Name)))
	case chain.BadManifest, chain.NoManifest:
		return "what the tar holds is used all the same: snapfs ls -lR " + hint.Quote(w.File)
	}
	return ""
}

// rest returns how to get what other layers than a damaged one hold.
func (e *exam) rest(l *chain.Layer) string {
	snap := hint.Quote(e.report.Path)
	if p := e.before(l); p != "" {
		return fmt.Sprintf("the state before it is there: snapfs restore %s --at %s --target DIR", snap, p)
	}
	return fmt.Sprintf("all that is there can be had: snapfs restore %s --target DIR", snap)
}

// offset returns where in a tar something is wrong.
func offset(err error) int64 {
	var t *tarindex.Error
	if errors.As(err, &t) {
		return t.Offset
	}
	return -1
}

// meta returns the metadata of a layer, nil if there are none that can be read.
func (e *exam) meta(l *chain.Layer) (*influx.Meta, error) {
	if l.Index() == nil {
		return nil, fs.ErrNotExist
	}
	return e.tree.LayerMeta(l)
}
