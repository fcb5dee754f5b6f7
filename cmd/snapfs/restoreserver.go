package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"

	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/repair"
	"github.com/snapfs/snapfs/serverdir"
	"github.com/snapfs/snapfs/space"
)

// serverFlags say where an old server has its directories, and how it is
// called.
type serverFlags struct {
	Config      string `placeholder:"FILE" predictor:"file" help:"Make the directories of an InfluxDB 0.9 server, as its influxdb.conf names them."`
	DataDir     string `placeholder:"DIR" predictor:"dir" help:"The same without a file, or instead of what is in it: [data] dir."`
	MetaDir     string `placeholder:"DIR" predictor:"dir" help:"[meta] dir, of a final release."`
	BrokerDir   string `placeholder:"DIR" predictor:"dir" help:"[broker] dir, of a release candidate."`
	NodeAddress string `default:"auto" placeholder:"ADDR" help:"What the server takes for its own address: ip for its host name resolved (up to 0.9.2), name for the host name as configured (from 0.9.3 on), auto for what the snapshot's server did, or HOST:PORT."`
	IgnorePorts bool   `help:"Go on if something answers on the ports of the server."`
}

// server reports whether the directories of a server are wanted.
func (f serverFlags) server() bool {
	return f.Config != "" || f.DataDir != "" || f.MetaDir != "" || f.BrokerDir != ""
}

// metadata are those that a snapshot is restored with.
type metadata struct {
	*influx.Meta
	// raw is the file, if it is not that of the tree: of an older layer, or
	// pruned.
	raw   []byte
	stale string // layer that they are of, if that of the point knows nothing
}

// tell says that the metadata are not those of the point.
func (m metadata) tell(a *App) {
	if m.stale != "" {
		a.warn("the metadata of this point know nothing, as those of a backup right after the start of a server: those of layer %s are taken", m.stale)
	}
}

// metadata finds the metadata of a tree: the newest that know anything. There
// are none without an error if the tree has no such file.
func (c *restoreCmd) metadata(a *App, src *restoreSource) (m metadata, err error) {
	file := src.tree
	if t := src.snap; t != nil {
		if t.View() == nil {
			return m, nil
		}
		found, err := t.MetaAt(t.View().Point())
		if errors.Is(err, fs.ErrNotExist) {
			return m, nil
		}
		if err != nil {
			return m, err
		}
		if found.Stale {
			m.stale = found.Layer.Name
			file = t.Chain().LayerView(found.Layer)
			if m.raw, err = fs.ReadFile(file, "meta"); err != nil {
				return m, err
			}
		}
	}
	prune := c.Meta == "prune"
	err = withReader(file, "meta", func(r io.ReaderAt, size int64) error {
		if m.Meta, err = influx.OpenMeta(r, size); err != nil || !prune {
			return err
		}
		p, err := c.pruning()
		if err != nil {
			return err
		}
		if m.Format == influx.MetaBolt {
			m.raw, err = p.BoltMeta(a.ctx, r, size)
			return err
		}
		b := make([]byte, size)
		if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
			return err
		}
		m.raw, err = p.Meta(b)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return metadata{}, nil
	}
	return m, err
}

// withReader opens a file of a tree for do.
func withReader(fsys fs.FS, name string, do func(r io.ReaderAt, size int64) error) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	r, ok := f.(io.ReaderAt)
	if !ok || !fi.Mode().IsRegular() {
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return do(r, fi.Size())
}

// aims returns the directories that are to be restored, the one with the files
// of the snapshot first, and for a server its address.
func (c *restoreCmd) aims(a *App, src *restoreSource, tmp *repairs) ([]aim, string, error) {
	keep := func(p string, e fs.DirEntry) bool { return p != space.Control && src.wants(p, e) }
	if !c.server() && c.all() {
		return []aim{{dir: c.Target, tree: src.tree, keep: keep}}, "", nil
	}
	meta, err := c.metadata(a, src)
	if err != nil {
		return nil, "", err
	}
	sel, err := c.selection(src.tree, meta.Meta)
	if err != nil {
		return nil, "", err
	}
	selected := func(p string, e fs.DirEntry) bool { return sel.has(p) && keep(p, e) }
	if c.server() {
		return c.serverAims(a, src, meta, selected)
	}
	at := aim{dir: c.Target, tree: src.tree, keep: selected}
	if meta.raw != nil && c.Meta == "prune" {
		meta.tell(a)
		name, err := tmp.file("meta", meta.raw)
		if err != nil {
			return nil, "", err
		}
		if at.tree, err = repair.Overlay(src.tree, map[string]string{"meta": name}); err != nil {
			return nil, "", err
		}
	}
	return []aim{at}, "", nil
}

