package fs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// TestTools runs the programs that people use on files, over a mount and over a
// copy of the tree on disk. They must say the same.
func TestTools(t *testing.T) { onEngines(t, testTools) }

func testTools(t *testing.T, mount mounter) {
	tree := sampleTree()
	disk := t.TempDir()
	if err := os.CopyFS(disk, tree); err != nil {
		t.Fatal(err)
	}
	for name, f := range tree {
		if f.Mode.IsRegular() {
			if err := os.Chtimes(filepath.Join(disk, name), f.ModTime, f.ModTime); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := mount(t, tree, Options{})
	run := func(t *testing.T, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", cmd, err, out)
		}
		return string(out)
	}
	for _, tt := range []struct {
		name   string
		script string // $1 is the tree, $2 an empty directory
	}{
		{"find", `cd "$1" && find . | sort`},
		{"find", `cd "$1" && find . -type f -size +10k`},
		{"find", `cd "$1" && find . -type l -printf '%p %l\n'`},
		{"find", `cd "$1" && find . -mindepth 1 -type d -empty`},
		{"grep", `cd "$1" && grep -r -l x . | sort`},
		{"sha256sum", `cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum`},
		{"cat", `cd "$1" && cat db/*/* link`},
		{"wc", `cd "$1" && wc -c manifest db/*/*`},
		{"tail", `cd "$1" && tail -c 1000 db/default/1`},
		{"dd", `cd "$1" && dd if=db/default/1 bs=512 skip=100 count=7 status=none`},
		{"cmp", `cmp "$1/db/default/2" "$1/link" && echo same`},
		{"du", `cd "$1" && du -b --apparent-size db/default/1 manifest`},
		{"head", `cd "$1" && head -c 5000 db/default/1`},
		{"stat", `cd "$1" && stat -c '%n %s %F' manifest db/default/1 link`},
		{"readlink", `cd "$1" && readlink link`},
		{"cp", `cp -r "$1"/. "$2" && diff -r --no-dereference "$1" "$2" && echo same`},
		{"cp", `cp -a "$1"/. "$2" && diff -r --no-dereference "$1" "$2" && stat -c %Y "$2/db/default/1"`},
		{"rsync", `rsync -a "$1"/ "$2"/ && diff -r --no-dereference "$1" "$2" && rsync -anci "$1"/ "$2"/`},
		{"tar", `tar -c -C "$1" . | tar -x -C "$2" && diff -r --no-dereference "$1" "$2" && echo same`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := exec.LookPath(tt.name); err != nil {
				t.Skip(err)
			}
			// tar and cp -a give directories without the bit for writing.
			target := func() string {
				dir := t.TempDir()
				t.Cleanup(func() { run(t, "chmod", "-R", "u+w", dir) })
				return dir
			}
			over := func(dir string) string { return run(t, "sh", "-e", "-c", tt.script, "sh", dir, target()) }
			if got, want := over(s.Dir()), over(disk); got != want {
				t.Errorf("%s:\nover the mount: %.2000q\non disk:        %.2000q", tt.script, got, want)
			}
		})
	}
	if out := run(t, "diff", "-r", "--no-dereference", disk, s.Dir()); out != "" {
		t.Error(out)
	}
	// df shows the source and what Totals says.
	if out := run(t, "df", "--output=source,fstype", s.Dir()); !strings.Contains(out, "fuse.snapfs") {
		t.Error(out)
	}
	if out := run(t, "stat", "-c", "%h %u %g %a", filepath.Join(s.Dir(), "db")); out != fmt.Sprintf("1 %d %d 555\n", os.Getuid(), os.Getgid()) {
		t.Error(out)
	}
}

// childBolt opens the Bolt file args[0] as the bbolt command does, with a lock
// and a shared mapping, and checks it.
func childBolt(args []string) error {
	db, err := bbolt.Open(args[0], 0600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		fmt.Print(tx.Bucket([]byte("series")).Stats().KeyN)
		return errors.Join(errs...)
	})
	return errors.Join(err, db.Close())
}

func TestBolt(t *testing.T) { onEngines(t, testBolt) }

func testBolt(t *testing.T, mount mounter) {
	disk := t.TempDir()
	db, err := bbolt.Open(filepath.Join(disk, "1"), 0600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("series"))
		for i := range 10_000 {
			err = errors.Join(err, b.Put(fmt.Appendf(nil, "key%07d", i), []byte("value")))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := mount(t, os.DirFS(disk), Options{})
	out, err := child(t, "bolt", filepath.Join(s.Dir(), "1")).CombinedOutput()
	if err != nil || string(out) != "10000" {
		t.Errorf("%v: %s", err, out)
	}
}
