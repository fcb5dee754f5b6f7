package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/space"
)

type mountCmd struct {
	Snap       string `arg:"" name:"snap" help:"Path of the full snapshot of a chain, of any tar, or of a Bolt file." predictor:"file"`
	Dir        string `arg:"" name:"dir" help:"Empty directory to mount on." predictor:"dir"`
	Foreground bool   `short:"f" help:"Stay in the foreground and log to standard error."`
	Verbose    bool   `short:"v" help:"Say what was mounted, and log more."`
	At         string `placeholder:"POINT" help:"Show this point in time at the root, see snapfs points. All points are in .snapfs/points."`
	ghostsFlag
	hashesFlag
	engineFlags
	Control     string  `placeholder:"DIR2" help:"With --engine kernel: empty directory for a second mount, which a process serves and which has .snapfs." type:"path" predictor:"dir"`
	AllowOther  bool    `help:"Let other users in, as the permission bits say."`
	Mkdir       bool    `help:"Make the directory, and remove it after unmounting."`
	ShowControl bool    `help:"List the directory .snapfs in the root; it is there in any case."`
	LogFile     string  `placeholder:"FILE" help:"Append the log to a file. Without it a mount in the background logs nothing." type:"path"`
	Mode        octal   `placeholder:"MODE" help:"Permission bits of all files, octal, such as 0440. Directories get search permission with it."`
	UID         *uint32 `name:"uid" placeholder:"ID" help:"Owner of all files. Default: you."`
	GID         *uint32 `name:"gid" placeholder:"ID" help:"Group of all files."`
}

func (mountCmd) Help() string {
	return `The command returns when the mount can be used, and a process in the background serves it. Besides the files
of the snapshot there is a hidden directory .snapfs with all points in time, each tar by itself, and every Bolt
file as a tree of directories.

With --engine kernel, files, names and attributes all come from the kernel, and no process serves them. There is then
no .snapfs; with --control DIR2 there is an ordinary mount at DIR2 as well, which has it, and a process that serves it.
Either both are mounted or none. umount DIR takes both down, umount DIR2 only that one. The kernel refuses a snapshot
with files that it cannot serve. A tar that is written to, which other engines notice, is read as it is then: do so only
with tars that nobody changes.

With the other engines, files of a tar that is written to fail with EIO from then on; a tar that is replaced or removed
is read as it was. Both are in the log: standard error with --foreground, or --log-file. If the process is killed, its
mount is taken down.

Examples:
  snapfs mount /tmp/snap /mnt/snap
  snapfs mount --at 0 --mkdir /tmp/snap /mnt/before
  snapfs mount -f --allow-other /tmp/snap /mnt/snap       as a service
  snapfs mount --engine kernel /tmp/snap /mnt/snap        as root: as fast as a disk
  snapfs mount --engine kernel --control /mnt/control /tmp/snap /mnt/snap
  ls /mnt/snap /mnt/snap/.snapfs/points
  snapfs umount /mnt/snap`
}

// octal is a number in base 8 on the command line.
type octal uint32

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *octal) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is no mode such as 0440", b)
	}
	*o = octal(n)
	return nil
}

func (c *mountCmd) Run(a *App) error {
	if err := c.checkEngine(); err != nil {
		return usageError(err)
	}
	if c.Engine == engineKernel && c.Control == "" {
		return c.native(a)
	}
	if !c.Foreground {
		return c.background(a)
	}
	if err := c.foreground(a); err != nil {
		return errors.Join(err, tellParent(a, err, engine{}))
	}
	return nil
}

// mkdir makes the mount point. It is no error if it is there.
func mkdir(dir string) (made bool, err error) {
	err = os.Mkdir(dir, 0o755)
	if errors.Is(err, iofs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, &codeError{err, exitMountPoint}
	}
	return true, nil
}

// rmdir removes what mkdir made, unless somebody else has.
func rmdir(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return nil
}

