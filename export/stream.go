package export

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/snapfs/snapfs/dataset"
)

// Compression is how output is compressed.
type Compression string

// The compressions. The zero value is none.
const (
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// Suffix returns what the name of such a file ends in.
func (c Compression) Suffix() string {
	switch c {
	case Gzip:
		return ".gz"
	case Zstd:
		return ".zst"
	}
	return ""
}

// compressor is a writer that can begin anew: what it wrote between Reset and
// Close can be put one after the other.
type compressor interface {
	io.WriteCloser
	Reset(io.Writer)
}

type plain struct{ io.Writer }

func (p *plain) Reset(w io.Writer) { p.Writer = w }
func (p *plain) Close() error      { return nil }

func (c Compression) writer() (compressor, error) {
	switch c {
	case "":
		return &plain{}, nil
	case Gzip:
		return gzip.NewWriterLevel(nil, gzip.DefaultCompression)
	case Zstd:
		// Fixed, so that the same input gives the same output everywhere.
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	}
	return nil, fmt.Errorf("compression %q: %w", string(c), ErrOption)
}

// preamble is what files begin with.
type preamble struct {
	o    *Options
	head []byte
}

func newPreamble(set *dataset.Set, o *Options) (*preamble, error) {
	p := &preamble{o: o}
	switch {
	case o.Format == CSV:
		p.head = []byte("database,policy,measurement,tags,time,field,type,value\n")
	case o.Format == LineProtocol && !o.LinesOnly:
		var err error
		if p.head, err = header(schema(set, o), o); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// policy returns what comes before the points of a policy.
func (p *preamble) policy(d *dataset.Policy) []byte {
	if p.o.Format != LineProtocol || p.o.LinesOnly {
		return nil
	}
	return contextLines(p.o.renamed(d.Database, d.Name))
}

// stream writes all points into one writer.
type stream struct {
	w       io.Writer
	pre     *preamble
	current *dataset.Policy
	report  *Report
}

func (s *stream) write(_ context.Context, b *block) error {
	if len(b.ends) == 0 {
		return nil
	}
	if b.policy != s.current {
		s.current = b.policy
		if err := s.raw(s.pre.policy(b.policy)); err != nil {
			return err
		}
	}
	return s.raw(b.data)
}

func (s *stream) raw(data []byte) error {
	n, err := s.w.Write(data)
	s.report.Bytes += int64(n)
	return err
}

// Write writes the data into w. It does not close w. The report is right up to
// what an error ended; it keeps no checkpoints.
func Write(ctx context.Context, w io.Writer, set *dataset.Set, o Options, c Compression) (report Report, err error) {
	if err := o.check(); err != nil {
		return report, err
	}
	if o.Checkpoint != "" {
		return report, fmt.Errorf("a stream cannot go on where another ended: %w", ErrOption)
	}
	if o.Format == Parquet {
		return writeParquet(ctx, w, set, &o, c)
	}
	z, err := c.writer()
	if err != nil {
		return report, err
	}
	z.Reset(w)
	pre, err := newPreamble(set, &o)
	if err != nil {
		return report, err
	}
	s := &stream{w: z, pre: pre, report: &report}
	if err := s.raw(pre.head); err != nil {
		return report, err
	}
	err = run(ctx, set, &o, nil, s, &report)
	return report, errors.Join(err, z.Close())
}
