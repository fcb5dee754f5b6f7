package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/names"
	"github.com/snapfs/snapfs/serverdir"
)

// tellServer says what whoever starts a server from a snapshot had better know.
// data is the tree of the data directory.
func (c *restoreCmd) tellServer(a *App, data fs.FS, meta *influx.Meta, conf serverdir.Config) {
	if n := ghosts(data); n > 0 && !c.Quiet {
		a.warn("%s restored that the server had dropped: it will not know of them; --ghosts hide leaves them out, snapfs export --ghosts only has their points", plural(int64(n), "shard"))
	}
	outside := names.Element("..")
	_ = fs.WalkDir(data, outside, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			a.warn("..%s: the server had it outside of its data directory, and does not look for it where it becomes %s", strings.TrimPrefix(p, outside), filepath.Join(conf.DataDir, p))
		}
		return nil
	})
	if n := len(meta.Nodes); n > 1 {
		a.warn("the metadata know a cluster of %d servers, of which a snapshot holds the shards of one; restored is a server that is alone", n)
	}
	if len(conf.Peers) > 0 {
		a.warn("[meta] peers names %s: take it out, the restored server is alone", strings.Join(conf.Peers, ", "))
	}
	for _, dir := range conf.Others {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			a.warn("%s holds writes of the server that was there, which the restored one would take for its own: move it away", dir)
		}
	}
}

// ghosts counts the shards in a tree that are marked as dropped.
func ghosts(tree fs.FS) (n int) {
	_ = fs.WalkDir(tree, ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if fi, err := d.Info(); err == nil {
			for name := range attr.All(fi) {
				if name == "ghost" {
					n++
				}
			}
		}
		return nil
	})
	return n
}
