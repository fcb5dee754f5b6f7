package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/sample"
)

// TestTarChanges writes to a tar under a mount. That is in the log, and files in
// the tar fail, those too that are open and that the kernel reads by itself;
// files in other tars do not.
func TestTarChanges(t *testing.T) {
	if !haveFUSE(t) {
		t.Skip("no FUSE")
	}
	engines := []string{enginePlain}
	if passthrough() == nil {
		engines = append(engines, enginePassthrough)
	}
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			dir, mnt, log := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "log")
			if _, err := sample.Chain(dir); err != nil {
				t.Fatal(err)
			}
			tar := filepath.Join(dir, "snap.1")
			command(t, "snapfs", "mount", "--engine", engine, "--passthrough-min=1", "--log-file", log, filepath.Join(dir, "snap"), mnt)
			t.Cleanup(func() { unmountBelow(t, mnt) })
			shard := filepath.Join(mnt, ".snapfs/layers/1/telemetry/default/4")
			open, err := os.Open(shard)
			if err != nil {
				t.Fatal(err)
			}
			defer open.Close()
			f, err := os.OpenFile(tar, os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.Write(make([]byte, 512))
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			logged(t, log, "fail from now on", tar)
			if _, err := open.ReadAt(make([]byte, 10), 0); !errors.Is(err, unix.EIO) {
				t.Errorf("read of the open file: %v, want EIO", err)
			}
			if _, err := os.ReadFile(shard); !errors.Is(err, unix.EIO) {
				t.Errorf("read of the file: %v, want EIO", err)
			}
			if _, err := os.ReadFile(filepath.Join(mnt, ".snapfs/layers/full/telemetry/default/1")); err != nil {
				t.Errorf("a file in another tar: %v", err)
			}
			open.Close()
			command(t, "snapfs", "umount", mnt)
		})
	}
}

// logged waits until all of what is in one line of the log.
func logged(t *testing.T, log string, what ...string) {
	t.Helper()
	var b []byte
	for range 6000 {
		var err error
		if b, err = os.ReadFile(log); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if !slices.ContainsFunc(what, func(w string) bool { return !strings.Contains(line, w) }) {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no line with %q in the log: %s", what, b)
}

// TestTarReplaced replaces a tar under a mount, and removes one. That is in the
// log, and their files are what they were.
func TestTarReplaced(t *testing.T) {
	if !haveFUSE(t) {
		t.Skip("no FUSE")
	}
	dir, mnt, log := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "log")
	if _, err := sample.Chain(dir); err != nil {
		t.Fatal(err)
	}
	snap := filepath.Join(dir, "snap")
	command(t, "snapfs", "mount", "--log-file", log, snap, mnt)
	t.Cleanup(func() { unmountBelow(t, mnt) })
	before, err := fs.ReadFile(os.DirFS(mnt), ".snapfs/layers/1/telemetry/default/4")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(snap+".new", make([]byte, 1<<20), 0o600), os.Rename(snap+".new", snap+".1"), os.Remove(snap+".0")); err != nil {
		t.Fatal(err)
	}
	logged(t, log, "level=WARN", "goes on with the old file", snap+".1: not in its place any more: another file is there")
	logged(t, log, "level=WARN", "goes on with the old file", snap+".0: not in its place any more: it was removed or renamed")
	after, err := fs.ReadFile(os.DirFS(mnt), ".snapfs/layers/1/telemetry/default/4")
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("%d bytes became %d, %v", len(before), len(after), err)
	}
	command(t, "snapfs", "umount", mnt)
}
