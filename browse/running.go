package browse

import (
	"sync"

	tea "charm.land/bubbletea/v2"
)

// running counts the commands under way, so that what they read is not closed
// before they have ended.
type running struct {
	mu     sync.Mutex
	idle   sync.Cond
	n      int
	closed bool
}

// command returns f as a command that does nothing once the model is closed.
func (r *running) command(f func() tea.Msg) tea.Cmd {
	return func() tea.Msg {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return nil
		}
		r.n++
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			r.n--
			r.idle.Broadcast()
			r.mu.Unlock()
		}()
		return f()
	}
}

// close keeps further commands from beginning, and waits for the others.
func (r *running) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for r.n > 0 {
		r.idle.Wait()
	}
}
