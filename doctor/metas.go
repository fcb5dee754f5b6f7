package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/hint"
)

const metaName = "meta"

// metas compares the metadata of the layers: a server keeps the number of its
// cluster, and the index of its raft log only grows.
func (e *exam) metas() {
	if e.report.Dialect == chain.Unknown {
		return
	}
	var known, before *influx.Meta
	var in, last *chain.Layer
	any := false
	for _, l := range e.layers {
		m, err := e.meta(l)
		switch _, lost := e.damaged[copyOf{l.Name, metaName}]; {
		case errors.Is(err, fs.ErrNotExist), err != nil && lost:
			continue
		case err != nil:
			e.add(BadMeta, l, metaName, "snapfs info "+hint.Quote(e.report.Path)+" tells by which metadata the shards are read", "the metadata cannot be decoded: %v", err)
			e.lose(l, metaName, BadMeta, "cannot be decoded")
			continue
		case m.Empty():
			e.add(EmptyMeta, l, metaName, "", "the metadata know nothing, as in a backup right after the start of a server; older ones are used")
			continue
		}
		any = true
		if known == nil && m.ClusterID != 0 {
			known, in = m, l
			e.report.Server = fmt.Sprint(m.ClusterID)
		}
		todo := "it is of another server, or of another chain of this one; look at it by itself: snapfs info " + hint.Quote(l.Path)
		switch {
		case known != nil && m.ClusterID != known.ClusterID:
			e.add(ForeignLayer, l, metaName, todo, "the layer is of the cluster %d, layer %s of the cluster %d", m.ClusterID, in.Name, known.ClusterID)
			e.refused[l.Name] = "layer " + l.Name + " is of another server"
			continue
		case before != nil && m.Index < before.Index:
			e.add(ForeignLayer, l, metaName, todo, "the metadata have the index %d, those of layer %s already had %d: the layer is older, or of another server", m.Index, last.Name, before.Index)
			e.refused[l.Name] = "layer " + l.Name + " is older than layer " + last.Name + ", or of another server"
			continue
		}
		before, last = m, l
	}
	switch {
	case any:
	case e.others():
		e.other = true
		e.add(NoInfluxDB, nil, "", "look into it: snapfs browse "+hint.Quote(e.report.Path), "no metadata and no shards of InfluxDB: Bolt files of another program")
	default:
		e.add(NoMeta, nil, metaName, "snapfs ls -lR "+hint.Quote(e.report.Path)+"; where shards belong is taken from their paths",
			"no layer holds metadata that can be read: databases, policies and users are lost")
	}
}

// others reports whether a chain is that of another program: no layer ever had
// metadata, and no file that is there is a shard by its buckets.
func (e *exam) others() bool {
	for _, l := range e.layers {
		if !l.HasManifest || slices.ContainsFunc(l.Manifest().Files, func(f chain.ManifestFile) bool { return f.Name == metaName }) {
			return false
		}
	}
	for _, l := range e.layers {
		v := e.tree.Chain().LayerView(l)
		for f := range v.Files() {
			if e.ctx.Err() != nil || f.Name == metaName || isShard(v, f) {
				return false
			}
		}
	}
	return true
}

// isShard reports whether a file can be read and is a shard of any engine.
func isShard(v *chain.View, f chain.File) bool {
	file, err := v.Open(v.TreePath(f))
	if err != nil {
		return false
	}
	defer file.Close()
	r, ok := file.(io.ReaderAt)
	if !ok {
		return false
	}
	_, err = influx.DetectEngine(r, f.Size)
	return err == nil
}

// entries looks for files of incrementals that are no newer than what the layers
// before hold. A server that was asked for what has changed does not send them.
func (e *exam) entries() error {
	if e.report.Dialect == chain.Unknown {
		return nil
	}
	type copied struct {
		chain.ManifestFile
		layer *chain.Layer
	}
	newest := map[string]copied{} // of the layers so far, by the rule of the merge
	for i, l := range e.layers {
		if errors.Is(l.Err, chain.ErrBroken) {
			return nil // from here on ages cannot be compared
		}
		var stale []string
		files := l.Manifest().Files
		for _, f := range files {
			if err := e.ctx.Err(); err != nil {
				return err
			}
			old, ok := newest[f.Name]
			switch {
			case !ok || f.Stamp.Newer(old.Stamp):
				newest[f.Name] = copied{f, l}
			case i == 0 || old.layer == l: // listed twice
			case old.Stamp.Newer(f.Stamp):
				stale = append(stale, f.Name)
			default:
				if err := e.tie(l, old.layer, f.Name); err != nil {
					return err
				}
			}
		}
		if len(stale) > 0 {
			todo := "it was made for another chain, or renamed; look at it by itself: snapfs info " + hint.Quote(l.Path)
			e.add(StaleEntry, l, stale[0], todo, "%d of its %d files are older than those of the layers before it, so that it does not belong here: %s", len(stale), len(files), few(stale))
		}
	}
	return nil
}

