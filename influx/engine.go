package influx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/snapfs/snapfs/boltview"
)

// Engine is the layout of a shard.
type Engine string

// The engines of InfluxDB 0.9.
const (
	B1   Engine = "b1"   // 0.9.0 and later: a bucket per series, and a write-ahead log
	BZ1  Engine = "bz1"  // 0.9.3 and later: compressed blocks
	RC   Engine = "rc"   // release candidates: a bucket per number of a series
	TSM1 Engine = "tsm1" // 0.9.5 and later: no Bolt file, and not decoded here
)

// tsmMagic are the first 4 bytes of a file of points of tsm1.
const tsmMagic = 0x16d116d1

// DetectEngine tells which engine wrote the shard of size bytes in r, from its
// first bytes or its buckets. It returns [ErrEngine] if that is none of those
// known, and errors of package boltview.
func DetectEngine(r io.ReaderAt, size int64) (Engine, error) {
	var magic [4]byte
	if size >= int64(len(magic)) {
		if n, err := r.ReadAt(magic[:], 0); n < len(magic) {
			return "", fmt.Errorf("detect engine: %w", err)
		}
	}
	if binary.BigEndian.Uint32(magic[:]) == tsmMagic {
		return TSM1, nil
	}
	db, err := boltview.Open(r, size, boltview.Options{})
	if errors.Is(err, boltview.ErrNotBolt) {
		return "", fmt.Errorf("detect engine: %w: %w", ErrEngine, err)
	}
	if err != nil {
		return "", fmt.Errorf("detect engine: %w", err)
	}
	e, _, err := engineOf(db.Root())
	return e, err
}

// engineOf tells the engine from the buckets of a file, and whether the bucket
// "meta" is the engine's: in b1 of 0.9.0 to 0.9.2 it is that of a measurement.
func engineOf(root *boltview.Bucket) (e Engine, meta bool, err error) {
	format, err := formatOf(root)
	if err != nil {
		return "", false, fmt.Errorf("detect engine: %w", err)
	}
	switch format {
	case "":
	case "b1", "v1":
		return B1, true, nil
	case "bz1":
		return BZ1, true, nil
	default:
		return "", false, fmt.Errorf("detect engine: %w: format %q", ErrEngine, format)
	}
	for _, known := range []struct {
		engine  Engine
		buckets []string
	}{{B1, []string{"fields", "series", "wal"}}, {RC, []string{"meta", "values"}}} {
		ok := true
		for _, name := range known.buckets {
			it, err := root.Item([]byte(name))
			if err != nil && !errors.Is(err, boltview.ErrNotFound) {
				return "", false, fmt.Errorf("detect engine: %w", err)
			}
			ok = ok && err == nil && it.IsBucket()
		}
		if ok {
			return known.engine, false, nil
		}
	}
	return "", false, fmt.Errorf("detect engine: %w: not the buckets of any engine", ErrEngine)
}

// formatOf returns what the bucket "meta" says, "" if nothing.
func formatOf(root *boltview.Bucket) (string, error) {
	b, err := root.Bucket([]byte("meta"))
	if errors.Is(err, boltview.ErrNotFound) || errors.Is(err, boltview.ErrNotBucket) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	it, err := b.Item([]byte("format"))
	if errors.Is(err, boltview.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if it.IsBucket() || it.Size() > 64 {
		return "?", nil
	}
	v, err := b.Get([]byte("format"))
	if err == nil && len(v) == 0 {
		return "?", nil
	}
	return string(v), err
}
