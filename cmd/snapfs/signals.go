package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// signals has the first signal end a context, and the second kill the process,
// unless somebody takes them. None is lost in between.
type signals struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	ended  bool
	taken  chan os.Signal
	in     chan os.Signal
}

// notify returns a context that a signal ends.
func notify(ctx context.Context) (context.Context, *signals) {
	ctx, cancel := context.WithCancel(ctx)
	s := &signals{cancel: cancel, in: make(chan os.Signal, 4)}
	signal.Notify(s.in, os.Interrupt, syscall.SIGTERM)
	go func() {
		for sig := range s.in {
			s.deliver(sig)
		}
	}()
	return ctx, s
}

func (s *signals) deliver(sig os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.ended = true
		s.cancel()
		signal.Stop(s.in)
		return
	}
	select {
	case s.taken <- sig:
	default: // so many have come that one more says nothing
	}
}

// take has signals go to a channel from now on. It is an error if one came
// before. Nil has none.
func (s *signals) take() (<-chan os.Signal, error) {
	if s == nil {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, context.Canceled
	}
	s.taken = make(chan os.Signal, 4)
	return s.taken, nil
}
