package export_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

// TestBusy: a server that has no time is asked again, and gets each point.
func TestBusy(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	lines := want(t, set)
	s := newSink(t)
	s.fail = func(w http.ResponseWriter, n int, _ []string) bool {
		switch n % 5 {
		case 1:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			http.Error(w, "{\"error\":\"timeout\"}", http.StatusServiceUnavailable)
		case 3:
			panic(http.ErrAbortHandler) // the connection ends
		default:
			return false
		}
		return true
	}
	var c clock
	var told atomic.Int64
	target := export.Target{URL: s.URL, Batch: 500, Waiting: func(why error) {
		if told.Add(1); !errors.Is(why, export.ErrUnavailable) {
			t.Errorf("waiting for %v", why)
		}
	}}
	target.SetSleep(c.sleep)
	r, err := export.Send(t.Context(), target, set, export.Options{})
	if err != nil || r.Points != int64(len(lines)) || r.Lost() || r.Retries == 0 || int(r.Retries) != len(c.slept) || r.Retries != told.Load() {
		t.Fatal(r, err, c.slept)
	}
	if !maps.Equal(s.lines, lines) {
		t.Errorf("%d lines, want %d", len(s.lines), len(lines))
	}
	if !slices.Contains(c.slept, 7*time.Second) {
		t.Errorf("slept %v: the server asked for 7 s", c.slept)
	}
	for _, d := range c.slept {
		if d <= 0 || d > 30*time.Second {
			t.Errorf("slept %v", d)
		}
	}
}

// TestGone: a server that does not come back ends the export.
func TestGone(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	s := newSink(t)
	s.Close()
	var c clock
	target := export.Target{URL: strings.Replace(s.URL, "//", "//me:secret@", 1), Retries: 3}
	target.SetSleep(c.sleep)
	_, err := export.Send(t.Context(), target, set, export.Options{})
	if !errors.Is(err, export.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	if len(c.slept) < 3 || len(c.slept) > 6 { // two batches at a time
		t.Errorf("slept %v", c.slept)
	}
}

// TestRefused: answers that mean the same for every request end the export.
func TestRefused(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed} {
		s := newSink(t)
		s.fail = func(w http.ResponseWriter, n int, _ []string) bool {
			http.Error(w, `{"code":"x","message":"go away"}`, status)
			return true
		}
		_, err := export.Send(t.Context(), export.Target{URL: s.URL}, set, export.Options{})
		var se *export.ServerError
		if !errors.Is(err, export.ErrRejected) || !errors.As(err, &se) || se.Status != status || se.Text != "go away" || s.count() > 2 {
			t.Errorf("%d: %v after %d requests", status, err, s.count())
		}
		if status != http.StatusMethodNotAllowed && hint.Of(err) == "" {
			t.Errorf("%d: no hint", status)
		}
	}
	for _, u := range []string{"", "localhost:8086", "ftp://x", "http://", "http://a:secret@%zz"} {
		_, err := export.Send(t.Context(), export.Target{URL: u}, set, export.Options{})
		if !errors.Is(err, export.ErrOption) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", u, err)
		}
	}
	if _, err := export.Send(t.Context(), export.Target{URL: "http://localhost", Create: true, Org: "x"}, set, export.Options{}); !errors.Is(err, export.ErrOption) {
		t.Error(err)
	}
}

// TestRejected: points that a server does not take are found, and all others
// get there.
func TestRejected(t *testing.T) {
	set := sampleTree(t, space.Options{}).Data()
	lines := want(t, set)
	bad := func(line string) bool {
		return strings.Contains(line, "1.10") || strings.Contains(line, "1446008400000000000")
	}
	s := newSink(t)
	s.fail = func(w http.ResponseWriter, _ int, lines []string) bool {
		if len(lines) > 600 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return true
		}
		if !slices.ContainsFunc(lines, bad) {
			return false
		}
		http.Error(w, `{"error":"partial write: field type conflict: dropped=1"}`, http.StatusBadRequest)
		return true
	}
	r, err := export.Send(t.Context(), export.Target{URL: s.URL}, set, export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rejected := 0
	for l := range lines {
		_, line, _ := strings.Cut(l, " ")
		_, line, _ = strings.Cut(line, " ")
		switch n := s.lines[l]; {
		case bad(line):
			rejected++
			if n != 0 {
				t.Errorf("%s was taken", l)
			}
		case n == 0:
			t.Errorf("%s is missing", l)
		}
	}
	if rejected == 0 || r.Rejected != int64(rejected) || r.Points != int64(len(lines)-rejected) || !r.Lost() || len(r.Errors) != rejected {
		t.Errorf("%d rejected; %+v", rejected, r)
	}
	for _, err := range r.Errors {
		var se *export.ServerError
		if !errors.As(err, &se) || se.Points != 1 || len(se.Lines) != 1 || !bad(se.Lines[0]) || !strings.Contains(se.Text, "field type conflict") {
			t.Errorf("%v", err)
		}
	}

	// A server that takes nothing is not asked about each point.
	s = newSink(t)
	s.fail = func(w http.ResponseWriter, _ int, lines []string) bool {
		http.Error(w, "no", http.StatusBadRequest)
		return true
	}
	r, err = export.Send(t.Context(), export.Target{URL: s.URL}, set, export.Options{})
	if err != nil || r.Rejected != int64(len(lines)) || r.Points != 0 {
		t.Errorf("%+v %v", r, err)
	}
	if s.count() > 400 {
		t.Errorf("%d requests", s.count())
	}
}
