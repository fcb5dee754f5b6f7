package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Names of the subjects that are baselines.
const (
	TarCommand = "tar"       // tar(1): lists, or extracts, all tars
	Extracted  = "extracted" // the files, extracted on the same disk, in memory as tar wrote them
	Reread     = "reread"    // the same, read in from the disk: in larger pages, which are faster
	Pread      = "pread"     // the bytes where they are in the tars
	Bbolt      = "bbolt"     // bbolt, on the extracted Bolt file
)

// Subject is a way to get at the files of a workload.
type Subject struct {
	Name  string
	Chain bool // whether it shows a chain of several tars as one tree

	control bool     // whether it shows Bolt files as directories, in .snapfs
	needs   []string // programs
	mount   func(d *Data, scratch, mnt string) []string
	umnt    func(mnt string) []string
}

// Mounts returns all programs that can be measured: snapfs, whose command line
// begins with self, with each of its engines, and others.
func Mounts(self []string) []Subject {
	command := func(args ...string) []string { return append(append([]string{}, self...), args...) }
	snapfs := func(engine string) Subject {
		return Subject{
			Name: "snapfs " + engine, Chain: true, control: engine != "kernel",
			mount: func(d *Data, _, mnt string) []string {
				return command("mount", "--engine="+engine, d.Tars[0], mnt)
			},
			umnt: func(mnt string) []string { return command("umount", mnt) },
		}
	}
	fusermount := func(mnt string) []string { return []string{"fusermount3", "-u", mnt} }
	return []Subject{
		snapfs("kernel"),
		snapfs("passthrough"),
		snapfs("plain"),
		{
			Name: "ratarmount", needs: []string{"ratarmount", "fusermount3"}, umnt: fusermount,
			mount: func(d *Data, scratch, mnt string) []string {
				return []string{"ratarmount", "--index-folders", scratch, d.Tars[0], mnt}
			},
		},
		{
			Name: "fuse-archive", needs: []string{"fuse-archive", "fusermount3"}, umnt: fusermount,
			mount: func(d *Data, _, mnt string) []string {
				return []string{"fuse-archive", "-q", "-o", "notrim,nocache", d.Tars[0], mnt}
			},
		},
		{
			Name: "archivemount", needs: []string{"archivemount", "fusermount3"}, umnt: fusermount,
			mount: func(d *Data, _, mnt string) []string {
				return []string{"archivemount", "-o", "readonly,nobackup", d.Tars[0], mnt}
			},
		},
	}
}

// missing returns the first program that the subject lacks.
func (s Subject) missing() string {
	for _, name := range s.needs {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
	}
	return ""
}

// mounted is a workload in a mount.
type mounted struct {
	dir  string
	took time.Duration // until the root was listed

	subject Subject
}

// open mounts a workload and lists the root.
func (s Subject) open(ctx context.Context, d *Data, work string) (*mounted, error) {
	scratch, err := os.MkdirTemp(work, "scratch-")
	if err != nil {
		return nil, err
	}
	m := &mounted{dir: filepath.Join(work, "mnt"), subject: s}
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, err
	}
	began := time.Now()
	err = run(ctx, s.mount(d, scratch, m.dir))
	if err == nil {
		var list []os.DirEntry
		if list, err = os.ReadDir(m.dir); err == nil && len(list) == 0 {
			err = errors.New("the mount is empty")
		}
		m.took = time.Since(began)
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, errors.Join(err, os.RemoveAll(scratch)))
	}
	return m, nil
}

// close takes the mount down.
func (m *mounted) close() error {
	var err error
	// A process that has just ended may still be about to close its files.
	for wait := time.Millisecond; wait < 5*time.Second; wait *= 2 {
		if err = run(context.Background(), m.subject.umnt(m.dir)); err == nil {
			return nil
		}
		time.Sleep(wait)
	}
	return err
}

// memory returns what the processes that serve the mount hold of it, now and at
// most, in bytes: those that name its directory.
func (m *mounted) memory() (now, peak int64) {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, 0
	}
	for _, proc := range procs {
		line, err := os.ReadFile(filepath.Join(proc, "cmdline"))
		if err != nil || !strings.Contains(string(line), m.dir) || proc == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		status, err := os.ReadFile(filepath.Join(proc, "status"))
		if err != nil {
			continue // it has ended
		}
		for l := range strings.Lines(string(status)) {
			var kib int64
			if n, _ := fmt.Sscanf(l, "VmRSS: %d kB", &kib); n == 1 {
				now += kib << 10
			}
			if n, _ := fmt.Sscanf(l, "VmHWM: %d kB", &kib); n == 1 {
				peak += kib << 10
			}
		}
	}
	return now, peak
}

// run runs a command, and returns its last words if it fails. What it starts in
// the background must not keep its output open.
func run(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.WaitDelay = time.Second
	out, err := os.CreateTemp("", "bench-output-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stderr = out
	err = cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", args[0], context.Cause(ctx))
	}
	words, _ := io.ReadAll(io.NewSectionReader(out, 0, 4<<10))
	return fmt.Errorf("%s: %w: %s", args[0], err, strings.TrimSpace(string(words)))
}
