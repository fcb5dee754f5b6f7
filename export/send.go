package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/hint"
)

const (
	// maxBisect bounds the requests that look for the points of a batch that a
	// server does not take.
	maxBisect = 100
	// showLines is how many of them are in an error, cut to showBytes.
	showLines = 3
	showBytes = 200
	// saveEvery is how long it takes between two checkpoints.
	saveEvery = time.Second
)

// Send sends the data as line protocol to a server. Points that it does not take
// are looked for, counted and, the first of them, in the errors of the report;
// the others are sent all the same. The error matches [ErrRejected] or
// [ErrUnavailable] where nothing more can be sent. Sending points again, as a
// run after another does with what is behind its checkpoint, changes nothing.
func Send(ctx context.Context, target Target, set *dataset.Set, o Options) (Report, error) {
	if err := o.check(); err != nil {
		return Report{}, err
	}
	if o.Format != LineProtocol {
		return Report{}, fmt.Errorf("servers take line protocol, not %s: %w", o.Format, ErrOption)
	}
	e, err := target.endpoint()
	if err != nil {
		return Report{}, err
	}
	for p := range set.Policies(o.Filter) {
		if db, _ := o.renamed(p.Database, p.Name); db == "" {
			return Report{}, nameError("database", db, "has no name")
		}
	}
	s := &sender{e: e, o: &o, checkpoint: &checkpoint{}}
	if o.Checkpoint != "" {
		id, err := identity(set, &o, []any{e.base.String(), e.v2, e.Org})
		if err != nil {
			return Report{}, err
		}
		if s.checkpoint, err = loadCheckpoint(o.Checkpoint, id); err != nil {
			return Report{}, err
		}
		if s.checkpoint.Begun || s.checkpoint.Done {
			s.report = s.checkpoint.report()
		}
		if s.checkpoint.Done {
			return s.total(), nil
		}
	}
	if e.Create {
		n, err := e.create(ctx, schema(set, &o), o.KeepDurations)
		s.report.Retries += n
		if err != nil {
			return s.report, err
		}
	}
	err = s.run(ctx, set)
	return s.total(), err
}

// total returns the report. While points are sent, Points has the rejected ones
// as well.
func (s *sender) total() Report {
	r := s.report.clone()
	r.Points -= r.Rejected
	return r
}

// sender sends points in batches, of which a few are under way at a time.
type sender struct {
	e          *endpoint
	o          *Options
	report     Report
	checkpoint *checkpoint
	saved      time.Time
	failed     bool

	batch    *batch
	free     []*batch
	underway []*batch // the first sent first
	next     time.Time
}

// batch is what one request sends.
type batch struct {
	database, policy string
	data             []byte
	ends             []int
	zipped           bytes.Buffer
	gz               *gzip.Writer

	// complete are the series that are, once the batch is sent.
	complete []milestone
	done     chan struct{}
	result   Report // Rejected, Retries, Errors
	err      error
}

// milestone is a position with what was counted on the way to it.
type milestone struct {
	position
	report Report
}

func (s *sender) run(ctx context.Context, set *dataset.Set) (err error) {
	sendCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = run(ctx, set, s.o, s.checkpoint.position(), sinkFunc(func(_ context.Context, b *block) error { return s.write(sendCtx, b) }), &s.report)
	if err == nil {
		err = s.flush(sendCtx)
	}
	if err != nil {
		cancel()
	}
	for len(s.underway) > 0 {
		if e := s.collect(); err == nil {
			err = e
		}
	}
	if s.o.Checkpoint == "" {
		return err
	}
	if err == nil {
		s.checkpoint.Done = true
		s.checkpoint.keep(&s.report)
	}
	if s.checkpoint.Begun || s.checkpoint.Done {
		err = errors.Join(err, s.checkpoint.save(s.o.Checkpoint))
	}
	return err
}

type sinkFunc func(context.Context, *block) error

func (f sinkFunc) write(ctx context.Context, b *block) error { return f(ctx, b) }

