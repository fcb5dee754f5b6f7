package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/rogpeppe/go-internal/testscript"
	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/erofs"
	"github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/sample"
)

func TestMain(m *testing.M) {
	// Of this process, and of the program in scripts: what is printed is in UTC
	// wherever one is.
	time.Local = time.FixedZone("test", -5*60*60)
	testscript.Main(m, map[string]func(){"snapfs": main})
}

// TestScripts runs the program as a user does. Each script reads like a
// manual. What mounts does so with the plain engine, if it does not say which.
func TestScripts(t *testing.T) {
	testscript.Run(t, scripts(t, testscript.Params{Dir: "testdata/script"}, enginePlain))
}

// TestScriptsPassthrough runs the scripts that mount again, with all files read
// by the kernel.
func TestScriptsPassthrough(t *testing.T) {
	if why := passthrough(); why != nil {
		t.Skipf("no passthrough: %v", why)
	}
	all, err := filepath.Glob("testdata/script/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, name := range all {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("[!fuse] skip")) {
			files = append(files, name)
		}
	}
	if len(files) == 0 {
		t.Fatal("no script mounts")
	}
	testscript.Run(t, scripts(t, testscript.Params{Files: files}, enginePassthrough))
}

// scripts completes the parameters of scripts that mount with an engine.
func scripts(t *testing.T, p testscript.Params, engine string) testscript.Params {
	p.RequireExplicitExec = true
	p.Condition = func(cond string) (bool, error) {
		switch cond {
		case "fuse":
			return haveFUSE(t), nil
		case "passthrough":
			return haveFUSE(t) && passthrough() == nil, nil
		}
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	p.Cmds = map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"sample":    writeSample,
		"candidate": writeCandidate,
		"torn":      writeTorn,
		"exits":     exits,
		"truncate":  truncate,
		"unchanged": unchanged,
		"lockbolt":  lockBolt,
		"listen":    listen,
	}
	p.Setup = func(env *testscript.Env) error {
		env.Defer(func() { unmountBelow(t, env.WorkDir) })
		// Programs under the race detector sleep a second before they end, in case
		// a race is still to be reported. Here dozens of them run after each other.
		env.Vars = append(env.Vars, "GORACE=atexit_sleep_ms=0")
		env.Vars = append(env.Vars, "TMPDIR="+env.WorkDir+"/.tmp", "SNAPFS_TEST_FUSE="+os.Getenv("SNAPFS_TEST_FUSE"),
			"SNAPFS_ENGINE="+engine, "SNAPFS_PASSTHROUGH_MIN=1")
		return nil
	}
	return p
}

// passthrough returns why the passthrough engine cannot be had, nil if it can.
var passthrough = sync.OnceValue(func() error {
	image, err := erofs.Mount(func(func(attr.Run) bool) {}, erofs.Options{})
	if err != nil {
		return err
	}
	defer image.Close()
	dir, err := os.MkdirTemp("", "snapfs-test-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	s, err := fs.Mount(dir, fstest.MapFS{}, fs.Options{Backing: image})
	if err != nil {
		return err
	}
	defer s.Wait()
	return errors.Join(s.Passthrough(), s.Unmount())
})

// haveFUSE reports whether scripts can mount. With SNAPFS_TEST_FUSE=require they
// must be able to, with off they shall not try.
func haveFUSE(t *testing.T) bool {
	mode := os.Getenv("SNAPFS_TEST_FUSE")
	if mode == "off" {
		return false
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		f.Close()
		if os.Geteuid() == 0 {
			return true
		}
		if _, err = exec.LookPath("fusermount3"); err == nil {
			return true
		}
	}
	if mode == "require" {
		t.Fatalf("cannot mount: %v", err)
	}
	t.Logf("scripts that mount are skipped: %v", err)
	return false
}

// unmountBelow takes down what a script that failed has left mounted.
func unmountBelow(t *testing.T, dir string) {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		t.Error(err)
	}
	for _, m := range mounts {
		t.Logf("left mounted: %s", m.Mountpoint)
		if err := fs.Unmount(m.Mountpoint, true); err != nil {
			t.Error(err)
		}
	}
}

// writeSample is "sample DIR": the sample chain of the demo as DIR/snap, ….
func writeSample(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sample dir")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	_, err := sample.Chain(dir)
	ts.Check(err)
}

// writeCandidate is "candidate DIR": the chain of a release candidate.
func writeCandidate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: candidate dir")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	_, err := sample.Candidate(dir)
	ts.Check(err)
}

// writeTorn is "torn FILE COMMITS": a shard as a hot copy left it, during which
// so many transactions were committed.
func writeTorn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: torn file commits")
	}
	commits, err := strconv.Atoi(args[1])
	ts.Check(err)
	data, points, err := sample.Torn(ts.Getenv("WORK"), commits)
	ts.Check(err)
	ts.Setenv("POINTS", strconv.Itoa(points))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// lockBolt is "lockbolt FILE": the lock of a Bolt file is held, as by a server,
// until the script ends.
func lockBolt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lockbolt file")
	}
	db, err := bolt.Open(ts.MkAbs(args[0]), 0o600, nil)
	ts.Check(err)
	ts.Defer(func() { db.Close() })
}

// listen is "listen VAR": a free port of 127.45.67.89 is listened on until the
// script ends, and VAR is its number.
func listen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listen variable")
	}
	l, err := net.Listen("tcp", "127.45.67.89:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// exits is "exits CODE program args…".
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var e *exec.ExitError
		if !errors.As(err, &e) {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// truncate is "truncate FILE SIZE".
func truncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate file size")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

// unchanged is "unchanged DIR": the first call takes a hash of all files in DIR
// and their times, later ones compare with it.
func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unchanged dir")
	}
	h := sha256.New()
	dir := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %v %d %v\n", p, fi.Mode(), fi.Size(), fi.ModTime())
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			h.Write(b)
		}
		return nil
	}))
	sum := fmt.Sprintf("%x", h.Sum(nil))
	name := "HASH_" + filepath.Base(dir)
	if old := ts.Getenv(name); old == "" {
		ts.Setenv(name, sum)
	} else if old != sum {
		ts.Fatalf("%s was changed", args[0])
	}
}
