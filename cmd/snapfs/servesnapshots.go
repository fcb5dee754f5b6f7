package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snapfs/snapfs/backup/origin"
	"github.com/snapfs/snapfs/backup/serve"
	"github.com/snapfs/snapfs/backup/wire"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/serverdir"
)

type serveSnapshotsCmd struct {
	Source string `arg:"" optional:"" help:"A data directory, or the full snapshot of a chain. Without it, [data] dir of --config." predictor:"file"`

	Config string `placeholder:"FILE" help:"Configuration of a server: [snapshot] enabled, [data] dir, and the port." predictor:"file"`
	Listen string `placeholder:"HOST:PORT" help:"Where to answer as final releases do, over TCP. 127.0.0.1:8088 unless given; none for nowhere."`
	HTTP   string `name:"http" placeholder:"HOST:PORT" help:"Where to answer as release candidates do, over HTTP. Nowhere unless given, or --config is of one."`
	Meta   string `placeholder:"FILE" help:"The meta file, if it is not in the directory." predictor:"file"`
	atFlag

	Enabled   *bool         `negatable:"" help:"Answer, whatever the configuration says; or refuse."`
	MaxCopies int           `default:"4" placeholder:"N" help:"Copies at a time. Who comes then waits."`
	Timeout   time.Duration `default:"1m" placeholder:"TIME" help:"How long a client may take nothing, and may have to wait."`
	Quiet     bool          `short:"q" help:"Log only what is wrong."`

	disabled bool
}

func (serveSnapshotsCmd) Help() string {
	return `Answers the protocol of "influxd backup" from files: those of a server that does not run, or those of a chain, at
any of its points in time. Who has a part already gets what is newer. snapfs backup and the old clients can ask.

Every Bolt file of a directory is locked while it is copied, so that no copy is torn. A program that has a file open
for writing keeps it locked; so the directory of a running InfluxDB cannot be served, nor need it be.

Nobody has to log in. It listens on the loopback interface unless told otherwise.

Examples:
  snapfs serve-snapshots /var/opt/influxdb/data                          then: snapfs backup /backups/snap
  snapfs serve-snapshots --at 2015-11-02T00:00:00Z /backups/snap
  snapfs serve-snapshots --config influxdb.conf
  snapfs serve-snapshots --listen none --http 127.0.0.1:8086 /data       as a release candidate`
}

func (c *serveSnapshotsCmd) Run(a *App) error {
	if err := c.configure(); err != nil {
		return err
	}
	o, err := c.origin()
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if c.Quiet {
		level = slog.LevelWarn
	}
	log := slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: level}))
	s := serve.New(o, serve.Options{Disabled: c.disabled, MaxCopies: c.MaxCopies, StallTimeout: c.Timeout, WaitTimeout: c.Timeout, Log: log})
	g, ctx := errgroup.WithContext(a.ctx)
	for _, door := range []struct {
		name, addr string
		serve      func(context.Context, net.Listener) error
	}{
		{"tcp", c.Listen, s.ServeTCP},
		{"http", c.HTTP, func(ctx context.Context, l net.Listener) error { return serveHTTP(ctx, s.HTTP(), l) }},
	} {
		if door.addr == "none" || door.addr == "" {
			continue
		}
		l, err := net.Listen("tcp", door.addr)
		if err != nil {
			return hint.Wrap(err, "something else may answer there, such as InfluxDB itself; choose another port with --listen or --http")
		}
		defer l.Close()
		log.Info("serving snapshots", "source", c.Source, "door", door.name, "addr", l.Addr().String())
		if addr, ok := l.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() {
			a.warn("whoever can reach %s gets everything: there is no login", l.Addr())
		}
		g.Go(func() error { return door.serve(ctx, l) })
	}
	return g.Wait()
}

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, s *http.Server, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// configure takes what flags do not say from the configuration.
func (c *serveSnapshotsCmd) configure() error {
	if c.MaxCopies < 1 || c.Timeout <= 0 {
		return usageError(errors.New("--max-copies and --timeout must be more than nothing"))
	}
	listen, web := net.JoinHostPort("127.0.0.1", wire.Port), "none"
	if c.Config != "" {
		conf, err := serverdir.ReadConfig(c.Config)
		if err != nil {
			return err
		}
		c.disabled = conf.NoSnapshots
		if listen = net.JoinHostPort("127.0.0.1", conf.Port); conf.Candidate {
			listen, web = "none", listen
		}
		if c.Source == "" {
			c.Source = conf.DataDir
		}
	}
	if c.Listen == "" {
		c.Listen = listen
	}
	if c.HTTP == "" {
		c.HTTP = web
	}
	if c.Enabled != nil {
		c.disabled = !*c.Enabled
	}
	switch {
	case c.Source == "":
		return usageError(errors.New("neither a directory nor a chain is named, and no --config with [data] dir"))
	case c.Listen == "none" && c.HTTP == "none":
		return usageError(errors.New("neither --listen nor --http"))
	}
	return nil
}

// origin opens what is to be served, to see that it is there.
func (c *serveSnapshotsCmd) origin() (origin.Origin, error) {
	st, err := os.Stat(c.Source)
	if err != nil {
		return nil, openError(err)
	}
	if st.IsDir() {
		if c.At != "" {
			return nil, usageError(fmt.Errorf("%s is a directory, which has no points in time: --at is for chains", c.Source))
		}
		return origin.Dir{Path: c.Source, Meta: c.Meta}, nil
	}
	if c.Meta != "" {
		return nil, usageError(fmt.Errorf("%s is a chain, which has its own metadata: --meta is for directories", c.Source))
	}
	ch, err := chain.Open(c.Source, chain.Options{})
	if err != nil {
		return nil, openError(err)
	}
	defer ch.Close()
	if _, err := ch.At(c.At); err != nil {
		return nil, err
	}
	return origin.Chain{Path: c.Source, At: c.At}, nil
}
