package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/internal/hint"
)

// readyEnv names the variable by which a mount in the background knows the
// descriptor on which its parent waits.
const readyEnv = "SNAPFS_READY_FD"

// ready is a message from child to parent. The last one says how it went: without
// an error the mount can be used.
type ready struct {
	Mount  uint64 `json:"mount,omitempty"` // there is more to come; the ID of the child's mount, for fs.UnmountBeside
	Error  string `json:"error,omitempty"`
	Hint   string `json:"hint,omitempty"`
	Code   int    `json:"code"`
	Engine string `json:"engine,omitempty"` // for mount -v
	// Unavailable says that the error is fs.ErrUnavailable.
	Unavailable bool `json:"unavailable,omitempty"`
}

// remote is an error of the child.
type remote struct {
	text        string
	unavailable bool
}

func (r *remote) Error() string        { return r.text }
func (r *remote) Is(target error) bool { return r.unavailable && target == fs.ErrUnavailable }

// background starts the mount in a process of its own, and returns when it can
// be used or has failed.
func (c *mountCmd) background(a *App) error {
	args, err := c.childArgs()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	end, atEnd, err := os.Pipe()
	if err != nil {
		return errors.Join(err, w.Close())
	}
	defer end.Close()
	cmd := exec.Command(self, args...)
	cmd.Args[0] = os.Args[0]
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), readyEnv+"=3", survivorEnv+"=4")
	cmd.ExtraFiles = []*os.File{w, atEnd}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	atEnd.Close()
	if err != nil {
		return fmt.Errorf("start the serving process: %w", err)
	}
	_ = startSurvivor(end, cmp.Or(c.Control, args[len(args)-1])) // the server goes without, and logs it
	var how string
	var id uint64
	result := make(chan error, 1)
	go func() {
		var err error
		how, id, err = wait(r)
		result <- err
	}()
	select {
	case err = <-result:
	case <-a.ctx.Done():
		err = errors.Join(a.ctx.Err(), cmd.Process.Signal(syscall.SIGTERM))
	}
	if err != nil {
		_ = cmd.Wait() // it ends by itself, and its error is known
		if errors.Is(err, errNoWord) {
			err = errors.Join(err, fs.UnmountBeside(id), fs.UnmountDead(cmp.Or(c.Control, c.Dir), false))
		}
		return err
	}
	if c.Verbose {
		if c.Control != "" {
			fmt.Fprintf(a.Stderr, "mounted %s on %s, served by the kernel\n", printable(c.Snap), printable(c.Dir))
		}
		fmt.Fprintf(a.Stderr, "mounted %s on %s, served by process %d\nengine: %s\n",
			printable(c.Snap), printable(cmp.Or(c.Control, c.Dir)), cmd.Process.Pid, how)
	}
	return cmd.Process.Release()
}

// childArgs returns the command line of the child: the same, with absolute
// paths, in the foreground.
func (c *mountCmd) childArgs() ([]string, error) {
	snap, err := filepath.Abs(c.Snap)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	args := []string{"mount", "--foreground"}
	if c.Control != "" {
		args = append(args, "--control="+c.Control) // kong makes it absolute
	}
	for flag, on := range map[string]bool{"--verbose": c.Verbose, "--allow-other": c.AllowOther, "--mkdir": c.Mkdir, "--show-control": c.ShowControl} {
		if on {
			args = append(args, flag)
		}
	}
	if c.At != "" {
		args = append(args, "--at="+c.At)
	}
	if c.Ghosts != chain.Show {
		args = append(args, "--ghosts="+c.Ghosts.String())
	}
	if c.LogFile != "" {
		args = append(args, "--log-file="+c.LogFile)
	}
	if c.Mode != 0 {
		args = append(args, "--mode="+strconv.FormatUint(uint64(c.Mode), 8))
	}
	if c.UID != nil {
		args = append(args, "--uid="+strconv.FormatUint(uint64(*c.UID), 10))
	}
	if c.GID != nil {
		args = append(args, "--gid="+strconv.FormatUint(uint64(*c.GID), 10))
	}
	args = append(args, c.engineFlags.args()...)
	return append(args, "--", snap, dir), nil
}

var errNoWord = errors.New("the serving process ended without a word")

// wait reads the child's messages, and returns what they say of the engine and of
// the mount.
func wait(r io.Reader) (engine string, id uint64, err error) {
	var m ready
	for messages := json.NewDecoder(r); ; {
		m = ready{}
		if err = messages.Decode(&m); err != nil || m.Mount == 0 {
			break
		}
		id = m.Mount
	}
	if errors.Is(err, io.EOF) {
		return "", id, errNoWord
	}
	if err != nil {
		return "", id, fmt.Errorf("the serving process: %w", err)
	}
	if m.Error == "" {
		return m.Engine, id, nil
	}
	err = &remote{m.Error, m.Unavailable}
	if m.Hint != "" {
		err = hint.Wrap(err, "%s", m.Hint)
	}
	return "", id, &codeError{err, m.Code}
}

// tellMount says to a parent that waits, if there is one, which mount this
// process serves. It is called before tellParent.
func tellMount(a *App, id uint64) error {
	fd, err := strconv.Atoi(a.Getenv(readyEnv))
	if err != nil || a.told {
		return nil
	}
	b, err := json.Marshal(ready{Mount: id})
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, b)
	return os.NewSyscallError("write", err)
}

// tellParent says to a parent that waits, if there is one, how the mount went.
// It can be called once.
func tellParent(a *App, err error, how engine) error {
	fd, convErr := strconv.Atoi(a.Getenv(readyEnv))
	if convErr != nil || a.told {
		return nil
	}
	a.told = true
	w := os.NewFile(uintptr(fd), "parent")
	if w == nil {
		return fmt.Errorf("%s: not a descriptor", readyEnv)
	}
	m := ready{Engine: how.String()}
	if err != nil {
		m = ready{Error: err.Error(), Hint: hint.Of(err), Code: exitCode(err), Unavailable: errors.Is(err, fs.ErrUnavailable)}
	}
	werr := json.NewEncoder(w).Encode(m)
	return errors.Join(werr, w.Close())
}
