package export

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/hint"
)

var (
	// ErrNonFinite is returned when a value is not a finite number and
	// [NonFiniteFail] is chosen.
	ErrNonFinite = errors.New("not a finite number")

	// ErrName is returned when a database or policy has a name that the target
	// cannot have. [Options.Databases] and [Options.Policies] give another.
	ErrName = errors.New("name is not possible there")

	// ErrOption is returned when options contradict each other or have values
	// that they cannot have.
	ErrOption = errors.New("wrong option")

	// ErrCheckpoint is returned when a checkpoint is of another export, or none.
	ErrCheckpoint = errors.New("not a checkpoint of this export")
)

// Format is how points are written.
type Format string

// The formats. The zero value stands for LineProtocol.
const (
	LineProtocol Format = "lp"
	CSV          Format = "csv"
	JSONLines    Format = "jsonl"
	Parquet      Format = "parquet"
)

// NonFinite says what becomes of values that are not a number or infinite.
// Servers of 0.9 took some of them; no later one does.
type NonFinite string

// What can become of them. The zero value stands for NonFiniteSkip, but for
// Parquet, which has such values, for NonFiniteKeep.
const (
	NonFiniteSkip   NonFinite = "skip"   // left out and counted
	NonFiniteString NonFinite = "string" // the strings NaN, +Inf and -Inf
	NonFiniteFail   NonFinite = "fail"   // an end of the export
	NonFiniteKeep   NonFinite = "keep"   // written as they are; Parquet only
)

// Options adjusts an export. The zero value writes all as line protocol.
type Options struct {
	Filter    dataset.Filter
	Format    Format
	Precision influx.Precision
	NonFinite NonFinite

	// LinesOnly leaves out of line protocol what is not a point.
	LinesOnly bool
	// KeepDurations makes policies as the metadata have them, with their
	// durations. Points that are older than that are refused or dropped by the
	// server.
	KeepDurations bool

	// Databases and Policies give new names to some.
	Databases, Policies map[string]string

	// Workers is how many series are read at the same time; 0 stands for as many
	// as there are processors.
	Workers int

	// Progress is called now and then, by one goroutine at a time.
	Progress func(Progress)

	// Checkpoint is the path of a file that remembers how far an export to files
	// or a server came, so that the next one with the same path and options goes
	// on after the last complete series. Source tells it which data are meant, such
	// as the path of the snapshot.
	Checkpoint string
	Source     string

	taskWeight int64 // for tests, see there
}

// Progress tells how far an export is.
type Progress struct {
	Points, TotalBytes int64
	// Bytes of shards that have been read, of TotalBytes: a share of the size of
	// each shard for each of its series. Before is the part of Bytes that earlier
	// runs have read.
	Bytes, Before int64
}

func (o *Options) check() error {
	o.Format = cmp.Or(o.Format, LineProtocol)
	if o.NonFinite == "" && o.Format == Parquet {
		o.NonFinite = NonFiniteKeep
	}
	o.NonFinite = cmp.Or(o.NonFinite, NonFiniteSkip)
	o.Precision = cmp.Or(o.Precision, influx.Nanosecond)
	o.taskWeight = cmp.Or(o.taskWeight, taskWeight)
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	switch o.Format {
	case LineProtocol, CSV, JSONLines, Parquet:
	default:
		return fmt.Errorf("format %q: %w", o.Format, ErrOption)
	}
	switch o.NonFinite {
	case NonFiniteSkip, NonFiniteFail:
	case NonFiniteString, NonFiniteKeep:
		if (o.NonFinite == NonFiniteKeep) != (o.Format == Parquet) {
			return fmt.Errorf("non-finite values: %q cannot be had in %s: %w", o.NonFinite, o.Format, ErrOption)
		}
	default:
		return fmt.Errorf("non-finite values: %q: %w", o.NonFinite, ErrOption)
	}
	switch o.Precision {
	case influx.Nanosecond, influx.Microsecond, influx.Millisecond, influx.Second:
	default:
		return fmt.Errorf("precision of %d ns: %w", o.Precision, ErrOption)
	}
	return o.Filter.Check()
}

// renamed returns the names of a policy at the target.
func (o *Options) renamed(database, policy string) (string, string) {
	if to, ok := o.Databases[database]; ok {
		database = to
	}
	if to, ok := o.Policies[policy]; ok {
		policy = to
	}
	return database, policy
}

func nameError(what, name, reason string) error {
	err := fmt.Errorf("%s %q: %s: %w", what, name, reason, ErrName)
	return hint.Wrap(err, "give it another name, with --db-map or --rp-map OLD=NEW")
}
