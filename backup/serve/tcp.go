package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/snapfs/snapfs/backup/origin"
	"github.com/snapfs/snapfs/backup/wire"
)

// maxRest is how much of what follows a request is read, so that closing does
// not reset the connection before the client has the answer.
const maxRest = 64 << 10

// ServeTCP answers the clients that connect to l, until ctx ends, and returns
// nil when all of them are gone; or the error that keeps it from going on. It
// closes l.
func (s *Server) ServeTCP(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel() // before the wait, if accepting failed
	connections := make(chan struct{}, s.opts.MaxConnections)
	for pause := time.Duration(0); ; {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			// Too many open files, for example, which passes.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.opts.Log.Error("accept", "reason", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		log := s.opts.Log.With("client", conn.RemoteAddr().String(), "door", "tcp")
		if s.opts.Disabled {
			log.Warn("connection closed", "reason", disabled)
			reset(conn)
			continue
		}
		select {
		case connections <- struct{}{}:
		default:
			log.Warn("connection closed", "reason", fmt.Sprintf("%d connections are open", s.opts.MaxConnections))
			reset(conn)
			continue
		}
		all.Go(func() {
			defer func() { <-connections }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			begin := time.Now()
			c, n, err := s.answer(ctx, conn)
			s.finished(log, begin, c, n, err)
			var bad *badRequest
			switch {
			case errors.As(err, &bad):
			case err != nil:
				reset(conn)
			default:
				drain(conn, s.opts.RequestTimeout)
			}
		})
	}
}

// badRequest is an error of the client. It is answered by closing the connection,
// as the old servers did.
type badRequest struct{ error }

func (b *badRequest) Unwrap() error { return b.error }

// answer reads a request and answers it.
func (s *Server) answer(ctx context.Context, conn net.Conn) (c *origin.Copy, sent int64, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(s.opts.RequestTimeout)); err != nil {
		return nil, 0, err
	}
	var header [1]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return nil, 0, &badRequest{fmt.Errorf("read header byte: %w", err)}
	}
	if header[0] != wire.Header {
		return nil, 0, &badRequest{fmt.Errorf("header byte %#02x is not that of a snapshot, %#02x", header[0], wire.Header)}
	}
	known, err := wire.ReadRequest(conn, s.opts.MaxManifest)
	if err != nil {
		return nil, 0, &badRequest{fmt.Errorf("read manifest: %w", err)}
	}
	done, err := s.turn(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	c, err = s.origin.Begin(ctx, known)
	if err != nil {
		return nil, 0, err
	}
	out := &patient{write: conn.Write, deadline: conn.SetWriteDeadline, timeout: s.opts.StallTimeout}
	err = errors.Join(c.Write(ctx, out), c.Close())
	return c, out.n, err
}

// reset closes a connection so that the client cannot take that for the end of an
// answer, as the old one takes even an empty answer for success.
func reset(conn net.Conn) {
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // if it fails, the end mark is missing all the same
	}
	conn.Close()
}

// drain tells the client that all is sent, and waits for it to close.
func drain(conn net.Conn, timeout time.Duration) {
	if t, ok := conn.(*net.TCPConn); ok && t.CloseWrite() == nil && conn.SetReadDeadline(time.Now().Add(timeout)) == nil {
		_, _ = io.CopyN(io.Discard, conn, maxRest) // whatever ends it, the answer is there
	}
}
