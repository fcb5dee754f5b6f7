package export_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/space"
)

// sink is a server that takes lines.
type sink struct {
	*httptest.Server
	mu       sync.Mutex
	lines    map[string]int // database, policy and line → how often it came
	requests int
	urls     map[string]int
	queries  []string
	auth     string

	// fail answers a request in place of the server, if it wants to; n counts
	// from 1.
	fail func(w http.ResponseWriter, n int, lines []string) bool
}

func newSink(t *testing.T) *sink {
	s := &sink{lines: map[string]int{}, urls: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(t, w, r) }))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) serve(t *testing.T, w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auth = r.Header.Get("Authorization")
	if r.URL.Path == "/query" {
		s.queries = append(s.queries, r.PostFormValue("q"))
		answer := `{"results":[{"statement_id":0}]}`
		switch {
		case r.PostFormValue("q") == "SHOW DATABASES":
			answer = `{"results":[{"series":[{"name":"databases","columns":["name"],"values":[["_internal"],["telemetry"]]}]}]}`
		case strings.HasPrefix(r.PostFormValue("q"), `SHOW RETENTION POLICIES ON "telemetry"`):
			answer = `{"results":[{"series":[{"columns":["name","duration"],"values":[["autogen","0s"],["default","0s"]]}]}]}`
		case strings.Contains(r.PostFormValue("q"), "forbidden"):
			answer = `{"results":[{"error":"not here"}]}`
		}
		_, _ = io.WriteString(w, answer)
		return
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%s %s", r.Method, r.Header)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // given up half-way, as another request was refused
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Error(err)
		return
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	s.requests++
	if s.fail != nil && s.fail(w, s.requests, lines) {
		return
	}
	s.urls[r.URL.Path+"?"+r.URL.RawQuery]++
	q := r.URL.Query()
	for _, l := range lines {
		s.lines[q.Get("db")+q.Get("bucket")+" "+q.Get("rp")+" "+l]++
	}
	w.WriteHeader(http.StatusNoContent)
}

// count returns how many requests came; one that was given up may still come.
func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// want returns the lines that a server is to have.
func want(t *testing.T, set *dataset.Set) map[string]int {
	text, _ := write(t, set, export.Options{})
	var db, rp string
	out := map[string]int{}
	for l := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if s, ok := strings.CutPrefix(l, "# CONTEXT-DATABASE: "); ok {
			db = s
		} else if s, ok := strings.CutPrefix(l, "# CONTEXT-RETENTION-POLICY: "); ok {
			rp = s
		} else if db != "" && l != "" {
			out[db+" "+rp+" "+l]++
		}
	}
	return out
}

// clock is a sleep that takes no time.
type clock struct {
	mu    sync.Mutex
	slept []time.Duration
}

func (c *clock) sleep(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slept = append(c.slept, d)
	ch := make(chan time.Time, 1)
	ch <- time.Time{}
	return ch
}

func TestSend(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	lines := want(t, set)
	s := newSink(t)
	r, err := export.Send(t.Context(), export.Target{URL: strings.Replace(s.URL, "//", "//me:secret@", 1) + "/", Batch: 100}, set, export.Options{})
	if err != nil || r.Points != int64(len(lines)) || r.Lost() || r.Retries != 0 {
		t.Fatal(r, err)
	}
	if !maps.Equal(s.lines, lines) {
		t.Errorf("%d lines, want %d", len(s.lines), len(lines))
	}
	if len(s.urls) != 3 || s.urls["/write?db=telemetry&precision=n&rp=default"] == 0 || s.auth != "Basic bWU6c2VjcmV0" {
		t.Errorf("%v %q", s.urls, s.auth)
	}
	if s.count() < 29 || s.count() > 33 {
		t.Errorf("%d requests", s.count())
	}

	// The interface of InfluxDB 2.
	s = newSink(t)
	o := export.Options{Databases: map[string]string{"events": "new events"}, Policies: map[string]string{"default": ""}, Precision: influx.Microsecond}
	if _, err := export.Send(t.Context(), export.Target{URL: s.URL + "/api/v2/write?x=y", Org: "o", Token: "tok"}, set, o); err != nil {
		t.Fatal(err)
	}
	urls := []string{
		"/api/v2/write?bucket=new+events&org=o&precision=us&x=y",
		"/api/v2/write?bucket=telemetry%2Fweek&org=o&precision=us&x=y",
		"/api/v2/write?bucket=telemetry&org=o&precision=us&x=y",
	}
	if !slices.Equal(sorted(s.urls), urls) || s.auth != "Token tok" {
		t.Errorf("%q %q", sorted(s.urls), s.auth)
	}
	for line := range s.lines {
		if tm := line[strings.LastIndexByte(line, ' ')+1:]; len(tm) != len("1446058800000000") {
			t.Fatalf("%s: not microseconds", line)
		}
	}
}

