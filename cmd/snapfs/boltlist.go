package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
)

// rangeFlags chooses keys.
type rangeFlags struct {
	Prefix string `placeholder:"KEY" help:"Only keys that start so."`
	From   string `placeholder:"KEY" help:"Only this key and those above."`
	To     string `placeholder:"KEY" help:"Only keys below this one."`
	Limit  int64  `placeholder:"N" help:"At most so many."`
}

// keyRange is a range of keys: those from From, below To, with Prefix. Bounds
// that are empty are none.
type keyRange struct {
	From, To, Prefix []byte
}

func (r rangeFlags) keys(parse parseFlag) (k keyRange, err error) {
	for _, f := range []struct {
		flag string
		to   *[]byte
	}{{r.Prefix, &k.Prefix}, {r.From, &k.From}, {r.To, &k.To}} {
		if f.flag == "" {
			continue
		}
		if *f.to, err = parse.key(f.flag); err != nil {
			return k, err
		}
	}
	if bytes.Compare(k.Prefix, k.From) > 0 {
		k.From = k.Prefix
	}
	return k, nil
}

// past reports whether no key from this one on can be in the range.
func (k keyRange) past(key []byte) bool {
	return len(k.To) > 0 && bytes.Compare(key, k.To) >= 0 ||
		!bytes.HasPrefix(key, k.Prefix) && bytes.Compare(key, k.Prefix) > 0
}

// listFlags are those of buckets and keys.
type listFlags struct {
	JSON bool `name:"json" help:"One JSON object a line: key, key_hex, type, and size, or page and sequence."`
	formatFlag
	parseFlag
	bucketFlag
	rangeFlags
	boltArgs
}

type boltBucketsCmd struct{ listFlags }

func (boltBucketsCmd) Help() string {
	return `Examples:
  snapfs bolt buckets /tmp/snap telemetry/default/1
  snapfs bolt buckets --json --prefix cpu, shard.db`
}

func (c *boltBucketsCmd) Run(a *App) error { return c.list(a, true) }

type boltKeysCmd struct{ listFlags }

func (boltKeysCmd) Help() string {
	return `Without a bucket, the keys are those of the file, which are all buckets.

Examples:
  snapfs bolt keys /tmp/snap telemetry/default/1 fields
  snapfs bolt keys --format time --limit 3 shard.db cpu,host=alpha
  snapfs bolt keys --format time --parse-format time --from 2015-11-01T00:00:00Z --to 2015-11-02T00:00:00Z shard.db cpu,host=alpha`
}

func (c *boltKeysCmd) Run(a *App) error { return c.list(a, false) }

// jsonItem is a line of buckets and keys.
type jsonItem struct {
	jsonKey
	Type     string  `json:"type"` // bucket, value
	Size     *int64  `json:"size,omitempty"`
	Page     *uint64 `json:"page,omitempty"` // 0 if the bucket is inline
	Sequence *uint64 `json:"sequence,omitempty"`
}

func newJSONItem(it boltview.Item) (jsonItem, error) {
	out := jsonItem{jsonKey: newJSONKey(it.Key), Type: "value"}
	if !it.IsBucket() {
		size := it.Size()
		out.Size = &size
		return out, nil
	}
	b, err := it.Bucket()
	if err != nil {
		return out, err
	}
	page, seq := b.Page(), b.Sequence()
	out.Type, out.Page, out.Sequence = "bucket", &page, &seq
	return out, nil
}

// list prints the keys of a bucket, or only those that are buckets.
func (c *listFlags) list(a *App, buckets bool) error {
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
	out := bufio.NewWriter(a.Stdout)
	w := &App{Stdout: out} // prints JSON there
	d := damage{app: a}
	var n int64
	for it, err := range b.From(keys.From) {
		if err == nil {
			err = a.ctx.Err()
		}
		if err != nil {
			if err := errors.Join(out.Flush(), d.met(err)); err != nil {
				return err
			}
			continue
		}
		if keys.past(it.Key) || c.Limit > 0 && n == c.Limit {
			break
		}
		if buckets && !it.IsBucket() {
			continue
		}
		n++
		if !c.JSON {
			if _, err := fmt.Fprintf(out, "%s\n", c.format(it.Key)); err != nil {
				return err
			}
			continue
		}
		line, err := newJSONItem(it)
		if err != nil {
			err = d.met(err)
		} else {
			err = w.printLine(line)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(out.Flush(), d.err())
}

type boltGetCmd struct {
	JSON bool `name:"json" help:"A JSON object: key, key_hex, size, value, value_base64."`
	formatFlag
	parseFlag
	bucketFlag
	boltArgs
}

func (boltGetCmd) Help() string {
	return `With --format bytes the value comes as it is, without a newline behind it.

Examples:
  snapfs bolt get shard.db fields cpu
  snapfs bolt get --parse-format time shard.db cpu,host=alpha 2015-11-01T00:15:00Z
  snapfs bolt get --format bytes --parse-format hex /tmp/snap telemetry/default/1 fields 637075 > value`
}

func (c *boltGetCmd) Run(a *App) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	defer f.Close()
	if len(f.rest) == 0 {
		return &codeError{hint.Wrap(errors.New("which key?"), "snapfs bolt keys lists them"), exitUsage}
	}
	last := len(f.rest) - 1
	b, err := f.bucket(f.rest[:last], c.bucketFlag)
	if err != nil {
		return err
	}
	key, err := c.key(f.rest[last])
	if err != nil {
		return err
	}
	it, err := b.Item(key)
	if err == nil && it.IsBucket() {
		err = hint.Wrap(boltview.ErrIsBucket, "snapfs bolt keys lists what is in it")
	}
	if err != nil {
		return fmt.Errorf("key %q: %w", f.rest[last], err)
	}
	if c.Format == "bytes" && !c.JSON {
		_, err := io.Copy(a.Stdout, it.Open())
		return err
	}
	v, err := it.Value()
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(struct {
			jsonKey
			Size int64 `json:"size"`
			*jsonValue
		}{newJSONKey(it.Key), it.Size(), newJSONValue(v)})
	}
	_, err = fmt.Fprintf(a.Stdout, "%s\n", c.format(v))
	return err
}
