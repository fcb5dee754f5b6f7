package backup

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/snapfs/snapfs/backup/wire"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
)

// HTTP is a server of a release candidate, rc16 to rc31, or one that speaks
// like it.
type HTTP struct {
	URL     *url.URL      // http or https; a user in it is sent; without a path, [wire.Path]
	Timeout time.Duration // how long it may be silent; 0 means a minute
}

// Fetch implements [Source].
func (h HTTP) Fetch(ctx context.Context, known *chain.Manifest) (io.ReadCloser, error) {
	timeout := cmp.Or(h.Timeout, stallTimeout)
	u := *h.URL
	if strings.Trim(u.Path, "/") == "" {
		u.Path = wire.Path
	}
	var body io.Reader
	if known != nil {
		body = bytes.NewReader(wire.AppendRequest(nil, known))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	silence := fmt.Errorf("the server was silent for %v: %w", timeout, os.ErrDeadlineExceeded)
	r := &response{ctx: ctx, timeout: timeout, cancel: cancel}
	r.timer = time.AfterFunc(timeout, func() { cancel(silence) })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), body)
	if err != nil {
		r.end()
		return nil, err
	}
	// Compressing takes longer than sending, and not all servers do it.
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableCompression: true, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		err = r.reason(err)
		r.end()
		return nil, hint.Wrap(err, "is it running, and is this its HTTP port? Of a final release, name the cluster port: HOST:%s", wire.Port)
	}
	r.timer.Stop()
	r.body = res.Body
	if res.StatusCode != http.StatusOK {
		defer r.Close()
		return nil, refusal(u.Redacted(), res)
	}
	return r, nil
}

// refusal is the error for an answer that is not a snapshot.
func refusal(url string, res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 300)) // what is there of it says enough
	err := fmt.Errorf("%w: %s: %s: %s", ErrAnswer, url, res.Status, bytes.TrimSpace(text))
	switch res.StatusCode {
	case http.StatusNotFound:
		return hint.Wrap(err, "snapshots may be disabled there: [snapshot] enabled in its configuration; final releases answer on the cluster port, HOST:%s", wire.Port)
	case http.StatusServiceUnavailable:
		return hint.Wrap(err, "it has enough to do; try again later")
	}
	return err
}

// response is an answer over HTTP.
type response struct {
	ctx     context.Context
	body    io.ReadCloser
	timeout time.Duration
	timer   *time.Timer
	cancel  context.CancelCauseFunc
}

func (r *response) Read(b []byte) (int, error) {
	r.timer.Reset(r.timeout)
	n, err := r.body.Read(b)
	r.timer.Stop() // what the reader does until it comes again is not the server's silence
	if err != nil && err != io.EOF {
		err = r.reason(err)
	}
	return n, err
}

// reason is why something failed: the silence rather than what it made of the
// request.
func (r *response) reason(err error) error {
	if cause := context.Cause(r.ctx); cause != nil {
		return hint.Wrap(cause, "--timeout gives it more time")
	}
	return err
}

func (r *response) end() {
	r.timer.Stop()
	r.cancel(nil)
}

// Close implements [io.Closer].
func (r *response) Close() error {
	r.end()
	return r.body.Close()
}
