package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapfs/snapfs/export"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestExportState: what an earlier run did is no measure for how long the rest
// will take.
func TestExportState(t *testing.T) {
	for _, tt := range []struct {
		p       export.Progress
		first   int64
		elapsed time.Duration
		want    string
	}{
		{export.Progress{TotalBytes: 100}, 0, 0, "0 points, 0/s"},
		{export.Progress{Points: 3000, Bytes: 25, TotalBytes: 100}, 0, 2 * time.Second, "3,000 points, 1.5 k/s, 6s left"},
		{export.Progress{Points: 5000, Bytes: 60, Before: 50, TotalBytes: 100}, 4000, time.Second, "5,000 points, 1 k/s, 4s left"},
		{export.Progress{Points: 5000, Bytes: 50, Before: 50, TotalBytes: 100}, 5000, time.Second, "5,000 points, 0/s"},
	} {
		if got := exportState(tt.p, tt.first, tt.elapsed); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.p, got, tt.want)
		}
	}
}

// TestWaiting: who waits for a server is told, once, unless quiet.
func TestWaiting(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, quiet := range []bool{false, true} {
		var requests atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) <= 3 {
				w.Header().Set("Retry-After", "0")
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		args := []string{"export", snap, "--to", s.URL}
		want := 1
		if quiet {
			args, want = append(args, "--quiet"), 0
		}
		_, errs, code := runApp(t, args...)
		if n := strings.Count(errs, ": 503 Service Unavailable: busy; trying again"); code != exitOK || n != want {
			t.Errorf("%q: exit code %d, told %d times:\n%s", args, code, n, errs)
		}
		s.Close()
	}
}
