package repair

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/durable"
)

// ErrVerify is returned when the new file does not hold what was read, or bbolt
// finds fault with it. It should never happen.
var ErrVerify = errors.New("repaired file is not right")

// Options adjusts [Bolt]. The zero value works.
type Options struct {
	// Batch is how many bytes of keys and values go into one transaction; 0
	// means 1 MiB. It has an influence on the layout of the file.
	Batch int64
	// Mode is the permission of the file, less the umask; 0 means 0o644.
	Mode fs.FileMode
	// Omit says of a key, and of what is in it, that the new file shall not have
	// it. Nil omits nothing.
	Omit func(boltview.Node) bool
	// NoSync leaves it to the system when the file gets to the disk: for one that
	// need not survive a crash.
	NoSync bool
}

const defaultBatch = 1 << 20

// Report tells what a repaired file holds.
type Report struct {
	Buckets int64    `json:"buckets"`
	Keys    int64    `json:"keys"`  // that hold values
	Bytes   int64    `json:"bytes"` // of keys and values
	Size    int64    `json:"size"`  // of the file
	Losses  int64    `json:"losses"`
	Lost    []string `json:"lost,omitempty"` // the first few losses, a sentence each
}

// maxLost is how many losses a report describes.
const maxLost = 10

// Bolt writes the tree that db shows into a new file called name, which must not
// exist. Damage of the tree is in the report; an error of reading, writing or
// checking, or the end of ctx, leaves no file behind. After the end of ctx, bbolt
// may go on for a while to look at the file that has no name any more.
func Bolt(ctx context.Context, name string, db *boltview.DB, opts Options) (r Report, err error) {
	if opts.Batch <= 0 {
		opts.Batch = defaultBatch
	}
	if opts.Mode == 0 {
		opts.Mode = 0o644
	}
	// bbolt opens a file that is there, and would add to it.
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, opts.Mode)
	if err != nil {
		return r, fmt.Errorf("repair: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = fmt.Errorf("repair %s: %w", name, errors.Join(err, os.Remove(name)))
		}
	}()
	out, err := bolt.Open(name, opts.Mode, &bolt.Options{
		PageSize: db.Info().PageSize,
		Timeout:  time.Second, // nobody else can have it
		// Both keep the layout the same each time: the other kind of list takes
		// free pages in no order.
		FreelistType: bolt.FreelistArrayType,
		NoSync:       true, // synced once, at the end
		NoGrowSync:   true,
	})
	if err != nil {
		return r, err
	}
	c := &copier{ctx: ctx, out: out, batch: opts.Batch, omit: opts.Omit}
	err = c.copy(db)
	size := int64(0)
	if err == nil {
		err = out.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil })
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return c.report, err
	}
	// bbolt has made the file as long as its map.
	if err := f.Truncate(size); err != nil {
		return c.report, err
	}
	c.report.Size = size
	if err := c.verify(f, size); err != nil || opts.NoSync {
		return c.report, err
	}
	return c.report, durable.Sync(ctx, f, size)
}
