package main

import (
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// afterDeath is run by a shell, which is the smallest process to be had, with the
// program and a mount point. It waits for two lines, and takes the mount down if
// there is an end without one: the mount of an image as well before the first
// line. The signals are those by which a group of processes is told to end.
const afterDeath = `trap '' HUP INT TERM
read -r _ <&3 || exec "$0" umount --dead --beside -- "$1"
read -r _ <&3 || exec "$0" umount --dead -- "$1"`

// survivorEnv names the variable by which a mount in the background knows the
// descriptor that leads to its survivor. Its parent starts that, which has nothing
// else to do meanwhile.
const survivorEnv = "SNAPFS_SURVIVOR_FD"

// survivor is a process that waits for the end of this one, and takes a mount
// down if that comes without warning: by SIGKILL, a crash, or for want of memory.
// The kernel would leave a mount that only fails.
type survivor struct {
	w   *os.File // nil if there is none
	log *slog.Logger
}

// outlive returns the survivor for what is going to be mounted at dir, and starts
// it if the parent has not. There is none without a shell.
func outlive(a *App, dir string, log *slog.Logger) survivor {
	if fd, err := strconv.Atoi(a.Getenv(survivorEnv)); err == nil {
		unix.CloseOnExec(fd)
		return survivor{os.NewFile(uintptr(fd), "survivor"), log}
	}
	r, w, err := os.Pipe()
	if err == nil {
		defer r.Close()
		if err = startSurvivor(r, dir); err != nil {
			w.Close()
		}
	}
	if err != nil {
		log.Debug("the mount stays if this process is killed", "cause", err)
		return survivor{nil, log}
	}
	return survivor{w, log}
}

// startSurvivor starts a survivor that reads from r.
func startSurvivor(r *os.File, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", afterDeath, self, dir)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{r}                       // its descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // so that who kills a group spares it
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // it may be killed before this process ends
	return nil
}

// mounted is to be called when the mount is complete: one of an image then stays,
// for it needs no process.
func (s survivor) mounted() { s.tell("\n") }

// done is to be called when there is nothing to take down any more.
func (s survivor) done() {
	s.tell("\n\n")
	if s.w != nil {
		_ = s.w.Close() // it is a pipe, and has no more to say
	}
}

func (s survivor) tell(lines string) {
	if s.w == nil {
		return
	}
	if _, err := s.w.WriteString(lines); err != nil {
		s.log.Debug("nobody waits for the end of this process", "cause", err)
	}
}
