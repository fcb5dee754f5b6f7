package export

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/snapfs/snapfs/internal/hint"
)

const (
	// Waits between attempts are random, up to a bound that doubles with each,
	// from firstWait to maxWait. A server may ask for up to maxAsked.
	firstWait = 500 * time.Millisecond
	maxWait   = 30 * time.Second
	maxAsked  = 5 * time.Minute

	// maxAnswer bounds what is read of an answer, maxText what of it is shown.
	maxAnswer = 4 << 20
	maxText   = 500
)

// answer is what a server said.
type answer struct {
	status int
	body   []byte
	after  time.Duration // that the server asks to wait; -1 if it does not
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// transient reports whether the same request may succeed later.
func (a answer) transient() bool {
	return a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout || a.status >= 500
}

// text returns what the server said of an error: InfluxDB has it in JSON.
func (a answer) text() string {
	var e struct{ Error, Message string }
	s := string(a.body)
	if json.Unmarshal(a.body, &e) == nil && cmp.Or(e.Error, e.Message) != "" {
		s = cmp.Or(e.Error, e.Message)
	}
	s = strings.TrimSpace(strings.ToValidUTF8(s, "�"))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// send sends a request until there is an answer that is not transient, and
// returns how often it was sent again. ErrUnavailable comes with the last error
// or answer.
func (e *endpoint) send(ctx context.Context, to string, header http.Header, body []byte) (a answer, retries int64, err error) {
	for {
		a, err = e.once(ctx, to, header, body)
		if ctx.Err() != nil {
			return a, retries, ctx.Err()
		}
		if err == nil && !a.transient() {
			return a, retries, nil
		}
		why := err
		if err == nil {
			why = fmt.Errorf("%d %s: %s", a.status, http.StatusText(a.status), a.text())
		}
		why = fmt.Errorf("%s: %w: %w", e.base.Host, ErrUnavailable, why)
		if retries >= int64(e.Retries) {
			return a, retries, hint.Wrap(why, "--create makes databases and policies that are not there; with --resume FILE another run goes on where one has ended")
		}
		wait := a.after
		if err != nil || wait < 0 {
			wait = time.Duration(rand.Int64N(int64(min(firstWait<<min(retries, 20), maxWait)))) + time.Millisecond
		}
		retries++
		if e.Waiting != nil {
			e.Waiting(why)
		}
		select {
		case <-e.sleep(min(wait, maxAsked)):
		case <-ctx.Done():
			return a, retries, ctx.Err()
		}
	}
}

func (e *endpoint) once(ctx context.Context, to string, header http.Header, body []byte) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header = header.Clone()
	e.authorize(r)
	resp, err := e.Client.Do(r)
	if err != nil {
		// The URL says nothing that is not known.
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err
		}
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return answer{resp.StatusCode, b, retryAfter(resp.Header.Get("Retry-After"))}, err
}

// retryAfter returns what the header says: seconds or a date.
func retryAfter(s string) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return min(time.Duration(n), maxAsked/time.Second) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(time.Until(t), 0)
	}
	return -1
}

// query sends a statement to /query of InfluxDB 1 and returns the rows of its
// answer.
func (e *endpoint) query(ctx context.Context, statement string) (rows [][]any, retries int64, err error) {
	u := *e.base
	u.Path += "/query"
	form := url.Values{"q": {statement}}
	a, retries, err := e.send(ctx, u.String(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode()))
	if err != nil {
		return nil, retries, err
	}
	var out struct {
		Error   string
		Results []struct {
			Error  string
			Series []struct{ Values [][]any }
		}
	}
	fail := &ServerError{Op: "query", Host: e.base.Host, Target: statement, Status: a.status, Text: a.text(), Err: ErrRejected}
	if !a.ok() {
		return nil, retries, fail
	}
	if err := json.Unmarshal(a.body, &out); err != nil {
		return nil, retries, fmt.Errorf("%w: %w", fail, err)
	}
	for _, r := range out.Results {
		if out.Error = cmp.Or(out.Error, r.Error); out.Error != "" {
			break
		}
		for _, s := range r.Series {
			rows = append(rows, s.Values...)
		}
	}
	if out.Error != "" {
		fail.Text = out.Error
		return nil, retries, fail
	}
	return rows, retries, nil
}

// create makes the databases and policies that are not there.
func (e *endpoint) create(ctx context.Context, dbs []databaseSpec, keepDurations bool) (retries int64, err error) {
	ask := func(statement string) (names map[string]bool, err error) {
		rows, n, err := e.query(ctx, statement)
		retries += n
		names = map[string]bool{}
		for _, r := range rows {
			if len(r) > 0 {
				if name, ok := r[0].(string); ok {
					names[name] = true
				}
			}
		}
		return names, err
	}
	have, err := ask("SHOW DATABASES")
	if err != nil {
		return retries, err
	}
	for _, db := range dbs {
		if !have[db.name] {
			if _, err := ask("CREATE DATABASE " + quote(db.name)); err != nil {
				return retries, err
			}
		}
		policies, err := ask("SHOW RETENTION POLICIES ON " + quote(db.name))
		if err != nil {
			return retries, err
		}
		for _, p := range db.policies {
			if p.name == "" || policies[p.name] {
				continue
			}
			if _, err := ask(p.statement(db.name, keepDurations)); err != nil {
				return retries, err
			}
		}
	}
	return retries, nil
}
