package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/snapfs/snapfs/backup"
	"github.com/snapfs/snapfs/backup/origin"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
)

// gate is an origin that waits.
type gate struct {
	origin.Origin
	arrived, open chan bool
}

func (g gate) Begin(ctx context.Context, known chain.Manifest) (*origin.Copy, error) {
	g.arrived <- true
	select {
	case <-g.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return g.Origin.Begin(ctx, known)
}

func small(t testing.TB) origin.Chain {
	return sampleChain(t, sample.Layer{Time: monday, Files: []sample.File{{Name: "meta", Data: []byte("m"), Modified: monday}}})
}

// refused wants a connection over TCP that ends without a whole answer.
func refused(t *testing.T, name string, d doors, request, says string) {
	t.Helper()
	if b, err := ask(t, d.tcp, request, false); len(b) > 0 {
		t.Errorf("%s: %d bytes, %v", name, len(b), err)
	}
	d.logged(t, says, 1)
}

// logged waits until the log says something so often: it may be written after
// the client was told.
func (d doors) logged(t *testing.T, says string, times int) {
	t.Helper()
	for range 60_000 {
		if strings.Count(d.log.String(), says) >= times {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("the log does not say %q %d times: %s", says, times, d.log.String())
}

// TestBusy has one copy at a time, and two connections.
func TestBusy(t *testing.T) {
	g := gate{small(t), make(chan bool), make(chan bool)}
	d := open(t, g, Options{MaxCopies: 1, MaxConnections: 2, WaitTimeout: time.Millisecond})
	whole := make(chan []byte)
	go func() {
		b, err := ask(t, d.tcp, "\x03null\n", false)
		if err != nil {
			t.Error(err)
		}
		whole <- b
	}()
	<-g.arrived
	// The copy is taken. Who comes now waits, and is refused then.
	refused(t, "busy", d, "\x03null\n", "too many copies at a time")
	res, err := http.Get(d.url.String() + "/data/snapshot")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(string(b), "too many copies") {
		t.Errorf("%s, %v", res.Status, err)
	}
	// One more that says nothing takes the second connection.
	silent, err := net.Dial("tcp", d.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	refused(t, "connections", d, "\x03null\n", "2 connections are open")
	close(g.open)
	if got := list(t, <-whole); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// TestSlow meets clients that do not ask, and one that does not receive.
func TestSlow(t *testing.T) {
	large := sampleChain(t, sample.Layer{Time: monday, Files: []sample.File{{Name: "large", Data: make([]byte, 24<<20), Modified: monday}}})
	const soon = 50 * time.Millisecond
	d := open(t, large, Options{RequestTimeout: soon})
	for i, request := range []string{"", "\x03", "\x03{\"files\":["} {
		if b, err := ask(t, d.tcp, request, false); len(b) > 0 {
			t.Errorf("%q: %d bytes, %v", request, len(b), err)
		}
		d.logged(t, "i/o timeout", i+1)
	}

	// On a busy machine even to ask may take longer than that.
	d = open(t, large, Options{StallTimeout: soon})
	conn, err := net.Dial("tcp", d.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "\x03null\n"); err != nil {
		t.Fatal(err)
	}
	d.logged(t, "i/o timeout", 1) // while what was sent waits in the kernel
	if b, err := io.ReadAll(conn); err == nil {
		t.Errorf("%d bytes and a proper end", len(b))
	}
}

// deadlines is a response that keeps the deadline for reading.
type deadlines struct {
	*httptest.ResponseRecorder
	read time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(time.Time) error  { return nil }

// TestLong begins a copy over HTTP that may take longer than asking for it.
func TestLong(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	asked, copied := time.Time{}, time.Now()
	o := failing{small(t), func() { copied = w.read }}
	body := iotest.OneByteReader(strings.NewReader("null\n"))
	r := httptest.NewRequest(http.MethodGet, "/data/snapshot", readerFunc(func(b []byte) (int, error) {
		asked = w.read
		return body.Read(b)
	}))
	New(o, Options{}).ServeHTTP(w, r)
	if asked.IsZero() || !copied.IsZero() || w.Code != http.StatusOK {
		t.Errorf("deadline %v while it asks, %v while it is answered; code %d", asked, copied, w.Code)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestTooLarge sends manifests that are longer than may be.
func TestTooLarge(t *testing.T) {
	d := open(t, small(t), Options{MaxManifest: 1000})
	manifest := `{"files":[` + strings.Repeat(`{"name":"x"},`, 100)
	refused(t, "too large", d, "\x03"+manifest, "manifest is too large: more than 1000 bytes")
	req, err := http.NewRequest(http.MethodGet, d.url.String()+"/data/snapshot", strings.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%s", res.Status)
	}
}

// failing is an origin that fails at once, or in the middle.
type failing struct {
	origin.Origin
	after func()
}

var errBroken = errors.New("it is broken")

func (f failing) Begin(ctx context.Context, known chain.Manifest) (*origin.Copy, error) {
	if f.after == nil {
		return nil, errBroken
	}
	c, err := f.Origin.Begin(ctx, known)
	f.after()
	return c, err
}

// TestFailing is taken for a whole answer by no client.
func TestFailing(t *testing.T) {
	d := open(t, failing{}, Options{})
	refused(t, "at once", d, "\x03null\n", "it is broken")
	res, err := http.Get(d.url.String() + "/data/snapshot")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusInternalServerError || string(b) != `{"error":"it is broken"}` {
		t.Errorf("%s, %q, %v", res.Status, b, err)
	}

	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		put(t, filepath.Join(dir, name), monday, "k", strings.Repeat("v", 2<<20))
	}
	d = open(t, failing{origin.Dir{Path: dir}, func() { _ = os.Truncate(filepath.Join(dir, "b"), 1<<20) }}, Options{})
	for _, src := range []backup.Source{backup.TCP{Addr: d.tcp}, backup.HTTP{URL: d.url}} {
		put(t, filepath.Join(dir, "b"), monday, "k", strings.Repeat("v", 2<<20))
		r, err := src.Fetch(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err == nil || n == 0 {
			t.Errorf("%T: %d bytes, %v", src, n, err)
		}
		r.Close()
		if err := os.Remove(filepath.Join(dir, "b")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStop ends a server with a client in the middle.
func TestStop(t *testing.T) {
	g := gate{small(t), make(chan bool), make(chan bool)}
	s := New(g, Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.ServeTCP(ctx, l) }()
	answered := make(chan []byte)
	go func() {
		b, _ := ask(t, l.Addr().String(), "\x03null\n", false)
		answered <- b
	}()
	<-g.arrived
	cancel()
	if b := <-answered; len(b) > 0 {
		t.Errorf("%d bytes", len(b))
	}
	close(g.open)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("it still listens")
	}
	// A listener that is closed by another.
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.ServeTCP(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
