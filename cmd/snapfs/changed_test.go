package main

import (
	"errors"
	"os"
	"path/filepath"
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
			const tries = 1000
			for i := 0; ; i++ {
				b, err := os.ReadFile(log)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(b), "fail from now on") && strings.Contains(string(b), tar) {
					break
				}
				if i == tries {
					t.Fatalf("log: %s", b)
				}
				time.Sleep(10 * time.Millisecond)
			}
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
