package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapfs/snapfs/internal/sample"
)

// TestInterrupted cancels a command before its work.
func TestInterrupted(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	target := filepath.Join(t.TempDir(), "out")
	for _, args := range commands(snap, target) {
		var stdout, stderr bytes.Buffer
		app := &App{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: os.Getenv}
		if code := app.Run(ctx, args); code != exitInterrupted || !strings.Contains(stderr.String(), "snapfs: interrupted") {
			t.Errorf("%q: exit code %d, %s", args, code, &stderr)
		}
		if stdout.Len() > 0 {
			t.Errorf("%q wrote %q", args, &stdout)
		}
	}
	if left, _ := filepath.Glob(target + "*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestForeground ends a mount with signals: the first one unmounts; while
// somebody is in it, the first tells who, and the second detaches.
func TestForeground(t *testing.T) {
	if !haveFUSE(t) {
		t.Skip("no FUSE")
	}
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bin := build(t, ".")
	for _, busy := range []bool{false, true} {
		mnt := t.TempDir()
		var stderr bytes.Buffer
		cmd := exec.Command(bin, "mount", "--foreground", snap, mnt)
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		until(t, func() bool { _, err := os.Stat(filepath.Join(mnt, "meta")); return err == nil })
		if busy {
			// A process of its own sits in the mount.
			holder := exec.Command("sleep", "60")
			holder.Dir = mnt
			if err := holder.Start(); err != nil {
				t.Fatal(err)
			}
			send(t, cmd, syscall.SIGINT)
			time.Sleep(500 * time.Millisecond) // it tries for a while
			if _, err := os.Stat(filepath.Join(mnt, "meta")); err != nil {
				t.Errorf("the mount is gone although it is in use: %v", err)
			}
			send(t, cmd, syscall.SIGTERM)
			until(t, func() bool { _, err := os.Stat(filepath.Join(mnt, "meta")); return err != nil })
			if err := holder.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = holder.Wait()
		} else {
			send(t, cmd, syscall.SIGTERM)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("busy %v: %v\n%s", busy, err, &stderr)
		}
		if busy && !strings.Contains(stderr.String(), "used by sleep (pid") {
			t.Errorf("who holds the mount is not told:\n%s", &stderr)
		}
	}
}

func send(t *testing.T, cmd *exec.Cmd, sig os.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// until waits until something holds. A test that hangs is ended by go test.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	for !ok() {
		time.Sleep(10 * time.Millisecond)
	}
}
