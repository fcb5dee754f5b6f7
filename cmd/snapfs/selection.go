package main

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/serverdir"
	"github.com/snapfs/snapfs/space"
)

// selection says which paths of a tree belong to selected shards, or to none.
type selection struct {
	all   bool
	paths map[string]bool // with the directories on the way
}

// has reports whether a path is selected.
func (s selection) has(p string) bool { return s.all || s.paths[p] }

// selection goes through a tree. meta are its metadata, nil if there are none. It
// is an error to select nothing.
func (f shardFlags) selection(src fs.FS, meta *influx.Meta) (selection, error) {
	filter, err := f.filter()
	if err != nil || f.all() {
		return selection{all: true}, err
	}
	known := map[string]*dataset.Shard{}
	if t, ok := src.(*space.Tree); ok && t.View() != nil {
		for _, sh := range t.Data().Shards() {
			known[sh.Path] = sh
		}
	}
	s := selection{paths: map[string]bool{}}
	some := knows(meta, filter, f.Shard)
	err = fs.WalkDir(src, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if p == space.Control {
				return fs.SkipDir
			}
			return err
		}
		db, rp, id, ok := shardOf(p, meta)
		if sh := known[p]; sh != nil {
			db, rp, id, ok = sh.Database, sh.Policy, sh.ID, true
		}
		if ok && (!filter.Names(db, rp) || len(f.Shard) > 0 && !slices.Contains(f.Shard, id)) {
			return nil
		}
		some = some || ok
		for ; p != "." && !s.paths[p]; p = path.Dir(p) {
			s.paths[p] = true
		}
		return nil
	})
	if err == nil && !some {
		err = usageError(hint.Wrap(errors.New("--db, --rp and --shard select nothing"), "snapfs databases and snapfs info --shards tell what there is"))
	}
	return s, err
}

// knows reports whether metadata know a policy that is selected, with or without
// shards.
func knows(meta *influx.Meta, filter dataset.Filter, shards []uint64) bool {
	if meta == nil || len(shards) > 0 {
		return false
	}
	return slices.ContainsFunc(meta.Databases, func(d influx.Database) bool {
		return slices.ContainsFunc(d.Policies, func(p influx.Policy) bool { return filter.Names(d.Name, p.Name) })
	})
}

// shardOf tells by its path where a shard belongs, in a tree that is a copy of a
// snapshot. ok is false for other files.
func shardOf(p string, meta *influx.Meta) (db, rp string, id uint64, ok bool) {
	dir, base := path.Split(p)
	id, err := strconv.ParseUint(base, 10, 64)
	if err != nil || dir == "" {
		return "", "", 0, false
	}
	db, rp = dataset.SplitPath(p)
	if meta == nil {
		return db, rp, id, true
	}
	place, known := meta.Shard(id)
	if known && (meta.Format == influx.MetaBolt || path.Join(place.Database.Name, place.Policy.Name, base) == p) {
		db, rp = place.Database.Name, place.Policy.Name
	}
	return db, rp, id, true
}

// pruning returns what metadata are to know so that they fit the selection.
func (f shardFlags) pruning() (serverdir.Pruning, error) {
	filter, err := f.filter()
	p := serverdir.Pruning{
		Database: func(name string) bool { return dataset.Filter{Database: filter.Database}.Names(name, "") },
		Policy:   filter.Names,
	}
	if len(f.Shard) > 0 {
		p.Shard = func(id uint64) bool { return slices.Contains(f.Shard, id) }
	}
	return p, err
}
