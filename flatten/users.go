package flatten

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/repair"
)

// metaName is the name of the file with the metadata.
const metaName = "meta"

// dropUsers puts metadata without users in the place of the file's content, and
// returns how many users they had.
func (x *file) dropUsers(ctx context.Context) (int, error) {
	meta, err := influx.OpenMeta(x.content, x.Size)
	if err != nil {
		return 0, fmt.Errorf("leave out users: %w", err)
	}
	var b []byte
	if meta.Format == influx.MetaBolt {
		b, err = boltWithoutUsers(ctx, x)
	} else {
		b, _, err = influx.WithoutUsers(x.content, x.Size)
	}
	if err != nil {
		return 0, fmt.Errorf("leave out users: %w", err)
	}
	x.content, x.Size, x.entry.Size = bytes.NewReader(b), int64(len(b)), int64(len(b))
	return len(meta.Users), nil
}

// boltWithoutUsers makes a new Bolt file, so that no page of the old one, used
// or free, goes into it.
func boltWithoutUsers(ctx context.Context, x *file) (b []byte, err error) {
	db, err := boltview.Open(x.content, x.Size, boltview.Options{})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "snapfs-meta-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := filepath.Join(dir, metaName)
	r, err := repair.Bolt(ctx, name, db, repair.Options{Mode: 0o600, NoSync: true, Omit: influx.IsUser})
	if err != nil {
		return nil, err
	}
	if r.Losses > 0 {
		return nil, fmt.Errorf("%w: %s", ErrDamaged, r.Lost[0])
	}
	return os.ReadFile(name)
}
