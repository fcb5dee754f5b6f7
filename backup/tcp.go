package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/snapfs/snapfs/backup/wire"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
)

// stallTimeout is how long a server may be silent unless the source says
// otherwise. Before the first byte it opens every shard.
const stallTimeout = time.Minute

// TCP is a server of a final release, 0.9.0 to 0.9.6.
type TCP struct {
	Addr    string        // host:port
	Timeout time.Duration // how long it may be silent; 0 means a minute
}

// Fetch implements [Source].
func (t TCP) Fetch(ctx context.Context, known *chain.Manifest) (io.ReadCloser, error) {
	timeout := cmp.Or(t.Timeout, stallTimeout)
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		return nil, hint.Wrap(err, "is it running, and is this the port of [meta] bind-address? Of a release candidate, name the URL: http://HOST:%s", wire.HTTPPort)
	}
	s := &stream{conn: conn, timeout: timeout}
	s.stop = context.AfterFunc(ctx, func() { conn.Close() })
	err = conn.SetWriteDeadline(time.Now().Add(timeout))
	if err == nil {
		_, err = conn.Write(wire.AppendRequest([]byte{wire.Header}, known))
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("ask %s: %w", t.Addr, stalled(err, timeout))
	}
	return s, nil
}

// stream is an answer over TCP.
type stream struct {
	conn    net.Conn
	timeout time.Duration
	stop    func() bool
}

func (s *stream) Read(b []byte) (int, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(s.timeout)); err != nil {
		return 0, err
	}
	n, err := s.conn.Read(b)
	return n, stalled(err, s.timeout)
}

func (s *stream) Close() error {
	s.stop()
	return s.conn.Close()
}

// stalled says of a deadline that passed what it was.
func stalled(err error, timeout time.Duration) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return hint.Wrap(fmt.Errorf("the server was silent for %v: %w", timeout, err), "--timeout gives it more time")
	}
	return err
}
