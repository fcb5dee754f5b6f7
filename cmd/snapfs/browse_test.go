package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/sample"
)

// terminal is a pseudo-terminal with a program in it.
type terminal struct {
	t      *testing.T
	user   *os.File
	cmd    *exec.Cmd
	mu     sync.Mutex
	more   *sync.Cond
	out    bytes.Buffer
	ended  bool
	err    error
	before *unix.Termios
	after  *unix.Termios // when ended
}

// inTerminal runs snapfs in a terminal of 80 by 24.
func inTerminal(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, user: user}
	x.more = sync.NewCond(&x.mu)
	if x.before, err = unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err != nil {
		t.Fatal(err)
	}
	x.cmd = exec.Command(os.Args[0])
	x.cmd.Args = append([]string{"snapfs"}, args...) // the name by which the test binary is the program
	x.cmd.Env = append(os.Environ(), append([]string{"TERM=xterm-256color", "LC_ALL=C.UTF-8"}, env...)...)
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = tty, tty, tty
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.cmd.Process.Kill() })
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		buf := make([]byte, 4096)
		for {
			n, err := user.Read(buf)
			x.mu.Lock()
			x.out.Write(buf[:n])
			x.more.Broadcast()
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() {
		err := x.cmd.Wait()
		after, serr := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		// Reading ends when nobody has the terminal open any more.
		serr = errors.Join(serr, tty.Close())
		<-drained
		x.mu.Lock()
		x.ended, x.err, x.after = true, errors.Join(err, serr), after
		x.more.Broadcast()
		x.mu.Unlock()
	}()
	return x
}

// until waits until the program has written a word since the last call.
func (x *terminal) until(word string) {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for !strings.Contains(ansi.Strip(x.out.String()), word) {
		if x.ended {
			x.t.Fatalf("it ended (%v) before it showed %q:\n%q", x.err, word, x.out.String())
		}
		x.more.Wait()
	}
	x.out.Reset()
}

func (x *terminal) press(keys string) {
	x.t.Helper()
	if _, err := x.user.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// text returns what the program has written, and waits until it has ended.
func (x *terminal) text() string {
	x.end()
	return strings.ReplaceAll(ansi.Strip(x.out.String()), "\r\n", "\n")
}

// end waits until the program has ended, and returns its exit code.
func (x *terminal) end() int {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for !x.ended {
		x.more.Wait()
	}
	if x.after == nil || *x.after != *x.before {
		x.t.Errorf("the terminal is left with other settings: %+v, were %+v; %v", x.after, x.before, x.err)
	}
	return x.cmd.ProcessState.ExitCode()
}

// TestBrowse uses the browser in a terminal, and leaves it in every way there is.
func TestBrowse(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		leave func(x *terminal)
		code  int
	}{
		"q":      {func(x *terminal) { x.press("q") }, exitOK},
		"ctrl-c": {func(x *terminal) { x.press("\x03") }, exitInterrupted},
		"signal": {func(x *terminal) { send(t, x.cmd, syscall.SIGTERM) }, exitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			x := inTerminal(t, nil, "browse", snap)
			x.until("telemetry")
			x.press("?")
			x.until("anything")
			x.press(" ")
			x.until("telemetry")
			x.press(":telemetry/default/1\r")
			x.until("transaction")
			tt.leave(x)
			if code := x.end(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
		})
	}

	x := inTerminal(t, []string{"TERM=dumb"}, "browse", snap)
	x.until("needs a terminal")
	if code := x.end(); code != exitOther {
		t.Errorf("exit code %d on a dumb terminal", code)
	}
}
