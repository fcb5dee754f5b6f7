package serve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/backup/origin"
	"github.com/snapfs/snapfs/internal/sample"
)

var monday = time.Date(2015, 11, 2, 3, 4, 5, 600, time.UTC)

// put writes a key into a Bolt file, which is made, and sets its time.
func put(t testing.TB, path string, when time.Time, key, value string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("b"))
		if err == nil {
			err = b.Put([]byte(key), []byte(value))
		}
		return err
	})
	if err := errors.Join(err, db.Close(), os.Chtimes(path, when, when)); err != nil {
		t.Fatal(err)
	}
}

// journal gathers what a server logs.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// doors is a server with both doors open until the test ends.
type doors struct {
	*Server
	tcp string
	url *url.URL
	log *journal
}

func open(t testing.TB, o origin.Origin, opts Options) doors {
	t.Helper()
	d := doors{log: &journal{}}
	opts.Log = slog.New(slog.NewTextHandler(d.log, nil))
	d.Server = New(o, opts)
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l, web := listen(), d.HTTP()
	d.tcp = l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	tcpDone, webDone := make(chan error), make(chan error)
	go func() { tcpDone <- d.ServeTCP(ctx, l) }()
	wl := listen()
	d.url = &url.URL{Scheme: "http", Host: wl.Addr().String()}
	go func() { webDone <- web.Serve(wl) }()
	t.Cleanup(func() {
		cancel()
		if err := <-tcpDone; err != nil {
			t.Error(err)
		}
		web.Close()
		<-webDone
	})
	return d
}

// ask sends bytes over TCP and returns all that comes back.
func ask(t testing.TB, addr, request string, halfClose bool) ([]byte, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err // a connection can be reset before it is there
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, err
	}
	if halfClose {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(conn)
}

// sampleChain writes a chain of the given layers.
func sampleChain(t testing.TB, layers ...sample.Layer) origin.Chain {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snap")
	if err := sample.Write(path, layers...); err != nil {
		t.Fatal(err)
	}
	return origin.Chain{Path: path}
}
