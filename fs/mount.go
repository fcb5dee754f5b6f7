package fs

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"os"
	"strconv"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxBackground is how many reads ahead may wait for an answer.
const maxBackground = 64

// readAheadKB is how far the kernel may read ahead in a file, where we may say
// so. The kernel's default is 128.
const readAheadKB = 4096

// Server serves one mounted tree. Its methods may be called concurrently.
type Server struct {
	dir   string
	dev   uint64 // st_dev of all files in the mount
	id    uint64 // see ID
	guard *guard
	mount *mount
	log   *slog.Logger
	plain error         // why there is no passthrough, nil if there is
	done  chan struct{} // closed when serving has ended
}

// Mount shows the tree at the directory dir and returns when it answers. The
// directory must pass [CheckMountPoint] with opts.SourceDirs. The tree must not
// be closed before [Server.Wait] has returned.
//
// Errors about the directory are [ErrMountPoint]; if mounting is not possible
// at all, they are [ErrUnavailable].
func Mount(dir string, tree iofs.FS, opts Options) (*Server, error) {
	wrap := func(err error, classes ...error) error { return &mountError{"mount", dir, err, classes} }
	fi, err := iofs.Stat(tree, ".")
	if err != nil {
		return nil, wrap(fmt.Errorf("root of the tree: %w", err))
	}
	if !fi.IsDir() {
		return nil, wrap(fmt.Errorf("root of the tree: %w", syscall.ENOTDIR))
	}
	if err := CheckMountPoint(dir, opts.SourceDirs...); err != nil {
		return nil, err
	}
	real, err := resolve(dir)
	if err != nil {
		return nil, wrap(err, ErrMountPoint)
	}
	fd, err := attach(real, &opts)
	if err != nil {
		return nil, wrap(err)
	}
	s, err := serve(real, fd, tree, &opts)
	if err != nil {
		return nil, wrap(errors.Join(err, detach(real)))
	}
	return s, nil
}

// serve answers the requests that come through fd, which it takes over.
func serve(dir string, fd int, tree iofs.FS, opts *Options) (*Server, error) {
	set := opts.settings()
	errorLog := slog.NewLogLogger(set.log.Handler(), slog.LevelWarn)
	if opts.Debug {
		errorLog = slog.NewLogLogger(set.log.Handler(), slog.LevelDebug)
	}
	m := newMount(tree, set)
	g := &guard{fs: m, log: set.log}

	depth := 0
	if set.backing != nil {
		depth = stackDepth
	}
	c := newConn(fd, g, m, &fuse.MountOptions{
		MaxWrite:                 maxRead, // also the most for one read
		MaxBackground:            maxBackground,
		EnableSymlinkCaching:     true,
		ExplicitDataCacheControl: true, // contents do not change behind our back
		IgnoreSecurityLabels:     true,
		MaxStackDepth:            depth,
		Debug:                    opts.Debug,
		Logger:                   errorLog,
		// Attributes come with all of a listing: CAP_READDIRPLUS_AUTO would
		// make most files of a large directory a request of their own.
	}, set.log)
	m.conn = c
	s := &Server{dir: dir, guard: g, mount: m, log: set.log, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if err := c.run(); err != nil {
			set.log.Debug("close", "path", devFuse, "cause", err)
		}
	}()
	// Nothing that this process would have to answer is asked here: if it were
	// killed then, it would wait for the answer, and not end. The kernel has a
	// first request of its own.
	select {
	case <-c.ready:
	case <-s.done:
		return nil, fmt.Errorf("the kernel does not take the connection: %w", unix.ENODEV)
	}
	st, err := statMount(dir)
	if err != nil {
		return nil, err
	}
	s.dev, s.id = unix.Mkdev(st.Dev_major, st.Dev_minor), st.id()
	s.raiseReadAhead()
	s.plain = m.probe()
	return s, nil
}

// raiseReadAhead lets the kernel read further ahead than 128 KiB. Only root
// may, and where that is not so, or /sys is not there, reading works as well.
func (s *Server) raiseReadAhead() {
	name := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(s.dev), unix.Minor(s.dev))
	if err := os.WriteFile(name, []byte(strconv.Itoa(readAheadKB)), 0); err != nil {
		s.log.Debug("read-ahead not raised", "cause", err)
	}
}

// Dir returns the mount point, absolute and without symbolic links.
func (s *Server) Dir() string { return s.dir }

// Passthrough returns nil if the kernel reads the files that [Options.Backing]
// has by itself, and otherwise why it does not.
func (s *Server) Passthrough() error { return s.plain }

// Counters returns what was asked of the server so far, by operation.
func (s *Server) Counters() map[string]Counter { return s.guard.counters.snapshot() }

// Wait returns when the kernel has no more use for the tree: it was unmounted,
// and all files that were open at that time are closed.
func (s *Server) Wait() { <-s.done }
