package serve

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/snapfs/snapfs/backup/origin"
)

// Options adjusts a [Server]. The zero value is fine.
type Options struct {
	// Disabled answers no request: "[snapshot] enabled = false".
	Disabled bool

	MaxCopies      int           // at a time; 0 means 4
	MaxConnections int           // over TCP, those that wait included; 0 means 64
	MaxManifest    int64         // bytes that a client may send; 0 means 16 MiB
	RequestTimeout time.Duration // until a client has asked; 0 means 30 s, as in the old servers
	StallTimeout   time.Duration // for which a client may take nothing; 0 means a minute
	WaitTimeout    time.Duration // for which a client waits for its turn; 0 means a minute

	// Log is told about each request, and why one was refused. Nil is silent.
	Log *slog.Logger
}

// Server answers requests. Its methods may be called concurrently.
type Server struct {
	origin origin.Origin
	opts   Options
	copies chan struct{} // holds an element for each that is under way
}

// disabled is the reason for no answer if [Options.Disabled] is set.
const disabled = "snapshots are disabled: [snapshot] enabled = false"

// errBusy is returned when all copies are taken for too long.
var errBusy = errors.New("too many copies at a time")

// New returns a server of what o has.
func New(o origin.Origin, opts Options) *Server {
	opts.MaxCopies = cmp.Or(max(opts.MaxCopies, 0), 4)
	opts.MaxConnections = cmp.Or(max(opts.MaxConnections, 0), 64)
	opts.MaxManifest = cmp.Or(max(opts.MaxManifest, 0), 16<<20)
	opts.RequestTimeout = cmp.Or(max(opts.RequestTimeout, 0), 30*time.Second)
	opts.StallTimeout = cmp.Or(max(opts.StallTimeout, 0), time.Minute)
	opts.WaitTimeout = cmp.Or(max(opts.WaitTimeout, 0), time.Minute)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{origin: o, opts: opts, copies: make(chan struct{}, opts.MaxCopies)}
}

// turn waits until a copy may begin. done must be called when it has ended.
func (s *Server) turn(ctx context.Context) (done func(), err error) {
	done = func() { <-s.copies }
	select {
	case s.copies <- struct{}{}:
		return done, nil // however long it took to get here
	default:
	}
	t := time.NewTimer(s.opts.WaitTimeout)
	defer t.Stop()
	select {
	case s.copies <- struct{}{}:
		return done, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.C:
		return nil, errBusy
	}
}

// finished logs what became of a request.
func (s *Server) finished(log *slog.Logger, begin time.Time, c *origin.Copy, bytes int64, err error) {
	args := []any{"bytes", bytes, "took", time.Since(begin).Round(time.Millisecond)}
	if c != nil {
		args = append(args, "files", len(c.Manifest.Files))
	}
	if err != nil {
		log.Error("snapshot failed", append(args, "reason", err)...)
		return
	}
	for _, w := range c.Warnings {
		log.Warn("snapshot", "warning", w)
	}
	log.Info("snapshot sent", args...)
}

// patient writes to a client that must not be silent for too long.
type patient struct {
	write    func([]byte) (int, error)
	deadline func(time.Time) error
	timeout  time.Duration
	n        int64
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.deadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	n, err := p.write(b)
	p.n += int64(n)
	return n, err
}
