package serverdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrRunning is returned when a server seems to be running.
var ErrRunning = errors.New("a running server")

// dialTimeout is how long an address of this machine may take to answer.
const dialTimeout = 2 * time.Second

// Locked returns an error that matches [ErrRunning] if a process holds the lock
// of a Bolt file in one of the directories, as a server does while it runs.
// Directories that are not there, and what cannot be opened, count as free.
func Locked(ctx context.Context, dirs ...string) error {
	for _, dir := range dirs {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real // a walk would stop at a link
		}
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if cerr := context.Cause(ctx); cerr != nil {
				return cerr
			}
			if err != nil || !d.Type().IsRegular() || !locked(p) {
				return nil
			}
			return fmt.Errorf("%s: locked by %w", p, ErrRunning)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// locked reports whether somebody may write to a Bolt file.
func locked(name string) bool {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close() // which gives the lock back
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// Answering returns an error that matches [ErrRunning] if something accepts
// connections on an address that the server would listen on. Without a host,
// and with 0.0.0.0 or ::, that is any address of this machine.
func (c Config) Answering(ctx context.Context) error {
	dial := net.Dialer{Timeout: dialTimeout}
	for _, addr := range c.Listen {
		for _, a := range reach(addr) {
			conn, err := dial.DialContext(ctx, "tcp", a)
			if err == nil {
				conn.Close()
				return fmt.Errorf("%s answers: %w, or another program", a, ErrRunning)
			}
			if cerr := context.Cause(ctx); cerr != nil {
				return cerr
			}
		}
	}
	return nil
}

// reach returns where a program that listens on addr is reached from here.
func reach(addr string) []string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
	}
	return []string{addr}
}
