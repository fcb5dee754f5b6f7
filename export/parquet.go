package export

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
)

// What is held in memory while a table is written: pages of all columns, rows
// that are not in pages yet, and a row group after compression.
const (
	pageBytes    = 16 << 20 // of all columns
	batchValues  = 32 << 10
	batchBytes   = 1 << 20 // of strings
	groupRows    = 1 << 20
	groupBytes   = 64 << 20 // before compression
	minPageBytes = 4 << 10
	maxPageBytes = 256 << 10
)

// parquetExport writes tables.
type parquetExport struct {
	o        *Options
	set      *dataset.Set
	codec    compress.Codec
	unit     parquet.TimeUnit
	split    int64 // as Files.SplitSize
	report   *Report
	progress Progress

	// create begins the output of a table, or the next part of it, and finish ends
	// the last one.
	create func(t *table) (io.Writer, error)
	finish func() error
}

// policyTables are the tables of a policy.
type policyTables struct {
	policy *dataset.Policy
	list   []*table
	series map[*dataset.Shard]int64
}

func newParquet(set *dataset.Set, o *Options, c Compression, report *Report) (*parquetExport, []policyTables, error) {
	x := &parquetExport{o: o, set: set, report: report}
	switch c {
	case "":
		x.codec = &parquet.Snappy
	case Gzip:
		x.codec = &parquet.Gzip
	case Zstd:
		x.codec = &parquet.Zstd
	default:
		return nil, nil, fmt.Errorf("compression %q: %w", string(c), ErrOption)
	}
	switch o.Precision {
	case influx.Nanosecond:
		x.unit = parquet.Nanosecond
	case influx.Microsecond:
		x.unit = parquet.Microsecond
	case influx.Millisecond:
		x.unit = parquet.Millisecond
	default:
		return nil, nil, fmt.Errorf("precision: Parquet has no times in seconds: %w", ErrOption)
	}
	if o.Checkpoint != "" {
		return nil, nil, fmt.Errorf("checkpoint: an export to Parquet cannot go on where another ended: %w", ErrOption)
	}
	var all []policyTables
	for p := range set.Policies(o.Filter) {
		list, series, err := tables(&p, o.Filter)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, policyTables{&p, list, series})
		for _, sh := range p.Shards {
			x.progress.TotalBytes += sh.Size
		}
	}
	return x, all, nil
}

// run writes all tables.
func (x *parquetExport) run(ctx context.Context, all []policyTables) error {
	for _, p := range all {
		if err := x.pass(ctx, p, x.o.Filter, false); err != nil {
			return err
		}
		for _, t := range p.list {
			if !t.scattered {
				continue
			}
			if err := x.pass(ctx, p, only(x.o.Filter, t.measurement), true); err != nil {
				return err
			}
		}
	}
	return nil
}

// pass reads the series of a policy and writes the tables that are scattered, or
// those that are not.
func (x *parquetExport) pass(ctx context.Context, p policyTables, f dataset.Filter, scattered bool) error {
	byName := map[string]*table{}
	for _, t := range p.list {
		byName[t.measurement] = t
	}
	var w *tableWriter
	for s, err := range p.policy.Series(f) {
		if err != nil {
			if !scattered { // else the first pass has told
				x.report.Unreadable++
				x.report.fail(err)
			}
			continue
		}
		t := byName[s.Measurement]
		if t == nil || t.scattered != scattered {
			continue
		}
		if w == nil || w.table != t {
			if err := w.close(); err != nil {
				return err
			}
			w = &tableWriter{x: x, table: t}
		}
		w.begin(&s)
		if err := w.series(ctx, &s); err != nil {
			return err
		}
		x.progress.Bytes += weigh(s.InShards(), p.series)
		if x.o.Progress != nil {
			x.progress.Points = x.report.Points
			x.o.Progress(x.progress)
		}
	}
	return w.close()
}

// writer returns the library's writer of a table.
func (x *parquetExport) writer(out io.Writer, t *table) (*parquet.GenericWriter[any], error) {
	root := tableNode{Group: parquet.Group{}}
	for _, c := range t.columns {
		root.Group[c.Name] = x.node(c)
		root.order = append(root.order, c.Name)
	}
	columns, err := json.Marshal(t.columns)
	if err != nil {
		return nil, err
	}
	db, policy := x.o.renamed(t.policy.Database, t.policy.Name)
	page := min(max(pageBytes/len(t.columns), minPageBytes), maxPageBytes)
	return parquet.NewGenericWriter[any](out, parquet.NewSchema("point", root),
		parquet.Compression(x.codec),
		parquet.CreatedBy("snapfs", "", ""),
		parquet.PageBufferSize(page),
		parquet.ColumnPageBuffers(parquet.NewChunkBufferPool(min(page, 32<<10))),
		parquet.DictionaryMaxBytes(int64(page)),
		parquet.KeyValueMetadata("snapfs.database", strings.ToValidUTF8(db, "�")),
		parquet.KeyValueMetadata("snapfs.policy", strings.ToValidUTF8(policy, "�")),
		parquet.KeyValueMetadata("snapfs.measurement", strings.ToValidUTF8(t.measurement, "�")),
		parquet.KeyValueMetadata("snapfs.columns", string(columns)),
	), nil
}

// node returns the type of a column.
func (x *parquetExport) node(c column) parquet.Node {
	switch {
	case c.Kind == "time":
		return parquet.Encoded(parquet.Timestamp(x.unit), &parquet.DeltaBinaryPacked)
	case c.Kind == "tag":
		return parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary))
	case c.Type == influx.Float:
		return parquet.Optional(parquet.Leaf(parquet.DoubleType))
	case c.Type == influx.Integer:
		return parquet.Optional(parquet.Encoded(parquet.Leaf(parquet.Int64Type), &parquet.DeltaBinaryPacked))
	case c.Type == influx.Boolean:
		return parquet.Optional(parquet.Leaf(parquet.BooleanType))
	}
	return parquet.Optional(parquet.String())
}

// tableNode is a group that keeps the order of its columns; that of the library
// sorts them by name.
type tableNode struct {
	parquet.Group
	order []string
}

// Fields implements parquet.Node.
func (n tableNode) Fields() []parquet.Field {
	fields := n.Group.Fields()
	place := map[string]int{}
	for i, name := range n.order {
		place[name] = i
	}
	slices.SortFunc(fields, func(a, b parquet.Field) int { return cmp.Compare(place[a.Name()], place[b.Name()]) })
	return fields
}

// GoType implements parquet.Node. Rows are written as values, not as a type of
// Go: the library would make one, for which not all names will do.
func (tableNode) GoType() reflect.Type { return reflect.TypeFor[struct{}]() }