func TestCreate(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	s := newSink(t)
	if _, err := export.Send(t.Context(), export.Target{URL: s.URL, Create: true}, set, export.Options{}); err != nil {
		t.Fatal(err)
	}
	queries := []string{
		`SHOW DATABASES`,
		`CREATE DATABASE "events"`,
		`SHOW RETENTION POLICIES ON "events"`,
		`CREATE RETENTION POLICY "default" ON "events" DURATION INF REPLICATION 1 SHARD DURATION 7d DEFAULT`,
		`SHOW RETENTION POLICIES ON "telemetry"`,
		`CREATE RETENTION POLICY "week" ON "telemetry" DURATION INF REPLICATION 1 SHARD DURATION 1d`,
	}
	if !slices.Equal(s.queries, queries) {
		t.Errorf("%q", s.queries)
	}
	s = newSink(t)
	if _, err := export.Send(t.Context(), export.Target{URL: s.URL, Create: true}, set, export.Options{KeepDurations: true}); err != nil {
		t.Fatal(err)
	}
	if q := s.queries[len(s.queries)-1]; !strings.Contains(q, "DURATION 7d") {
		t.Errorf("%q", q)
	}
	_, err := export.Send(t.Context(), export.Target{URL: s.URL, Create: true}, set, export.Options{Databases: map[string]string{"events": "forbidden"}})
	if !errors.Is(err, export.ErrRejected) || !strings.Contains(err.Error(), "not here") {
		t.Error(err)
	}
}

func TestRate(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	s := newSink(t)
	var c clock
	target := export.Target{URL: s.URL, Batch: 100, Rate: 10}
	target.SetSleep(c.sleep)
	r, err := export.Send(t.Context(), target, set, export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Nobody really slept, so that each wait is longer: the last for all points
	// but those of the last batches, at ten a second.
	if last := c.slept[len(c.slept)-1]; len(c.slept) < 25 || last < time.Duration(r.Points-200)*time.Second/10-10*time.Second {
		t.Errorf("%d waits, the last %v", len(c.slept), last)
	}
}

// TestSendResume: a run after one that failed sends what is missing, and little
// more.
func TestSendResume(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	lines := want(t, set)
	s := newSink(t)
	state := t.TempDir() + "/state"
	var broken atomic.Bool // asked by a request that was given up, too
	broken.Store(true)
	s.fail = func(w http.ResponseWriter, n int, lines []string) bool {
		if broken.Load() && n > 40 {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	o := export.Options{Checkpoint: state}
	o.SetTaskWeight(1)
	send := func() (export.Report, error) {
		return export.Send(t.Context(), export.Target{URL: s.URL, Batch: 50}, set, o)
	}
	if _, err := send(); !errors.Is(err, export.ErrRejected) {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(state); err != nil || !strings.Contains(string(b), `"begun": true`) || strings.Contains(string(b), s.URL) {
		t.Fatalf("%s, %v", b, err)
	}
	broken.Store(false)
	had := s.count()
	r, err := send()
	if err != nil || r.Points != int64(len(lines)) || !r.Resumed {
		t.Fatal(r, err)
	}
	if all := len(lines)/50 + 1; s.count()-had >= all {
		t.Errorf("%d requests, as many as for all", s.count()-had)
	}
	for l := range lines {
		if s.lines[l] == 0 {
			t.Errorf("%s is missing", l)
		}
	}
	had = s.count()
	if r, err := send(); err != nil || r.Points != int64(len(lines)) || s.count() != had {
		t.Error(r, err)
	}
	o.Databases = map[string]string{"events": "x"}
	if _, err := send(); !errors.Is(err, export.ErrCheckpoint) {
		t.Error(err)
	}
}

// TestSendCancel: a cancelled export ends, whatever the server does.
func TestSendCancel(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	s := newSink(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.fail = func(w http.ResponseWriter, n int, _ []string) bool {
		cancel()
		w.Header().Set("Retry-After", "100")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	if _, err := export.Send(ctx, export.Target{URL: s.URL}, set, export.Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestURL(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	s := newSink(t)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/write"
	u.RawQuery = "consistency=any"
	if _, err := export.Send(t.Context(), export.Target{URL: u.String()}, set, export.Options{Policies: map[string]string{"default": ""}}); err != nil {
		t.Fatal(err)
	}
	if s.urls["/write?consistency=any&db=telemetry&precision=n"] == 0 {
		t.Errorf("%v", s.urls)
	}
}
