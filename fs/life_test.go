package fs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/hint"
)

// childHold uses the mount at args[1] in the way args[0] until its input ends.
func childHold(args []string) error {
	switch args[0] {
	case "cwd":
		if err := os.Chdir(args[1]); err != nil {
			return err
		}
	case "open", "map":
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		if args[0] == "map" {
			if _, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ, unix.MAP_SHARED); err != nil {
				return err
			}
			f.Close()
		}
		defer f.Close()
	}
	fmt.Println("holding")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// started is a child that runs beside the test.
type started struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start runs a child until it has printed a line.
func start(t testing.TB, cmd *exec.Cmd) *started {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &started{cmd, in, bufio.NewReader(out)}
	t.Cleanup(s.stop)
	s.waitFor(t, "")
	return s
}

// waitFor reads what the child prints up to a line with the text.
func (s *started) waitFor(t testing.TB, text string) {
	t.Helper()
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			t.Fatalf("child %v ended without %q: %q, %v", s.Args, text, line, err)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

// stop lets the child end. It may be called again.
func (s *started) stop() {
	s.in.Close()
	_ = s.Wait() // how it ended is not of interest
}

func TestBusy(t *testing.T) { onEngines(t, testBusy) }

func testBusy(t *testing.T, mount mounter) {
	for _, how := range []string{"cwd", "open", "map"} {
		t.Run(how, func(t *testing.T) {
			s := mount(t, sampleTree(), Options{})
			target := filepath.Join(s.Dir(), "db/default/1")
			want := "db/default/1"
			if how == "cwd" {
				target, want = filepath.Dir(target), "working directory db/default"
			}
			held := start(t, child(t, "hold", how, target))
			holders := Holders(s.Dir())
			if len(holders) != 1 || holders[0].PID != held.Process.Pid || !strings.HasSuffix(holders[0].How, want) {
				t.Errorf("holders: %v, want pid %d with %s", holders, held.Process.Pid, want)
			}
			for _, unmount := range []func() error{s.Unmount, func() error { return Unmount(s.Dir(), false) }} {
				err := unmount()
				if !errors.Is(err, ErrBusy) || !errors.Is(err, ErrMountPoint) {
					t.Errorf("unmount: %v", err)
				}
				if h := hint.Of(err); !strings.Contains(h, fmt.Sprintf("pid %d", held.Process.Pid)) || !strings.Contains(h, "--lazy") {
					t.Errorf("hint: %q", h)
				}
			}
			if _, err := os.ReadFile(filepath.Join(s.Dir(), "manifest")); err != nil {
				t.Errorf("not serving any more: %v", err)
			}
			held.stop()
			if holders := Holders(s.Dir()); len(holders) != 0 {
				t.Errorf("holders: %v", holders)
			}
		})
	}
}

func TestDetach(t *testing.T) { onEngines(t, testDetach) }

func testDetach(t *testing.T, mount mounter) {
	s := mount(t, sampleTree(), Options{})
	f, err := os.Open(filepath.Join(s.Dir(), "db/default/1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Detach(); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(s.Dir()); err != nil || len(list) != 0 {
		t.Errorf("mount point after detaching: %v, %v", list, err)
	}
	if data, err := io.ReadAll(f); err != nil || len(data) != bigSize {
		t.Errorf("open file after detaching: %d bytes, %v", len(data), err)
	}
	select {
	case <-s.done:
		t.Error("ended before the file was closed")
	default:
	}
	f.Close()
	s.Wait()
	for range 2 {
		if err := errors.Join(s.Unmount(), s.Detach()); err != nil {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestUnmountByOther(t *testing.T) {
	s := testMount(t, sampleTree(), Options{})
	if err := CheckMountPoint(s.Dir()); !errors.Is(err, ErrMountPoint) || !strings.Contains(hint.Of(err), "umount") {
		t.Errorf("mounting twice: %v, hint %q", err, hint.Of(err))
	}
	dir := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(s.Dir(), dir); err != nil {
		t.Fatal(err)
	}
	if err := Unmount(dir, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(nil); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{s.Dir(), "/proc", filepath.Join(dir, "missing")} {
		for _, lazy := range []bool{false, true} {
			if err := Unmount(dir, lazy); !errors.Is(err, ErrNotMounted) || !errors.Is(err, ErrMountPoint) {
				t.Errorf("unmount %s: %v", dir, err)
			}
		}
	}
}

// TestRemounted leaves a mount alone that has taken the place of ours.
func TestRemounted(t *testing.T) {
	s := testMount(t, sampleTree(), Options{})
	if err := Unmount(s.Dir(), false); err != nil {
		t.Fatal(err)
	}
	s.Wait()
	other, err := Mount(s.Dir(), fstest.MapFS{"other": mapFile("x")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Unmount(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.Dir(), "other")); err != nil {
		t.Errorf("the new mount is gone: %v", err)
	}
	if err := other.Unmount(); err != nil {
		t.Fatal(err)
	}
	other.Wait()
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		busy    bool // a file is open
		signals int
		closed  bool // the file is closed after the signals
		want    error
	}{
		{"idle", false, 1, false, nil},
		{"busy", true, 2, true, nil},
		{"busy for ever", true, 3, false, ErrBusy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log logBuffer
			s := testMount(t, sampleTree(), Options{Logger: log.logger()})
			signals := make(chan os.Signal)
			done := make(chan error, 1)
			var held *started
			if tt.busy {
				held = start(t, child(t, "hold", "open", filepath.Join(s.Dir(), "manifest")))
			}
			go func() { done <- s.Run(signals) }()
			for range tt.signals {
				signals <- syscall.SIGTERM // taken when the one before is dealt with
			}
			if tt.closed {
				held.stop()
			}
			if err := <-done; !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tt.busy {
				if got := log.String(); !strings.Contains(got, fmt.Sprintf("pid %d", held.Process.Pid)) || !strings.Contains(got, "detached") {
					t.Errorf("log: %s", got)
				}
				held.stop()
			}
			s.Wait()
		})
	}
}

// childServe mounts a tree on args[0] and serves it until a signal comes.
func childServe(args []string) error {
	s, err := Mount(args[0], sampleTree(), Options{
		Source:     "child",
		AllowOther: len(args) > 1 && args[1] == "allow_other",
		Logger:     slog.New(slog.NewTextHandler(os.Stdout, nil)),
	})
	if err != nil {
		return fmt.Errorf("%w\nhint: %s", err, hint.Of(err))
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	fmt.Println("mounted")
	return s.Run(signals)
}

func TestStale(t *testing.T) {
	wantFUSE(t)
	dir := realDir(t)
	server := start(t, child(t, "serve", dir))
	if data, err := os.ReadFile(filepath.Join(dir, "db/rp with space/3")); err != nil || string(data) != "three\n" {
		t.Errorf("%q, %v", data, err)
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	_, err := os.ReadDir(dir)
	wantErrno(t, "readdir of a dead mount", err, unix.ENOTCONN)
	err = CheckMountPoint(dir)
	if !errors.Is(err, ErrMountPoint) || !strings.Contains(err.Error(), "server is gone") || hint.Of(err) != "snapfs umount "+dir {
		t.Errorf("check: %v, hint %q", err, hint.Of(err))
	}
	if _, err := Mount(dir, sampleTree(), Options{}); !errors.Is(err, ErrMountPoint) {
		t.Errorf("mount: %v", err)
	}
	if err := Unmount(dir, false); err != nil {
		t.Fatal(err)
	}
	if err := CheckMountPoint(dir); err != nil {
		t.Error(err)
	}
}

// TestHung checks and unmounts a mount whose server does not answer.
func TestHung(t *testing.T) {
	wantFUSE(t)
	dir := t.TempDir()
	server := start(t, child(t, "serve", dir))
	if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer server.Process.Signal(syscall.SIGCONT)
	if holders := Holders(dir); len(holders) != 0 {
		t.Errorf("holders: %v", holders)
	}
	if err := CheckMountPoint(dir); !errors.Is(err, ErrMountPoint) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("check: %v", err)
	}
	if err := Unmount(dir, true); err != nil {
		t.Error(err)
	}
	if err := CheckMountPoint(dir); err != nil {
		t.Error(err)
	}
}
