package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// TestSignals gives each signal to one that wants it: the context before
// somebody takes them, and who takes them after that.
func TestSignals(t *testing.T) {
	ctx, s := notify(t.Context())
	defer s.stop()
	taken, err := s.take()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if sig := <-taken; sig != syscall.SIGTERM || ctx.Err() != nil {
		t.Errorf("%v, %v", sig, ctx.Err())
	}
	for range 2 * cap(taken) { // nobody reads
		s.deliver(syscall.SIGINT)
	}

	ctx, other := notify(t.Context())
	defer other.stop()
	other.deliver(syscall.SIGINT)
	if err := ctx.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("context: %v", err)
	}
	if _, err := other.take(); !errors.Is(err, context.Canceled) {
		t.Errorf("taken: %v", err)
	}
}

// stop gives signals the meaning that they have without this program.
func (s *signals) stop() {
	signal.Stop(s.in)
	s.cancel()
}