// serverAims returns the directories of a server, and its address.
func (c *restoreCmd) serverAims(a *App, src *restoreSource, meta metadata, keep func(string, fs.DirEntry) bool) ([]aim, string, error) {
	if meta.Meta == nil {
		return nil, "", &codeError{hint.Wrap(fmt.Errorf("%s: no metadata, which a server needs", c.Snap), "restore the files alone: --target DIR"), exitNotSnapshot}
	}
	meta.tell(a)
	conf, addr, err := c.serverConfig(src.tree, meta)
	if err != nil {
		return nil, "", err
	}
	if err := unlocked(a, conf.DataDir, conf.MetaDir); err != nil {
		return nil, "", err
	}
	if err := c.silent(a, conf); err != nil {
		return nil, "", err
	}
	from := serverdir.Source{Tree: src.tree, Meta: meta.raw, Keep: keep}
	build := from.Release
	if conf.Candidate {
		build = from.Candidate
	}
	data, store, err := build(addr)
	if err != nil {
		return nil, "", err
	}
	c.tellServer(a, data, meta.Meta, conf)
	if c.Mode == 0 {
		c.Mode = 0o600
	}
	if c.DirMode == 0 {
		c.DirMode = 0o700
	}
	return []aim{{dir: conf.DataDir, tree: data}, {dir: conf.MetaDir, tree: store, made: true}}, addr, nil
}

// dirs returns the directories that are restored, without a look at the
// snapshot.
func (c *restoreCmd) dirs() ([]string, error) {
	if !c.server() {
		return []string{c.Target}, nil
	}
	var conf serverdir.Config
	if c.Config != "" {
		var err error
		if conf, err = serverdir.ReadConfig(c.Config); err != nil {
			return nil, usageError(err)
		}
	}
	conf = c.override(conf)
	if err := conf.Check(); err != nil {
		return nil, usageError(err)
	}
	return []string{conf.DataDir, conf.MetaDir}, nil
}

// override returns a configuration with the directories of the flags.
func (f serverFlags) override(conf serverdir.Config) serverdir.Config {
	conf.DataDir = cmp.Or(f.DataDir, conf.DataDir)
	conf.MetaDir = cmp.Or(f.MetaDir, f.BrokerDir, conf.MetaDir)
	return conf
}

// serverConfig returns the configuration of the server, and its address.
func (c *restoreCmd) serverConfig(src fs.FS, meta metadata) (conf serverdir.Config, addr string, err error) {
	candidate := meta.Format == influx.MetaBolt
	conf = serverdir.DefaultConfig(candidate)
	if c.Config != "" {
		if conf, err = serverdir.ReadConfig(c.Config); err != nil {
			return conf, "", usageError(err)
		}
		if conf.Candidate != candidate {
			err := fmt.Errorf("%s is for a %s, and the snapshot is of a %s", c.Config, generation(conf.Candidate), generation(candidate))
			return conf, "", usageError(hint.Wrap(err, "name the directories: %s and --data-dir", storeFlag(candidate)))
		}
	}
	if other := map[bool]string{false: c.BrokerDir, true: c.MetaDir}[candidate]; other != "" {
		return conf, "", usageError(fmt.Errorf("%s: the snapshot is of a %s, which has no such directory", storeFlag(!candidate), generation(candidate)))
	}
	conf = c.override(conf)
	if err := conf.Check(); err != nil {
		return conf, "", usageError(err)
	}
	addr, err = c.address(src, meta, conf)
	return conf, addr, err
}

// address returns the address of the server, as --node-address wants it.
func (c *restoreCmd) address(src fs.FS, meta metadata, conf serverdir.Config) (string, error) {
	naming := serverdir.Name
	switch c.NodeAddress {
	case "ip":
		naming = serverdir.IP
	case "name":
	case "auto":
		if conf.Candidate {
			break
		}
		raw := meta.raw
		if raw == nil {
			var err error
			if raw, err = fs.ReadFile(src, "meta"); err != nil {
				return "", err
			}
		}
		naming = serverdir.NamingOf(raw)
	default:
		if _, _, err := net.SplitHostPort(c.NodeAddress); err != nil {
			return "", usageError(fmt.Errorf("--node-address %q: none of auto, ip, name, HOST:PORT", c.NodeAddress))
		}
		conf.Host, conf.Port, _ = net.SplitHostPort(c.NodeAddress)
	}
	addr, err := conf.Address(naming)
	if err != nil {
		return "", usageError(err)
	}
	return addr, nil
}

// generation names the servers that a snapshot or a configuration is of.
func generation(candidate bool) string {
	if candidate {
		return "release candidate"
	}
	return "final release"
}

// storeFlag is the flag for the directory beside the data.
func storeFlag(candidate bool) string {
	if candidate {
		return "--broker-dir"
	}
	return "--meta-dir"
}

// unlocked makes sure that no server uses the directories.
func unlocked(a *App, dirs ...string) error {
	err := serverdir.Locked(a.ctx, dirs...)
	if errors.Is(err, serverdir.ErrRunning) {
		return &codeError{hint.Wrap(err, "stop it first"), exitConflict}
	}
	return err
}

// silent makes sure that no server is where the one is going to be that the
// directories are for.
func (c *restoreCmd) silent(a *App, conf serverdir.Config) error {
	if c.IgnorePorts {
		return nil
	}
	err := conf.Answering(a.ctx)
	if errors.Is(err, serverdir.ErrRunning) {
		return &codeError{hint.Wrap(err, "stop it first, or --ignore-ports if it does not use these directories"), exitConflict}
	}
	return err
}
