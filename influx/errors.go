package influx

import (
	"errors"
	"fmt"
)

var (
	// ErrEngine is returned when a file is a shard of an engine that is not
	// read here, or no shard at all.
	ErrEngine = errors.New("no shard that can be decoded")

	// ErrMeta is returned when a file is not the metadata of a server, or
	// contradicts itself. The error is a [*MetaError] then.
	ErrMeta = errors.New("bad metadata")

	// ErrValue is returned when an entry of a shard does not decode. The error
	// is a [*ValueError] then.
	ErrValue = errors.New("value does not decode")

	// ErrUndefined is returned when a point has a field that the shard does not
	// define. The definition may be in a later copy of the same shard, see
	// [ShardOptions]. The error is a [*ValueError], and also an ErrValue.
	ErrUndefined = errors.New("field is not defined")

	// ErrDropped is returned when a shard of a release candidate has points of a
	// series that the metadata do not know: DROP SERIES took it away there, and
	// left the points. The error is a [*ValueError], and also an ErrValue.
	ErrDropped = errors.New("series was dropped")

	// ErrSeriesKey is returned when a text is not a series key.
	ErrSeriesKey = errors.New("not a series key")

	// ErrLine is returned when line protocol has no way to write a name.
	ErrLine = errors.New("not possible in line protocol")

	// ErrNonFinite is returned when a point has a field that is not a number or
	// infinite, for which line protocol has no way to write.
	ErrNonFinite = errors.New("not a finite number")
)

// MetaError tells where in the metadata something is wrong. It is [ErrMeta].
type MetaError struct {
	Offset int64  // in the file, of what is wrong
	Object string // message or Bolt key, for example "Data.Databases"
	Reason string
}

func (e *MetaError) Error() string {
	return fmt.Sprintf("read metadata: %s at byte %d: %s", e.Object, e.Offset, e.Reason)
}

// Unwrap returns [ErrMeta].
func (e *MetaError) Unwrap() error { return ErrMeta }

// ValueError tells which entry of a shard does not decode. It is [ErrValue].
type ValueError struct {
	Bucket string // buckets, outermost first, with "/" between them; "" is the root
	Key    []byte // in that bucket: of a b1 point its time, in bz1 the first time of its block
	Time   int64  // of the point in nanoseconds since 1970; 0 if it is not about one
	Reason string // what is wrong

	// Undefined is the number of a field that is not defined, for errors that
	// are [ErrUndefined]; else 0.
	Undefined uint8
	// Dropped is set for errors that are [ErrDropped].
	Dropped bool
}

func (e *ValueError) Error() string {
	if e.Bucket == "" {
		return fmt.Sprintf("decode key %x: %s", e.Key, e.Reason)
	}
	return fmt.Sprintf("decode key %x of bucket %q: %s", e.Key, e.Bucket, e.Reason)
}

// Unwrap returns [ErrValue], and [ErrUndefined] or [ErrDropped] if that is the
// reason.
func (e *ValueError) Unwrap() []error {
	switch {
	case e.Undefined != 0:
		return []error{ErrValue, ErrUndefined}
	case e.Dropped:
		return []error{ErrValue, ErrDropped}
	}
	return []error{ErrValue}
}
