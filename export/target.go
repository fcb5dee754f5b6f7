package export

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/snapfs/snapfs/influx"
)

var (
	// ErrRejected is returned when a server refuses all: the request, the user,
	// or a database or bucket that is not there. The error is a [*ServerError].
	ErrRejected = errors.New("refused by the server")

	// ErrUnavailable is returned when a server did not answer, or had no time,
	// however often it was asked.
	ErrUnavailable = errors.New("server is not available")
)

// Target is a server to send points to.
type Target struct {
	// URL is that of the server, such as http://localhost:8086. A user and
	// password in it are sent as basic authorization, and are in no error.
	// Parameters in it are kept.
	URL string
	// Token and Org choose the interface of InfluxDB 2 and 3, /api/v2/write, in
	// place of /write of InfluxDB 1 and VictoriaMetrics: if one of them is set,
	// or the path of URL ends in /api/v2/write. Points go to the bucket
	// "database/policy", or "database" if the policy's new name is "". Without a
	// new name for the default policy, it is part of the bucket's name, too.
	Token, Org string

	// Create makes databases and policies that are not there, as the header of
	// line protocol does. InfluxDB 1 only.
	Create bool

	// Batch is how many points a request has at most; 0 stands for 5000.
	Batch int
	// Rate is how many points are sent in a second at most; 0 for no limit.
	Rate int
	// Retries is how often a request is sent again that the server had no time
	// for, before the export ends; 0 stands for 10, negative for never.
	Retries int

	// Waiting is called, by several goroutines, when a request is to be sent
	// again after a while, and why. Nil is fine.
	Waiting func(why error)

	// Client sends the requests; nil stands for one with a timeout of a minute.
	Client *http.Client

	sleep func(time.Duration) <-chan time.Time
}

const (
	defaultBatch   = 5000
	defaultRetries = 10
	// maxBatchBytes bounds what is sent at a time, before compression, unless a
	// point has more.
	maxBatchBytes = 8 << 20
	requestTime   = time.Minute
)

// endpoint is a target with its URL taken apart.
type endpoint struct {
	Target
	base     *url.URL // without a user
	user     *url.Userinfo
	v2       bool
	parallel int
}

func (t Target) endpoint() (*endpoint, error) {
	u, err := url.Parse(t.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		// The text of err may quote a password.
		return nil, fmt.Errorf("target: not the URL of a server, as in http://localhost:8086: %w", ErrOption)
	}
	e := &endpoint{Target: t, base: u, user: u.User, parallel: 2}
	u.User = nil
	u.Fragment = ""
	for _, p := range []string{"/api/v2/write", "/write"} {
		if rest, ok := strings.CutSuffix(strings.TrimSuffix(u.Path, "/"), p); ok {
			u.Path, e.v2 = rest, p != "/write"
			break
		}
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	e.v2 = e.v2 || t.Token != "" || t.Org != ""
	if t.Batch < 0 || t.Rate < 0 {
		return nil, fmt.Errorf("batch %d, rate %d: %w", t.Batch, t.Rate, ErrOption)
	}
	if e.Batch == 0 {
		e.Batch = defaultBatch
	}
	if e.Retries == 0 {
		e.Retries = defaultRetries
	}
	if e.v2 && t.Create {
		return nil, fmt.Errorf("only databases of InfluxDB 1 can be made here, not buckets: %w", ErrOption)
	}
	if e.Client == nil {
		e.Client = &http.Client{Timeout: requestTime}
	}
	if e.sleep == nil {
		e.sleep = time.After
	}
	return e, nil
}

// write returns the URL to write points of a policy to.
func (e *endpoint) write(database, policy string, unit influx.Precision) string {
	u := *e.base
	q := u.Query()
	if e.v2 {
		u.Path += "/api/v2/write"
		bucket := database
		if policy != "" {
			bucket += "/" + policy
		}
		q.Set("bucket", bucket)
		if e.Org != "" {
			q.Set("org", e.Org)
		}
		q.Set("precision", map[influx.Precision]string{influx.Nanosecond: "ns", influx.Microsecond: "us", influx.Millisecond: "ms", influx.Second: "s"}[unit])
	} else {
		u.Path += "/write"
		q.Set("db", database)
		if policy != "" {
			q.Set("rp", policy)
		}
		q.Set("precision", map[influx.Precision]string{influx.Nanosecond: "n", influx.Microsecond: "u", influx.Millisecond: "ms", influx.Second: "s"}[unit])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// authorize adds what tells the server who asks.
func (e *endpoint) authorize(r *http.Request) {
	switch {
	case e.Token != "":
		r.Header.Set("Authorization", "Token "+e.Token)
	case e.user != nil:
		password, _ := e.user.Password()
		r.SetBasicAuth(e.user.Username(), password)
	}
}

// ServerError is an answer of a server that is no success. It is ErrRejected or
// ErrUnavailable.
type ServerError struct {
	Op     string // "write" or "query"
	Host   string
	Target string // database and policy, or the statement
	Status int    // of HTTP
	Text   string // what the server says
	Lines  []string
	Points int // that were not taken
	Err    error
}

func (e *ServerError) Error() string {
	s := fmt.Sprintf("%s %s to %s: ", e.Op, e.Target, e.Host)
	if e.Points > 0 {
		s += fmt.Sprintf("%d of the points: ", e.Points)
	}
	s += fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		s += ": " + e.Text
	}
	for _, l := range e.Lines {
		s += "\n\t" + l
	}
	return s
}

// Unwrap returns Err.
func (e *ServerError) Unwrap() error { return e.Err }
