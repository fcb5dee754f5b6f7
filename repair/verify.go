package repair

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// verify has bbolt check the file, and reads it back.
func (c *copier) verify(f *os.File, size int64) error {
	if err := check(c.ctx, f.Name()); err != nil {
		return err
	}
	db, err := boltview.Open(f, size, boltview.Options{})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	var got Report
	var sum digest
	for n, err := range db.Root().Walk(nil) {
		if cerr := context.Cause(c.ctx); cerr != nil {
			return cerr
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrVerify, err)
		}
		var value []byte
		if n.Bucket != nil {
			got.Buckets++
		} else {
			if value, err = n.Value(); err != nil {
				return fmt.Errorf("%w: %w", ErrVerify, err)
			}
			got.Keys++
		}
		sum.add(n, value)
	}
	if got.Buckets != c.report.Buckets || got.Keys != c.report.Keys {
		return fmt.Errorf("%w: %d buckets and %d keys of %d and %d", ErrVerify, got.Buckets, got.Keys, c.report.Buckets, c.report.Keys)
	}
	if sum != c.sum {
		return fmt.Errorf("%w: some bytes differ", ErrVerify)
	}
	return nil
}

// check has bbolt check a file that bbolt wrote.
func check(ctx context.Context, name string) error {
	db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = fmt.Errorf("%w: %w", ErrVerify, err)
			}
		}
		return errors.Join(first, context.Cause(ctx))
	})
	return errors.Join(err, db.Close())
}
