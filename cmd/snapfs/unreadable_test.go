package main

import (
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/internal/sample"
)

// badDisk is a directory with a file of which some bytes cannot be read.
type badDisk struct {
	iofs.FS
	name     string
	from, to int64
}

func (d badDisk) Open(name string) (iofs.File, error) {
	f, err := d.FS.Open(name)
	if err != nil || name != d.name {
		return f, err
	}
	return badFile{f, d}, nil
}

type badFile struct {
	iofs.File
	disk badDisk
}

func (f badFile) ReadAt(b []byte, off int64) (int, error) {
	if off < f.disk.to && off+int64(len(b)) > f.disk.from {
		return 0, &iofs.PathError{Op: "read", Path: f.disk.name, Err: unix.EIO}
	}
	return f.File.(io.ReaderAt).ReadAt(b, off)
}

// TestVerifyUnreadable compares a chain with its seal on a disk that does not
// give all of it back: what cannot be read is told, and the rest compared.
func TestVerifyUnreadable(t *testing.T) {
	if !haveFUSE(t) {
		t.Skip("no FUSE")
	}
	dir := t.TempDir()
	snap, err := sample.Chain(dir)
	if err != nil {
		t.Fatal(err)
	}
	sealed := filepath.Join(t.TempDir(), "seal")
	command(t, "snapfs", "seal", snap, "--out", sealed)
	c, err := chain.Open(snap, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var shard, next int64
	for _, m := range c.Layers()[0].Index().All() {
		if m.Name == aShard {
			shard = m.DataOffset
		} else if shard > 0 && next == 0 {
			next = m.DataOffset
		}
	}
	// A byte of the last layer has changed, and is found all the same.
	f, err := os.OpenFile(snap+".2", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	last := c.Layers()[3].Index()
	if _, err := f.WriteAt([]byte{0xaa}, last.Entry(last.Len()-1).DataOffset+100); err != nil {
		t.Fatal(err)
	}
	const (
		rot   = `bit-rot: layer 2: page 0 of telemetry/default/4 changed since it was sealed`
		pages = ` pages? [0-9]+( to [0-9]+)? of telemetry/default/1 cannot be read \(input/output error, [0-9]+ bytes from byte [0-9]+ of the tar on\)`
		frame = ` headers, padding or the end mark of the tar cannot be read \(input/output error, [0-9]+ bytes from byte [0-9]+ of the tar on\)`
	)
	for name, c := range map[string]struct {
		disk badDisk
		want []string
	}{
		"page":      {badDisk{name: "snap", from: shard + 20*4096, to: shard + 20*4096 + 1}, []string{`unreadable: layer full:` + pages + `: points of cpu,host=.* from 2015-10-`}},
		"meta page": {badDisk{name: "snap", from: shard, to: shard + 1}, []string{`unreadable: layer full:` + pages}},
		"header":    {badDisk{name: "snap", from: next - 512, to: next}, []string{`unreadable: layer full:` + frame, `of its files are 3 whole`}},
		"layer":     {badDisk{name: "snap.0", to: 1 << 40}, []string{`bad-layer: layer 0:`, `unreadable: layer 0:` + frame, `unreadable: layer 0: page 0 of meta cannot be read`, `unreadable: layer 0:` + pages}},
	} {
		t.Run(name, func(t *testing.T) {
			c.disk.FS = os.DirFS(dir)
			mnt := t.TempDir()
			s, err := fs.Mount(mnt, c.disk, fs.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Unmount(); err != nil {
					t.Error(err)
				}
				s.Wait()
			})
			out, err := exec.Command("snapfs", "verify", "--seal", sealed, filepath.Join(mnt, "snap")).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitDamage {
				t.Errorf("%v", err)
			}
			for _, want := range append(c.want, rot) {
				if !regexp.MustCompile(want).Match(out) {
					t.Errorf("no %s", want)
				}
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}
