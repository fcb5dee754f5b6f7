package main

import (
	"math"
	"testing"
)

func TestGCPercent(t *testing.T) {
	for used, want := range map[uint64]int{0: 100, 1 << 20: 100, 4 << 20: 100, 8 << 20: 50, 32 << 20: 12, 40 << 20: 10, math.MaxUint64: 10} {
		if got := gcPercent(used); got != want {
			t.Errorf("%d bytes: %d %%, want %d %%", used, got, want)
		}
	}
}