// write takes the points of a block into batches.
func (s *sender) write(ctx context.Context, b *block) error {
	database, policy := s.o.renamed(b.policy.Database, b.policy.Name)
	for at := 0; at < len(b.ends); {
		if s.batch != nil && (s.batch.database != database || s.batch.policy != policy || len(s.batch.ends) >= s.e.Batch || len(s.batch.data) >= maxBatchBytes) {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
		if s.batch == nil {
			s.batch = s.empty()
			s.batch.database, s.batch.policy = database, policy
		}
		n := min(len(b.ends), at+s.e.Batch-len(s.batch.ends))
		shift := len(s.batch.data) - b.from(at)
		s.batch.data = append(s.batch.data, b.data[b.from(at):b.from(n)]...)
		for _, end := range b.ends[at:n] {
			s.batch.ends = append(s.batch.ends, int(end)+shift)
		}
		s.report.Bytes += int64(b.from(n) - b.from(at))
		at = n
	}
	if b.done && s.batch != nil && s.o.Checkpoint != "" {
		s.batch.complete = append(s.batch.complete, milestone{position{b.policy.Database, b.policy.Name, b.key}, s.report.clone()})
	}
	return nil
}

func (s *sender) empty() *batch {
	if n := len(s.free); n > 0 {
		b := s.free[n-1]
		s.free = s.free[:n-1]
		b.data, b.ends, b.complete, b.result, b.err = b.data[:0], b.ends[:0], b.complete[:0], Report{}, nil
		return b
	}
	return &batch{}
}

// flush sends the batch, if there is one.
func (s *sender) flush(ctx context.Context) error {
	if s.batch == nil {
		return nil
	}
	for len(s.underway) >= s.e.parallel {
		if err := s.collect(); err != nil {
			return err
		}
	}
	b := s.batch
	s.batch = nil
	if s.e.Rate > 0 {
		now := time.Now()
		if wait := s.next.Sub(now); wait > 0 {
			select {
			case <-s.e.sleep(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		} else {
			s.next = now
		}
		s.next = s.next.Add(time.Duration(float64(len(b.ends)) / float64(s.e.Rate) * float64(time.Second)))
	}
	b.done = make(chan struct{})
	s.underway = append(s.underway, b)
	go func() {
		defer close(b.done)
		budget := maxBisect
		b.err = s.e.deliver(ctx, b, 0, len(b.ends), &budget, s.o)
	}()
	return nil
}

// collect waits for the first batch under way.
func (s *sender) collect() error {
	b := s.underway[0]
	s.underway = slices.Delete(s.underway, 0, 1)
	<-b.done
	s.report.Rejected += b.result.Rejected
	s.report.Retries += b.result.Retries
	for _, err := range b.result.Errors {
		s.report.fail(err)
	}
	if b.err != nil {
		s.failed = true
		return b.err
	}
	// What is behind a batch that failed is not complete.
	if n := len(b.complete); n > 0 && !s.failed {
		m := &b.complete[n-1]
		s.checkpoint.set(m.position)
		// What the answers of the servers added came later.
		m.report.Rejected, m.report.Retries = s.report.Rejected, s.report.Retries
		m.report.Errors = slices.Clone(s.report.Errors)
		s.checkpoint.keep(&m.report)
		if time.Since(s.saved) >= saveEvery {
			s.saved = time.Now()
			if err := s.checkpoint.save(s.o.Checkpoint); err != nil {
				return err
			}
		}
	}
	s.free = append(s.free, b)
	return nil
}

// deliver sends points of a batch, from one up to another. Those that the server
// does not take are looked for in halves.
func (e *endpoint) deliver(ctx context.Context, b *batch, from, to int, budget *int, o *Options) error {
	start := 0
	if from > 0 {
		start = b.ends[from-1]
	}
	lines := b.data[start:b.ends[to-1]]
	if err := b.zip(lines); err != nil {
		return err
	}
	header := http.Header{"Content-Encoding": {"gzip"}, "Content-Type": {"text/plain; charset=utf-8"}}
	a, retries, err := e.send(ctx, e.write(b.database, b.policy, o.Precision), header, b.zipped.Bytes())
	b.result.Retries += retries
	if err != nil || a.ok() {
		return err
	}
	fail := &ServerError{Op: "write", Host: e.base.Host, Target: fmt.Sprintf("%q.%q", b.database, b.policy), Status: a.status, Text: a.text(), Err: ErrRejected}
	switch a.status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
	case http.StatusNotFound:
		if e.v2 {
			return hint.Wrap(fail, "make the bucket %q first, or name another with --db-map and --rp-map", b.database+"/"+b.policy)
		}
		return hint.Wrap(fail, "--create makes databases and policies")
	case http.StatusUnauthorized, http.StatusForbidden:
		return hint.Wrap(fail, "InfluxDB 1 wants a user and password in the URL, 2 and 3 want --token")
	default:
		return fail
	}
	*budget--
	if to-from > 1 && *budget > 0 {
		middle := from + (to-from)/2
		if err := e.deliver(ctx, b, from, middle, budget, o); err != nil {
			return err
		}
		return e.deliver(ctx, b, middle, to, budget, o)
	}
	fail.Points = to - from
	for _, end := range b.ends[from:min(to, from+showLines)] {
		line := bytes.TrimSuffix(b.data[start:end], []byte("\n"))
		if len(line) > showBytes {
			line = append(bytes.ToValidUTF8(line[:showBytes], nil), "…"...)
		}
		fail.Lines = append(fail.Lines, string(line))
		start = end
	}
	b.result.Rejected += int64(to - from)
	b.result.fail(fail)
	return nil
}

func (b *batch) zip(data []byte) (err error) {
	b.zipped.Reset()
	if b.gz == nil {
		if b.gz, err = gzip.NewWriterLevel(&b.zipped, gzip.BestSpeed); err != nil {
			return err
		}
	} else {
		b.gz.Reset(&b.zipped)
	}
	_, err = b.gz.Write(data)
	return errors.Join(err, b.gz.Close())
}
