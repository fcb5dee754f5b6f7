package main

import (
	"log/slog"
	"os"
	"os/exec"
	"syscall"
)

// afterDeath is run by a shell, which is the smallest process to be had, with the
// program and a mount point. It waits for two lines, and takes the mount down if
// there is an end without one: the mount of an image as well before the first
// line. The signals are those by which a group of processes is told to end.
const afterDeath = `trap '' HUP INT TERM
read -r _ <&3 || exec "$0" umount --dead --beside -- "$1"
read -r _ <&3 || exec "$0" umount --dead -- "$1"`

// survivor is a process that waits for the end of this one, and takes a mount
// down if that comes without warning: by SIGKILL, a crash, or for want of memory.
// The kernel would leave a mount that only fails.
type survivor struct {
	w   *os.File // nil if there is none
	log *slog.Logger
}

// outlive starts a survivor for what is going to be mounted at dir. There is none
// without a shell.
func outlive(dir string, log *slog.Logger) survivor {
	w, err := startSurvivor(dir)
	if err != nil {
		log.Debug("the mount stays if this process is killed", "cause", err)
	}
	return survivor{w, log}
}

// startSurvivor returns what the process reads from.
func startSurvivor(dir string) (*os.File, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", afterDeath, self, dir)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{r}                       // its descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // so that who kills a group spares it
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, err
	}
	go func() { _ = cmd.Wait() }() // it may be killed before this process ends
	return w, nil
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
