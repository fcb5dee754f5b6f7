package boltview

import (
	"errors"
	"fmt"
)

var (
	// ErrNotBolt is returned when a file has no valid meta page, so that it is
	// not a Bolt file, or has lost the pages that would show that it was one.
	ErrNotBolt = errors.New("not a bolt file")

	// ErrCorrupt is returned when a page contradicts itself or the file. The
	// error is a [*PageError] then.
	ErrCorrupt = errors.New("corrupt")

	// ErrNotFound is returned when a bucket has no such key.
	ErrNotFound = errors.New("key not found")

	// ErrIsBucket is returned when a value is asked of a key that holds a bucket.
	ErrIsBucket = errors.New("key holds a bucket")

	// ErrNotBucket is returned when a bucket is asked of a key that holds a value.
	ErrNotBucket = errors.New("key holds a value, not a bucket")
)

// PageError tells which page is wrong, and how. It is [ErrCorrupt].
type PageError struct {
	Page   uint64 // number of the page; 0 is a meta, or stands for an inline bucket
	Path   string // bucket in which the page was met: names as in [DB.FS], "." is the root
	Reason string // what is wrong
}

func (e *PageError) Error() string {
	return fmt.Sprintf("bolt page %d, bucket %s: %s", e.Page, e.Path, e.Reason)
}

// Unwrap returns [ErrCorrupt].
func (e *PageError) Unwrap() error { return ErrCorrupt }
