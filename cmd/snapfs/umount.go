package main

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/space"
)

type umountCmd struct {
	Dir  string `arg:"" name:"dir" help:"Mount point." predictor:"dir"`
	Lazy bool   `short:"l" help:"Detach now, even if it is in use; what is open stays readable until it is closed."`

	Dead   bool `hidden:"" help:"Do nothing unless the process that served it is gone."`
	Beside bool `hidden:"" help:"With --dead: take down the mount of the kernel beside it as well."`
}

func (umountCmd) Help() string {
	return `The command returns when the process that served the mount has released everything, and a directory that --mkdir
made is gone. Of a mount with --control, DIR takes both down, DIR2 only itself.

Example:
  snapfs umount /mnt/snap`
}

const (
	askServer     = time.Second     // how long a mount may take to say who serves it
	waitForServer = 5 * time.Second // how long that process may take to end
)

func (c *umountCmd) Run(*App) error {
	if c.Dead {
		return fs.UnmountDead(c.Dir, c.Beside)
	}
	server := serverOf(cmp.Or(fs.Beside(c.Dir), c.Dir))
	if server >= 0 {
		defer unix.Close(server)
	}
	if err := fs.Unmount(c.Dir, c.Lazy); err != nil {
		return err
	}
	if server >= 0 && !c.Lazy {
		// Unmounting is done. That the process has not ended by then, or is
		// not one of ours, is no error.
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(server), Events: unix.POLLIN}}, int(waitForServer.Milliseconds()))
	}
	return nil
}

// serverOf returns a descriptor of the process that serves the mount at dir, -1
// if it cannot be told. A mount that hangs can be unmounted all the same.
func serverOf(dir string) int {
	found := make(chan int, 1)
	go func() {
		var status struct {
			PID int `json:"pid"`
		}
		b, err := os.ReadFile(filepath.Join(dir, space.Control, "status.json"))
		if err != nil || json.Unmarshal(b, &status) != nil || status.PID <= 1 || status.PID == os.Getpid() {
			found <- -1
			return
		}
		fd, err := unix.PidfdOpen(status.PID, 0)
		if err != nil {
			fd = -1
		}
		found <- fd
	}()
	select {
	case fd := <-found:
		return fd
	case <-time.After(askServer):
		return -1
	}
}
