package main

import (
	"archive/tar"
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"
	"unicode/utf8"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/names"
)

type boltInspectCmd struct {
	bucketFlag
	boltArgs
}

func (boltInspectCmd) Help() string {
	return `Each bucket is {"name": …, "keyN": number of its values, "buckets": […]}, as bbolt inspect prints it. A name that is
no UTF-8 is percent-encoded, and stands in "name_hex" as well.

Examples:
  snapfs bolt inspect /tmp/snap telemetry/default/1
  snapfs bolt inspect shard.db wal`
}

// structure is a bucket as inspect prints it.
type structure struct {
	Name    string       `json:"name"`
	Hex     string       `json:"name_hex,omitempty"`
	KeyN    int64        `json:"keyN"`
	Buckets []*structure `json:"buckets,omitempty"`
}

func newStructure(name []byte) *structure {
	if !utf8.Valid(name) {
		return &structure{Name: names.Key(name), Hex: hex.EncodeToString(name)}
	}
	return &structure{Name: string(name)}
}

func (c *boltInspectCmd) Run(a *App) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := f.bucket(f.rest, c.bucketFlag)
	if err != nil {
		return err
	}
	root := newStructure([]byte("root"))
	if len(f.rest) > 0 {
		root = newStructure(b.Name())
	}
	d := damage{app: a}
	path := []*structure{root}
	for n, err := range b.Walk(nil) {
		if err == nil {
			err = a.ctx.Err()
		}
		if err != nil {
			if err := d.met(err); err != nil {
				return err
			}
			continue
		}
		in := path[n.Depth]
		if n.Bucket == nil {
			in.KeyN++
			continue
		}
		sub := newStructure(n.Key)
		in.Buckets = append(in.Buckets, sub)
		path = append(path[:n.Depth+1], sub)
	}
	e := json.NewEncoder(a.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	if err := e.Encode(root); err != nil {
		return err
	}
	return d.err()
}

type boltExportCmd struct {
	Tar bool `help:"A tar: buckets are directories, keys are files, named as in the mount."`
	parseFlag
	bucketFlag
	rangeFlags
	boltArgs
}

func (boltExportCmd) Help() string {
	return `Writes the bucket that is named, or all of the file, with the buckets inside. As JSON Lines, each bucket is a
line with "type":"bucket" and its sequence, each key a line with "type":"value" and the value; both have the buckets
they are in, from the outermost inwards. --prefix, --from, --to are for the keys of the bucket that is named;
--limit counts lines.

In a tar, files have the time of the Bolt file. Where a name is not the key itself, the key is in the extended
attribute user.snapfs.key.

Examples:
  snapfs bolt export /tmp/snap telemetry/default/1 fields | jq .key
  snapfs bolt export --tar shard.db | tar -tv
  snapfs bolt export --tar --parse-format time --from 2015-11-01T00:00:00Z shard.db cpu,host=alpha > points.tar`
}

// exporter writes what a walk finds.
type exporter interface {
	write(n boltview.Node) error
	Close() error
}

func (c *boltExportCmd) Run(a *App) error {
	keys, err := c.keys(c.parseFlag)
	if err != nil {
		return err
	}
	f, err := c.file(a)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := f.bucket(f.rest, c.bucketFlag)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(a.Stdout, 64<<10)
	var e exporter = &lineExporter{app: &App{Stdout: out}}
	if c.Tar {
		if e, err = newTarExporter(out, f, b); err != nil {
			return err
		}
	}
	d := damage{app: a}
	err = c.export(a, b, keys, e, &d)
	// What was written before an error is whole lines or members.
	if cerr := e.Close(); err == nil {
		err = cerr
	}
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	if err == nil {
		err = d.err()
	}
	return err
}

func (c *boltExportCmd) export(a *App, b *boltview.Bucket, keys keyRange, e exporter, d *damage) error {
	var n int64
	for node, err := range b.Walk(keys.From) {
		if err == nil {
			err = a.ctx.Err()
		}
		if err != nil {
			if err := d.met(err); err != nil {
				return err
			}
			continue
		}
		if node.Depth == 0 && keys.past(node.Key) || c.Limit > 0 && n == c.Limit {
			return nil
		}
		n++
		if err := e.write(node); err != nil {
			return err
		}
	}
	return nil
}

// exported is a line of export.
type exported struct {
	Buckets    []string `json:"buckets"` // named as in the mount
	BucketsHex []string `json:"buckets_hex"`
	jsonKey
	Type     string  `json:"type"` // bucket, value
	Sequence *uint64 `json:"sequence,omitempty"`
	*jsonValue
}

// lineExporter writes JSON Lines.
type lineExporter struct {
	app *App
	in  *boltview.Bucket // of the last line
	exported
}

func (e *lineExporter) write(n boltview.Node) error {
	if n.In != e.in {
		e.in, e.Buckets, e.BucketsHex = n.In, []string{}, []string{}
		for _, key := range n.In.Path() {
			e.Buckets = append(e.Buckets, names.Key(key))
			e.BucketsHex = append(e.BucketsHex, hex.EncodeToString(key))
		}
	}
	e.jsonKey, e.Type, e.Sequence, e.jsonValue = newJSONKey(n.Key), "value", nil, nil
	if n.Bucket != nil {
		seq := n.Bucket.Sequence()
		e.Type, e.Sequence = "bucket", &seq
		return e.app.printLine(e.exported)
	}
	v, err := n.Value()
	if err != nil {
		return err
	}
	e.jsonValue = newJSONValue(v)
	return e.app.printLine(e.exported)
}

func (e *lineExporter) Close() error { return nil }

// keyRecord is the PAX record that tar(1) restores as the extended attribute
// user.snapfs.key.
const keyRecord = "SCHILY.xattr.user.snapfs.key"

// tarExporter writes a tar.
type tarExporter struct {
	*tar.Writer
	time time.Time
	in   *boltview.Bucket // of the last member
	dir  string           // that it is in
}

// newTarExporter begins with the directories down to b.
func newTarExporter(w io.Writer, f *boltFile, b *boltview.Bucket) (*tarExporter, error) {
	fi, err := fs.Stat(f.tree, f.name)
	if err != nil {
		return nil, err
	}
	e := &tarExporter{Writer: tar.NewWriter(w), time: fi.ModTime().Truncate(time.Second)}
	for _, key := range b.Path() {
		if err := e.header(key, true, 0); err != nil {
			return nil, err
		}
		e.dir = path.Join(e.dir, names.Key(key))
	}
	e.in = b
	return e, nil
}

func (e *tarExporter) header(key []byte, dir bool, size int64) error {
	name := names.Key(key)
	h := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(e.dir, name), Mode: 0o644, Size: size, ModTime: e.time}
	if dir {
		h.Typeflag, h.Mode, h.Size = tar.TypeDir, 0o755, 0
		h.Name += "/"
	}
	if name != string(key) {
		h.Format = tar.FormatPAX
		h.PAXRecords = map[string]string{keyRecord: string(key)}
	}
	if err := e.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

func (e *tarExporter) write(n boltview.Node) error {
	if n.In != e.in {
		e.in, e.dir = n.In, ""
		for _, key := range n.In.Path() {
			e.dir = path.Join(e.dir, names.Key(key))
		}
	}
	if err := e.header(n.Key, n.Bucket != nil, n.Size()); err != nil || n.Bucket != nil {
		return err
	}
	if _, err := io.Copy(e, n.Open()); err != nil {
		return fmt.Errorf("%s: %w", path.Join(e.dir, names.Key(n.Key)), err)
	}
	return nil
}