// tie tells of copies of one age in two layers.
func (e *exam) tie(l, earlier *chain.Layer, name string) error {
	same, err := e.same(l, earlier, name)
	if err != nil {
		return err
	}
	t := e.add(Tie, l, name, fmt.Sprintf("the later copy can be had: snapfs cat %s %s >FILE", hint.Quote(e.report.Path), hint.Quote(path.Join(".snapfs/layers", l.Name, name))),
		"%q is as old as the copy of layer %s, which counts", name, earlier.Name)
	if same {
		t.Level, t.Hint = Note, ""
		t.Text += "; both are the same"
	}
	return nil
}

// same reports whether two layers have the same bytes of a file.
func (e *exam) same(a, b *chain.Layer, name string) (bool, error) {
	x, y := e.open(a, name), e.open(b, name)
	if x == nil || y == nil {
		return false, nil
	}
	defer x.Close()
	defer y.Close()
	var p, q [64 << 10]byte
	for {
		if err := e.ctx.Err(); err != nil {
			return false, err
		}
		n, xerr := io.ReadFull(x, p[:])
		m, yerr := io.ReadFull(y, q[:])
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		if xerr != nil || yerr != nil {
			return ended(xerr) && ended(yerr), nil
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// open opens a file of a layer, nil if that cannot be.
func (e *exam) open(l *chain.Layer, name string) fs.File {
	copies, ok := e.copies[l]
	if !ok {
		copies = copiesOf{e.tree.Chain().LayerView(l), map[string]chain.File{}}
		for f := range copies.view.Files() {
			if _, ok := copies.files[f.Name]; !ok {
				copies.files[f.Name] = f
			}
		}
		if e.copies == nil {
			e.copies = map[*chain.Layer]copiesOf{}
		}
		e.copies[l] = copies
	}
	f, ok := copies.files[name]
	if !ok {
		return nil
	}
	file, err := copies.view.Open(copies.view.TreePath(f))
	if err != nil {
		return nil
	}
	return file
}

// copiesOf are the files of a layer by name.
type copiesOf struct {
	view  *chain.View
	files map[string]chain.File
}

// dropped tells of ghosts, and of shards that are known and not there.
func (e *exam) dropped() {
	if e.report.Dialect == chain.Unknown {
		return
	}
	var ghosts []string
	for f := range e.tree.View().Files() {
		if f.Ghost != "" {
			ghosts = append(ghosts, f.Path)
		}
	}
	snap := hint.Quote(e.report.Path)
	if len(ghosts) > 0 {
		e.add(Ghost, nil, ghosts[0], "to bring them back: snapfs restore --ghosts only "+snap+" --target DIR", "shards that the server had dropped are still there: %d, %s", len(ghosts), few(ghosts))
	}
	newest := e.tree.View().Point()
	m, err := e.tree.MetaAt(newest)
	if err != nil {
		return // then no shard is known
	}
	nodes := len(m.Nodes)
	var lost, early []string
	for _, s := range e.tree.Data().Lost() {
		name := strings.TrimPrefix(fmt.Sprintf("%s/%s/%d", s.Database, s.Policy, s.ID), "/")
		// Servers made the next group before its time began, and a cluster keeps
		// some shards on other nodes.
		if t := m.Layer.Time; nodes > 1 || !t.IsZero() && s.Start.After(t) {
			early = append(early, name)
			continue
		}
		lost = append(lost, name)
		e.holes = append(e.holes, hole{newest.Name, Loss{Path: name, Layer: m.Layer.Name, Code: LostShard, Text: "known to the metadata, and in no layer"}})
	}
	if len(early) > 0 {
		e.add(Precreated, nil, early[0], "", "shards of the metadata that are in no layer, made in advance or kept by another node: %d, %s", len(early), few(early))
	}
	if len(lost) > 0 {
		e.add(LostShard, nil, lost[0], "a layer may be missing: snapfs points "+snap+"; or the shard was never written to",
			"shards that the metadata know are in no layer: %d, %s", len(lost), few(lost))
	}
}
