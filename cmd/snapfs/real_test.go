package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/realchains"
)

// build returns a program, compiled.
func build(t *testing.T, pkg string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "program")
	command(t, "go", "build", "-o", bin, pkg)
	return bin
}

// command runs a program and returns what it printed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(name), args, err, out)
	}
	return string(out)
}

// TestRealMounts mounts every real chain and reads all of it, as the server's
// own restore wrote it, as the tars have it, and with the bbolt command.
func TestRealMounts(t *testing.T) {
	chains := realchains.All(t)
	if !haveFUSE(t) {
		t.Skip("no FUSE")
	}
	bin, bbolt := build(t, "."), build(t, "go.etcd.io/bbolt/cmd/bbolt")
	engines := [][]string{{"--engine=plain"}}
	if why := passthrough(); why == nil {
		engines = append(engines, []string{"--engine=passthrough", "--passthrough-min=1"})
	} else {
		t.Logf("no passthrough: %v", why)
	}
	for _, snap := range chains {
		name := filepath.Base(filepath.Dir(snap))
		for _, engine := range engines {
			t.Run(name+engine[0], func(t *testing.T) { mountReal(t, bin, bbolt, snap, engine) })
		}
	}
}

// mountReal mounts one real chain and reads all of it.
func mountReal(t *testing.T, bin, bbolt, snap string, engine []string) {
	mnt := t.TempDir()
	command(t, bin, slices.Concat([]string{"mount"}, engine, []string{snap, mnt})...)
	defer command(t, bin, "umount", mnt)
	for _, cut := range realchains.Cuts(t, snap) {
		checkPoint(t, filepath.Join(mnt, ".snapfs/points", cut.Point), cut)
	}
	shards := checkRoot(t, mnt)
	if filepath.Base(filepath.Dir(snap)) != "v0.9.2-torn" { // those make bbolt crash
		for _, shard := range shards {
			if out := command(t, bbolt, "check", shard); !strings.Contains(out, "OK") {
				t.Errorf("bbolt check %s: %s", shard, out)
			}
		}
		readAllBolts(t, filepath.Join(mnt, ".snapfs/bolt"))
	}
	fromMount, fromTar := filepath.Join(t.TempDir(), "m"), filepath.Join(t.TempDir(), "t")
	command(t, bin, "restore", "-q", "--damaged=keep", mnt, "--target", fromMount)
	command(t, bin, "restore", "-q", "--damaged=keep", snap, "--target", fromTar)
	command(t, "diff", "-r", fromMount, fromTar)
	command(t, "diff", "-r", fromMount, mnt)
	t.Logf("%d shards", len(shards))
}

// checkPoint compares a point with what the old restore made of it.
func checkPoint(t *testing.T, dir string, cut realchains.Cut) {
	for name, want := range cut.Files {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			first, rest, _ := strings.Cut(name, "/")
			path = filepath.Join(dir, first+".d", rest)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := fmt.Sprintf("%d %x", len(data), sha256.Sum256(data)); got != want {
			t.Errorf("%s at %s: %s, the old restore wrote %s", name, cut.Point, got, want)
		}
	}
}

// checkRoot compares each file with the place in a tar that its attributes
// name, and returns the shards.
func checkRoot(t *testing.T, mnt string) (shards []string) {
	err := filepath.WalkDir(mnt, func(p string, d iofs.DirEntry, err error) error {
		if err != nil || d.IsDir() || p == filepath.Join(mnt, "manifest") {
			return err
		}
		got, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		off, err := strconv.ParseInt(xattr(t, p, "user.snapfs.offset"), 10, 64)
		if err != nil {
			return err
		}
		f, err := os.Open(xattr(t, p, "user.snapfs.file"))
		if err != nil {
			return err
		}
		defer f.Close()
		want, err := io.ReadAll(io.NewSectionReader(f, off, int64(len(got))))
		if err != nil {
			return err
		}
		if string(got) != string(want) {
			t.Errorf("%s is not what its attributes say", p)
		}
		if p != filepath.Join(mnt, "meta") {
			shards = append(shards, p)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if len(shards) == 0 {
		t.Error("no shards")
	}
	return shards
}

func readAllBolts(t *testing.T, dir string) {
	n := 0
	err := filepath.WalkDir(dir, func(p string, d iofs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		_, err = os.ReadFile(p)
		return err
	})
	if err != nil || n == 0 {
		t.Errorf("Bolt files: %d keys, %v", n, err)
	}
	t.Logf("%d keys", n)
}

func xattr(t *testing.T, path, name string) string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(path, name, buf)
	if err != nil {
		t.Fatalf("%s of %s: %v", name, path, err)
	}
	return string(buf[:n])
}

// TestRealServers restores every chain at each point that the servers' own
// restore was recorded at, and compares the data directory with that.
func TestRealServers(t *testing.T) {
	chains := realchains.All(t)
	bin := build(t, ".")
	n := 0
	for _, snap := range chains {
		for _, cut := range realchains.Cuts(t, snap) {
			dir := t.TempDir()
			store, args := "meta", []string{"--meta-dir", filepath.Join(dir, "store")}
			if _, err := os.Stat(filepath.Join(cut.Dir, "broker")); err == nil {
				store, args = "broker", []string{"--broker-dir", filepath.Join(dir, "store")}
			}
			data := filepath.Join(dir, "data")
			args = append(args, "--data-dir", data, "--at", cut.Point, "--no-sync", "--ignore-ports", "-q", snap)
			command(t, bin, append([]string{"restore"}, args...)...)
			got := 0
			err := filepath.WalkDir(data, func(p string, d iofs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				content, err := os.ReadFile(p)
				if err != nil {
					return err
				}
				name, _ := filepath.Rel(data, p)
				want := cut.Files[name]
				if sum := fmt.Sprintf("%d %x", len(content), sha256.Sum256(content)); sum != want && !strings.HasPrefix(name, "%2E%2E/") {
					t.Errorf("%s at %s: %s is %s, the old restore wrote %q", snap, cut.Point, name, sum, want)
				}
				if want != "" {
					got++
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if got != len(cut.Files) {
				t.Errorf("%s at %s: %d files of %d", snap, cut.Point, got, len(cut.Files))
			}
			err = filepath.WalkDir(filepath.Join(cut.Dir, store), func(p string, d iofs.DirEntry, err error) error {
				name, _ := filepath.Rel(filepath.Join(cut.Dir, store), p)
				if _, serr := os.Stat(filepath.Join(dir, "store", name)); serr != nil {
					t.Error(serr)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			n++
		}
	}
	if n == 0 {
		t.Error("nothing was recorded")
	}
	t.Logf("%d restores", n)
}
