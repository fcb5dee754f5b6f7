package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"unicode"
	"unicode/utf8"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/names"
	"github.com/snapfs/snapfs/space"
)

type boltCmd struct {
	Buckets boltBucketsCmd `cmd:"" help:"List the buckets of a file or bucket."`
	Keys    boltKeysCmd    `cmd:"" help:"List the keys of a bucket."`
	Get     boltGetCmd     `cmd:"" help:"Write the value of a key."`
}

func (boltCmd) Help() string {
	return `Names of buckets and keys are as they are in the file; with --parse-format name as in the mount, with
percent signs for what is not plain; with --parse-format hex in hexadecimal digits.

Examples:
  snapfs bolt buckets /tmp/snap telemetry/default/1
  snapfs bolt keys --format hex /tmp/snap telemetry/default/1 cpu,host=alpha
  snapfs bolt get --parse-format hex shard.db 6370752c686f73743d616c706861 1412c5e6d4e45000
  snapfs bolt buckets shard.db`
}

// boltArgs names a bucket of a Bolt file within a snapshot.
type boltArgs struct {
	atFlag
	ParseFormat string `default:"text" enum:"text,hex,name" placeholder:"FORMAT" help:"How buckets and keys are given: text, hex, name."`
	snapArg
	Path []string `arg:"" optional:"" help:"The Bolt file in the snapshot (not if SNAP is a Bolt file itself), then buckets."`
}

// formatFlag says how keys and values are printed.
type formatFlag struct {
	Format string `short:"f" default:"auto" enum:"auto,ascii,hex,bytes" placeholder:"FORMAT" help:"How to print: auto (text if printable, else hex), ascii (quoted), hex, bytes."`
}

// bucket finds the bucket that the arguments name. more is the number of
// arguments at the end that are no buckets; they are returned decoded.
func (c *boltArgs) bucket(t *space.Tree, more int) (b *boltview.Bucket, rest [][]byte, err error) {
	args, file := c.Path, "."
	if t.Chain() != nil {
		if len(args) == 0 {
			return nil, nil, &codeError{hint.Wrap(errors.New("which Bolt file?"), "snapfs ls -R %s .snapfs/bolt lists them", c.Snap), exitUsage}
		}
		if file, err = clean(args[0]); err != nil {
			return nil, nil, err
		}
		args = args[1:]
	}
	if len(args) < more {
		return nil, nil, &codeError{hint.Wrap(errors.New("which key?"), "snapfs bolt keys lists them"), exitUsage}
	}
	db, err := t.Bolt(file)
	if err != nil {
		return nil, nil, err
	}
	b = db.Root()
	for i, arg := range args {
		key, err := c.parse(arg)
		if err != nil {
			return nil, nil, err
		}
		if i >= len(args)-more {
			rest = append(rest, key)
			continue
		}
		if b, err = b.Bucket(key); err != nil {
			return nil, nil, fmt.Errorf("%s: bucket %q: %w", path.Join(c.Snap, file), arg, err)
		}
	}
	return b, rest, nil
}

// parse turns an argument into a key.
func (c *boltArgs) parse(arg string) ([]byte, error) {
	switch c.ParseFormat {
	case "hex":
		key, err := hex.DecodeString(arg)
		if err != nil {
			return nil, &codeError{fmt.Errorf("%q: %w", arg, err), exitUsage}
		}
		return key, nil
	case "name":
		key, ok := names.Decode(arg)
		if !ok {
			return nil, &codeError{fmt.Errorf("%q is not a name as in the mount", arg), exitUsage}
		}
		return key, nil
	}
	return []byte(arg), nil
}

// format returns key as it is printed.
func (f formatFlag) format(key []byte) []byte {
	switch f.Format {
	case "hex":
		return hex.AppendEncode(nil, key)
	case "bytes":
		return key
	case "ascii":
		return fmt.Appendf(nil, "%+q", key)
	}
	if utf8.Valid(key) && bytes.IndexFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return key
	}
	return hex.AppendEncode(nil, key)
}

type boltBucketsCmd struct {
	formatFlag
	boltArgs
}

func (c *boltBucketsCmd) Run(a *App) error {
	return c.list(a, c.formatFlag, func(it boltview.Item) bool { return it.IsBucket() })
}

type boltKeysCmd struct {
	formatFlag
	boltArgs
}

func (c *boltKeysCmd) Run(a *App) error {
	return c.list(a, c.formatFlag, func(boltview.Item) bool { return true })
}

// list prints the keys of a bucket that want accepts.
func (c *boltArgs) list(a *App, f formatFlag, want func(boltview.Item) bool) error {
	t, err := c.open(space.Options{At: c.At})
	if err != nil {
		return err
	}
	defer t.Close()
	b, _, err := c.bucket(t, 0)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.Stdout)
	for it, err := range b.All() {
		if err == nil {
			err = a.ctx.Err()
		}
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if !want(it) {
			continue
		}
		if _, err := fmt.Fprintf(out, "%s\n", f.format(it.Key)); err != nil {
			return err
		}
	}
	return out.Flush()
}

type boltGetCmd struct {
	formatFlag
	boltArgs
}

func (c *boltGetCmd) Run(a *App) error {
	t, err := c.open(space.Options{At: c.At})
	if err != nil {
		return err
	}
	defer t.Close()
	b, rest, err := c.bucket(t, 1)
	if err != nil {
		return err
	}
	it, err := b.Item(rest[0])
	if err == nil && it.IsBucket() {
		err = hint.Wrap(boltview.ErrIsBucket, "snapfs bolt keys lists what is in it")
	}
	if err != nil {
		return fmt.Errorf("key %q: %w", c.Path[len(c.Path)-1], err)
	}
	if c.Format == "bytes" {
		_, err := io.Copy(a.Stdout, it.Open())
		return err
	}
	v, err := it.Value()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "%s\n", c.format(v))
	return err
}
