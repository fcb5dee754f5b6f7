package main

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

type boltCmd struct {
	Info    boltInfoCmd    `cmd:"" help:"Tell what a Bolt file says of itself, and how it is read."`
	Buckets boltBucketsCmd `cmd:"" help:"List the buckets of a file or bucket."`
	Keys    boltKeysCmd    `cmd:"" help:"List the keys of a bucket."`
	Get     boltGetCmd     `cmd:"" help:"Write the value of a key."`
	Stats   boltStatsCmd   `cmd:"" help:"Count pages, keys, levels and bytes."`
	Check   boltCheckCmd   `cmd:"" help:"Go through a whole file and list what is wrong with it."`
	Pages   boltPagesCmd   `cmd:"" help:"List the pages of a file."`
	Page    boltPageCmd    `cmd:"" help:"Show what is in a page."`
	Inspect boltInspectCmd `cmd:"" help:"Print the tree of buckets as JSON."`
	Dump    boltDumpCmd    `cmd:"" help:"Print pages in hexadecimal digits."`
	Export  boltExportCmd  `cmd:"" help:"Write a bucket and all in it as JSON Lines, or as a tar."`
	Repair  boltRepairCmd  `cmd:"" help:"Write a new, sound file with all that can be read."`
}

func (boltCmd) Help() string {
	return `The commands are those of the bbolt program, but read in place, inside of a tar too, and survive files that
bbolt does not.

FILE is a path in the snapshot, such as telemetry/default/1; leave it out if SNAP is a Bolt file itself. What
follows are buckets, from the outermost inwards. How they and keys are written is up to --parse-format:
  text   as they are            ascii  quoted as in Go: \x00, \t, \u00e9      hex   hexadecimal digits
  be64   a number: 8 bytes      time   a time in RFC 3339: 8 bytes            name  as in the mount: %2F
and --format says how keys and values are printed:
  auto   text if printable, else hex            ascii     quoted as in Go, in ASCII
  hex    hexadecimal digits                     bytes     as they are
  be64   8 bytes as a number, else 0x… in hex   time      8 bytes as nanoseconds since 1970, else 0x…
  json   a JSON string if UTF-8, else {"hex":…} redacted  length and SHA-256 only
ascii-encoded is as bbolt has it: quoted to print, plain to read.

With --json each key is {"key": text if it is printable, "key_hex": always, …}, and each value the same with
"value" and "value_base64"; see docs/json.md.

Torn files are read by the newest tree that is whole; --meta chooses another, and info tells which and why.

Examples:
  snapfs bolt buckets /tmp/snap telemetry/default/1
  snapfs bolt keys --format time --limit 3 /tmp/snap telemetry/default/1 cpu,host=alpha
  snapfs bolt get --format json shard.db fields cpu
  snapfs bolt keys --format time --parse-format time --from 2015-11-01T00:00:00Z shard.db cpu,host=alpha
  snapfs bolt check /tmp/snap
  snapfs bolt export --tar shard.db | tar -t`
}

// boltArgs names a Bolt file within a snapshot, and something in it.
type boltArgs struct {
	atFlag
	Meta boltview.Meta `default:"auto" placeholder:"META" help:"Which tree to read: auto, that of meta page 0 or 1, or salvage, the best that a search through all pages finds."`
	snapArg
	Path []string `arg:"" optional:"" help:"The Bolt file in the snapshot (not if SNAP is a Bolt file itself), then what is asked for in it."`
}

// boltFile is an open Bolt file.
type boltFile struct {
	*boltview.DB
	tree *space.Tree
	name string   // in the tree
	path string   // as messages name it
	rest []string // arguments behind the file
}

func (f *boltFile) Close() error { return f.tree.Close() }

// tree opens the snapshot.
func (c *boltArgs) tree() (*space.Tree, error) {
	return c.open(space.Options{At: c.At, Bolt: boltview.Options{Meta: c.Meta}})
}

// file opens the Bolt file that the arguments name, which is to be closed, and
// says so if it is torn.
func (c *boltArgs) file(a *App) (f *boltFile, err error) {
	t, err := c.tree()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	f = &boltFile{tree: t, name: ".", path: c.Snap, rest: c.Path}
	if t.Chain() != nil {
		if len(c.Path) == 0 {
			return nil, &codeError{hint.Wrap(errors.New("which Bolt file?"), "snapfs ls -R %s lists the files; each shard is one", hint.Quote(c.Snap)), exitUsage}
		}
		if f.name, err = boltName(c.Path[0]); err != nil {
			return nil, err
		}
		f.path, f.rest = path.Join(c.Snap, f.name), c.Path[1:]
	}
	if f.DB, err = t.Bolt(f.name); err != nil {
		return nil, err
	}
	if i := f.Info(); i.Class != "" && i.Class != boltview.ClassA {
		a.warn("%s is damaged, class %s; read by %s", f.path, i.Class, usedTree(i))
	}
	return f, nil
}

// boltName turns the path of a Bolt file as a user types it into one of the
// tree. The place of the file among the trees of Bolt files is as good.
func boltName(arg string) (string, error) {
	name, err := clean(arg)
	if inner, ok := strings.CutPrefix(name, space.Control+"/bolt/"); ok {
		name = inner
	}
	return name, err
}

// usedTree says which tree of a file is read, and why.
func usedTree(i boltview.Info) string {
	if i.Meta < 0 {
		return fmt.Sprintf("page %d: %s", i.Root, i.Why)
	}
	return fmt.Sprintf("meta %d: %s", i.Meta, i.Why)
}

// warn tells about something that is no error.
func (a *App) warn(format string, args ...any) {
	fmt.Fprintf(a.Stderr, "snapfs: warning: %s\n", printable(fmt.Sprintf(format, args...)))
}

// bucket finds the bucket that args name.
func (f *boltFile) bucket(args []string, format bucketFlag) (*boltview.Bucket, error) {
	b := f.Root()
	for _, arg := range args {
		key, err := parseKey(format.BucketFormat, arg)
		if err != nil {
			return nil, err
		}
		if b, err = b.Bucket(key); err != nil {
			return nil, fmt.Errorf("%s: bucket %q: %w", f.path, arg, err)
		}
	}
	return b, nil
}

// damage collects the damage that a command met on its way, and goes on after.
type damage struct {
	app   *App
	first error
}

// met reports err, unless it is one to stop at: then it is returned.
func (d *damage) met(err error) error {
	if !errors.Is(err, boltview.ErrCorrupt) {
		return err
	}
	d.app.complain(err)
	if d.first == nil {
		d.first = err
	}
	return nil
}

// err returns the end of a command.
func (d *damage) err() error {
	if d.first == nil {
		return nil
	}
	return &codeError{nil, exitDamage}
}