// foreground serves the mount until it is taken down.
func (c *mountCmd) foreground(a *App) (err error) {
	log, closeLog, err := c.logger(a)
	if err != nil {
		return err
	}
	defer closeLog()
	if c.LogFile == "" && a.Getenv(readyEnv) != "" {
		log = slog.New(slog.DiscardHandler) // in the background
	}

	var served atomic.Pointer[serving]
	started := time.Now()
	status := func() ([]byte, error) { return c.status(served.Load(), started) }
	source, err := filepath.Abs(c.Snap)
	if err != nil {
		return err
	}
	c.Snap = source // who reads .snapfs may be anywhere
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	dir := cmp.Or(c.Control, c.Dir) // that this process serves
	survivor := sync.OnceValue(func() survivor { return outlive(a, dir, log) })
	go survivor() // while the chain is opened: to start one takes a while
	defer func() { survivor().done() }()
	collect := sync.OnceFunc(rarely())
	defer collect()
	t, err := snapArg{c.Snap}.open(space.Options{At: c.At, Ghosts: c.Ghosts, ShowControl: c.ShowControl || c.Control != "", ShowHashes: c.ShowHashes, Status: status})
	if err != nil {
		return err
	}
	defer t.Close()
	opts := c.options(source)
	opts.Totals, opts.Logger = t.Totals, log
	image, err := c.image(t, &opts)
	if err != nil {
		return err
	}
	defer image.Close()
	// Made last, so that it is removed before the rest is taken apart.
	if c.Mkdir {
		made, mkdirErr := mkdir(c.Dir)
		if mkdirErr != nil {
			return mkdirErr
		}
		if made {
			defer func() { err = errors.Join(err, rmdir(c.Dir)) }()
		}
	}
	// From here on signals are for the mount: the first one unmounts.
	signals, err := a.signals.take()
	if err != nil {
		return err
	}
	// The tree is made now, for somebody is going to look at it, so that what
	// that takes is given back with the rest.
	if _, err := t.Stat("."); err != nil {
		return err
	}
	survivor() // is there from here on
	s, err := fs.Mount(dir, t, opts)
	if err != nil {
		return err
	}
	how := image.engine(s)
	served.Store(&serving{s, how})
	log.Info("mounted", "source", source, "dir", s.Dir(), "engine", how.String())
	err = c.check(s)
	if c.Control != "" && err == nil {
		if err = tellMount(a, s.ID()); err == nil {
			err = c.beside(a, t, s, log)
		}
	}
	if err == nil {
		survivor().mounted()
		if err = tellParent(a, nil, how); err != nil && c.Control != "" {
			err = errors.Join(err, fs.Unmount(c.Dir, true))
		}
	}
	if err != nil {
		return errors.Join(err, s.Detach())
	}
	collect()
	defer time.AfterFunc(settled, shrink).Stop()
	warn(t.Chain(), log)
	stop := watch(t.Chain(), s, log)
	err = s.Run(signals)
	stop()
	log.Info("unmounted", "dir", s.Dir())
	return err
}

// warn logs what is odd about a chain.
func warn(c *chain.Chain, log *slog.Logger) {
	// Single members are not looked at for nothing: there may be a million.
	if c == nil || !log.Enabled(context.Background(), slog.LevelWarn) {
		return
	}
	for _, w := range c.Warnings() {
		log.Warn(w.String(), "code", w.Code, "file", w.File)
	}
}

// settled is how long after mounting memory is given back: not at once, for who
// has mounted is about to look, and both take all processors.
const settled = 500 * time.Millisecond

// rarely has the garbage collector run less often until it is told otherwise:
// nearly all of what opening makes stays.
func rarely() (undo func()) {
	before := debug.SetGCPercent(400)
	return func() { debug.SetGCPercent(before) }
}

// options returns what the flags say of the files in a mount.
func (c *mountCmd) options(source string) fs.Options {
	opts := fs.Options{
		Source: source, SourceDirs: []string{filepath.Dir(source)},
		AllowOther: c.AllowOther, UID: c.UID, GID: c.GID,
	}
	if c.Mode != 0 {
		opts.FileMode = iofs.FileMode(c.Mode)
		opts.DirMode = opts.FileMode | opts.FileMode&0o444>>2
	}
	return opts
}

// watch logs when a tar is written to or replaced, until stop is called. If it is
// written to, it has the files fail that are open in it and that the kernel reads
// by itself.
func watch(c *chain.Chain, s *fs.Server, log *slog.Logger) (stop func()) {
	if c == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := c.Watch(ctx, func(l *chain.Layer, err error) {
			if errors.Is(err, chain.ErrReplaced) {
				log.Warn("the mount goes on with the old file", "layer", l.Name, "cause", err)
				return
			}
			log.Error("its files fail from now on", "layer", l.Name, "cause", err, "revoked", s.Revoke(l.File()))
		})
		if err != nil {
			log.Warn("a tar that is written to is noticed when it is read", "cause", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// logger returns the log of a mount: a file, or standard error in the foreground.
func (c *mountCmd) logger(a *App) (*slog.Logger, func() error, error) {
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.LogFile == "" {
		return slog.New(slog.NewTextHandler(a.Stderr, opts)), func() error { return nil }, nil
	}
	f, err := os.OpenFile(c.LogFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, nil, err
	}
	opts.Level = min(level, slog.LevelInfo)
	return slog.New(slog.NewTextHandler(f, opts)), f.Close, nil
}

// serving is a mount that answers.
type serving struct {
	*fs.Server
	engine engine
}

// status is the content of status.json.
func (c *mountCmd) status(s *serving, started time.Time) ([]byte, error) {
	st := struct {
		Version   string       `json:"version"`
		PID       int          `json:"pid"`
		Source    string       `json:"source"`
		Dir       string       `json:"dir"`
		KernelDir string       `json:"kernel_dir,omitempty"`
		At        string       `json:"at,omitempty"`
		Ghosts    chain.Ghosts `json:"ghosts"`
		engine
		AllowOther bool                  `json:"allow_other"`
		Started    time.Time             `json:"started"`
		Uptime     float64               `json:"uptime_seconds"`
		Operations map[string]fs.Counter `json:"operations"`
	}{Version: version(), PID: os.Getpid(), Source: c.Snap, Dir: c.Dir, At: c.At, Ghosts: c.Ghosts, AllowOther: c.AllowOther,
		Started: started.UTC(), Uptime: time.Since(started).Seconds()}
	if c.Control != "" {
		st.KernelDir = c.Dir
	}
	if s != nil {
		st.Dir, st.engine, st.Operations = s.Dir(), s.engine, s.Counters()
	}
	b, err := json.MarshalIndent(st, "", "  ")
	return append(b, '\n'), err
}
