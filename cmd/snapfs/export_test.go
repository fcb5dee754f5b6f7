package main

import (
	"testing"
	"time"

	"github.com/snapfs/snapfs/export"
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
