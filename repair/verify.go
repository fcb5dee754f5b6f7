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

// check has bbolt check a file that bbolt wrote. Nothing can stop bbolt: when ctx
// ends it is left to itself, in its own map of the file, which may lose its name
// but must keep its size.
func check(ctx context.Context, name string) error {
	db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	return leave(ctx, func() error {
		return errors.Join(faults(db), db.Close())
	})
}

// leave returns what do returns, or the cause of the end of ctx, and do may go on
// then.
func leave(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// faults has bbolt check a database, and returns the first fault.
func faults(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) (first error) {
		for err := range tx.Check() {
			if first == nil {
				first = fmt.Errorf("%w: %w", ErrVerify, err)
			}
		}
		return first
	})
}
