package restore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/hint"
)

// fault is what goes wrong with a file or a directory of a faulty tree.
type fault struct {
	err   error // of open
	after int   // bytes or names that can be read before readErr
	read  error
	size  int64  // added to the true size
	call  func() // called at the first read
}

// faulty is a tree where things go wrong.
type faulty struct {
	fs.FS
	faults map[string]fault
}

type faultyFile struct {
	fs.File
	fault
	name string
	in   faulty
}

func (f faulty) ReadLink(name string) (string, error)   { return fs.ReadLink(f.FS, name) }
func (f faulty) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(f.FS, name) }

func (f faulty) Open(name string) (fs.File, error) {
	ft := f.faults[name]
	if ft.err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ft.err}
	}
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, ft, name, f}, nil
}

type faultyInfo struct {
	fs.FileInfo
	add int64
}

func (i faultyInfo) Size() int64 { return i.FileInfo.Size() + i.add }

func (f *faultyFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil || f.size == 0 {
		return info, err
	}
	return faultyInfo{info, f.size}, nil
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if f.call != nil {
		f.call()
	}
	if f.read != nil {
		if off >= int64(f.after) {
			return 0, &fs.PathError{Op: "read", Path: f.name, Err: f.read}
		}
		p = p[:min(len(p), f.after-int(off))]
	}
	n, err := f.File.(io.ReaderAt).ReadAt(p, off)
	if f.read != nil && err == nil && off+int64(n) >= int64(f.after) {
		err = &fs.PathError{Op: "read", Path: f.name, Err: f.read}
	}
	return n, err
}

func (f *faultyFile) ReadDir(n int) ([]fs.DirEntry, error) {
	list, err := f.File.(fs.ReadDirFile).ReadDir(n)
	for i, d := range list {
		name := d.Name()
		if f.name != "." {
			name = f.name + "/" + name
		}
		if add := f.in.faults[name].size; add != 0 {
			info, err := d.Info()
			if err != nil {
				return nil, err
			}
			list[i] = fs.FileInfoToDirEntry(faultyInfo{info, add})
		}
	}
	if f.read != nil && len(list) >= f.after {
		return list[:f.after], &fs.PathError{Op: "readdir", Path: f.name, Err: f.read}
	}
	return list, err
}

// TestSourceFaults: what cannot be read is left out and told; all else is
// restored, and a second try with the cause gone finishes the job.
func TestSourceFaults(t *testing.T) {
	good := sample()
	tests := []struct {
		name   string
		path   string
		fault  fault
		is     error  // of the failure
		text   string // in the error
		others string // what is missing besides
	}{
		{"open", "db/rp/3", fault{err: syscall.EIO}, syscall.EIO, "db/rp/3: input/output error", ""},
		{"at once", "db/rp/3", fault{read: syscall.EIO}, syscall.EIO, "db/rp/3: input/output error", ""},
		{"in the middle", "db/rp/5", fault{read: syscall.EIO, after: 3 << 20}, syscall.EIO, "db/rp/5: input/output error", ""},
		{"source says ENOSPC", "db/rp/1", fault{read: syscall.ENOSPC}, syscall.ENOSPC, "db/rp/1: no space", ""},
		{"short", "db/rp/4", fault{size: 1}, io.ErrUnexpectedEOF, "file ends after 1048577 of 1048578 bytes", ""},
		{"long", "db/rp/4", fault{size: -1}, errLong, "file is longer than its size of 1048576 bytes", ""},
		{"long, whole buffer", "db/rp/4", fault{size: -bufSize - 1}, errLong, "longer than its size of 0 bytes", ""},
		{"negative", "db/rp/4", fault{size: -bufSize - 2}, errSize, "negative size", ""},
		{"directory", "db/rp", fault{err: syscall.EIO}, syscall.EIO, "db/rp: input/output error", "db/rp/0 db/rp/1 db/rp/2 db/rp/3 db/rp/4 db/rp/5"},
		{"part of a directory", "db/rp", fault{read: syscall.EIO, after: 4}, syscall.EIO, "db/rp: input/output error", "db/rp/4 db/rp/5"},
		{"part of the root", ".", fault{read: syscall.EIO, after: 4}, syscall.EIO, ".: input/output error", "meta"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := t.TempDir()
			r, err := Copy(t.Context(), dst, faulty{good, map[string]fault{tt.path: tt.fault}}, Options{NoSync: true})
			if !errors.Is(err, ErrIncomplete) || errors.Is(err, ErrConflict) || hint.Of(err) == "" || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, hint %q", err, hint.Of(err))
			}
			if len(r.Failed) != 1 || r.Failed[0].Path != tt.path || !errors.Is(r.Failed[0].Err, tt.is) || r.Remaining != 0 {
				t.Errorf("failed %v, remaining %d; want %s: %v", r.Failed, r.Remaining, tt.path, tt.is)
			}
			noTemps(t, dst)
			left := fstest.MapFS{}
			for p, f := range good {
				if p != tt.path && !strings.Contains(" "+tt.others+" ", " "+p+" ") || f.Mode.IsDir() {
					left[p] = f
				}
			}
			sameTree(t, dst, left)
			if _, err := Copy(t.Context(), dst, good, Options{NoSync: true}); err != nil {
				t.Fatal(err)
			}
			sameTree(t, dst, good)
		})
	}
}

// TestCompareFault: a file that is there already, but cannot be read in the
// tree, is a failure and no conflict.
func TestCompareFault(t *testing.T) {
	good := sample()
	dst := t.TempDir()
	if _, err := Copy(t.Context(), dst, good, Options{}); err != nil {
		t.Fatal(err)
	}
	before := dump(t, dst)
	src := faulty{good, map[string]fault{"db/rp/5": {read: syscall.EIO, after: 100}}}
	r, err := Copy(t.Context(), dst, src, Options{})
	if !errors.Is(err, ErrIncomplete) || len(r.Failed) != 1 || r.Kept != 11 {
		t.Errorf("%+v, %v", r, err)
	}
	if dump(t, dst) != before {
		t.Error("the target changed")
	}
}

// TestCancel stops a restore in the middle of a file, and during planning.
func TestCancel(t *testing.T) {
	good := sample()
	why := errors.New("enough")
	for _, workers := range []int{1, 4} {
		ctx, cancel := context.WithCancelCause(t.Context())
		dst := t.TempDir()
		src := faulty{good, map[string]fault{"db/rp/5": {call: func() { cancel(why) }}}}
		r, err := Copy(ctx, dst, src, Options{Workers: workers})
		if !errors.Is(err, why) || errors.Is(err, ErrIncomplete) || r.Remaining == 0 || len(r.Failed) != 0 {
			t.Errorf("%v, %+v", err, r)
		}
		noTemps(t, dst)
		for _, p := range names(t, dst) {
			if p == "db/rp/5" {
				t.Error("a partial file has its name")
			}
			if f := good[p]; f != nil && f.Mode.IsRegular() {
				if b, _ := os.ReadFile(filepath.Join(dst, p)); string(b) != string(f.Data) {
					t.Errorf("%s is not whole", p)
				}
			}
		}
		if r, err := Copy(t.Context(), dst, good, Options{}); err != nil || r.Kept+r.Created != 12 {
			t.Errorf("again: %v, %+v", err, r)
		}
		sameTree(t, dst, good)

		ctx, cancel = context.WithCancelCause(t.Context())
		src = faulty{good, map[string]fault{"db/rp/5": {call: func() { cancel(why) }}}}
		if _, err := NewPlan(ctx, dst, src, Options{}); !errors.Is(err, why) {
			t.Errorf("while comparing: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dst := filepath.Join(t.TempDir(), "new")
	if _, err := Copy(ctx, dst, good, Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	plan, err := NewPlan(t.Context(), dst, good, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(names(t, filepath.Dir(dst))) > 1 {
		t.Error("something was written for a cancelled context")
	}
}

// TestChangedMeanwhile: what comes into being between plan and run is not
// overwritten.
func TestChangedMeanwhile(t *testing.T) {
	dst := t.TempDir()
	plan, err := NewPlan(t.Context(), dst, lines("a 1\n b 2\n c -> a\n d/e 3\n d/f/g 4"), Options{Overwrite: Always})
	if err != nil {
		t.Fatal(err)
	}
	put(t, dst, lines("a mine\n c -> mine\n d mine"))
	r, err := plan.Run(t.Context())
	if !errors.Is(err, ErrIncomplete) || r.Created != 1 || len(r.Failed) != 5 || r.Remaining != 0 {
		t.Errorf("%v, %+v", err, r)
	}
	if c, _ := os.Readlink(filepath.Join(dst, "c")); c != "mine" {
		t.Errorf("c -> %s", c)
	}
	os.Remove(filepath.Join(dst, "c"))
	sameTree(t, dst, lines("a mine\n b 2\n d mine"))
}

// TestPublishByLink is for file systems without RENAME_NOREPLACE.
func TestPublishByLink(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, lines("t1 new\n t2 other"))
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d := &folder{root: root}
	if err := d.publishByLink("t1", "a"); err != nil {
		t.Fatal(err)
	}
	if err := d.publishByLink("t2", "a"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	sameTree(t, dir, lines("a new\n t2 other"))
}

// TestBusy: two restores into one target would take each other's temporary
// files for litter.
func TestBusy(t *testing.T) {
	dst := t.TempDir()
	var inner error
	var once atomic.Bool
	src := faulty{sample(), map[string]fault{"db/rp/2": {call: func() {
		if !once.Swap(true) {
			_, inner = Copy(t.Context(), dst, lines("other x"), Options{})
		}
	}}}}
	if _, err := Copy(t.Context(), dst, src, Options{}); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(inner, ErrBusy) || hint.Of(inner) == "" {
		t.Errorf("the second restore: %v", inner)
	}
	if _, err := Copy(t.Context(), dst, lines("other x"), Options{}); err != nil {
		t.Errorf("after the first: %v", err)
	}
}

// small mounts a file system of 4 MiB and 64 inodes.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("none", dir, "tmpfs", 0, "size=4m,nr_inodes=64")
	if err != nil {
		if os.Getenv("SNAPFS_TEST_FUSE") == "require" && os.Geteuid() == 0 {
			t.Fatalf("mount: %v", err)
		}
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestNoSpace(t *testing.T) {
	src := fstest.MapFS{}
	for _, name := range []string{"a/1", "a/2", "b/3", "b/4"} {
		src[name] = &fstest.MapFile{Data: noise(3, 900<<10), Mode: 0o644, ModTime: when}
	}
	t.Run("seen before", func(t *testing.T) {
		dst := small(t)
		src["c/5"] = &fstest.MapFile{Data: noise(4, 900<<10), Mode: 0o644, ModTime: when}
		defer delete(src, "c/5")
		for _, target := range []string{dst, filepath.Join(dst, "x", "y"), filepath.Dir(dst)} {
			opts := Options{}
			in := fs.FS(src)
			if target == filepath.Dir(dst) {
				// The small file system is a directory in the target.
				m := fstest.MapFS{}
				for p, f := range src {
					m[filepath.Base(dst)+"/"+p] = f
				}
				in = m
			}
			_, err := Copy(t.Context(), target, in, opts)
			if !errors.Is(err, ErrSpace) || hint.Of(err) == "" {
				t.Errorf("%s: %v", target, err)
			}
		}
		if got := names(t, dst); len(got) > 1 {
			t.Errorf("something was written: %v", got)
		}
		if _, err := Copy(t.Context(), dst, src, Options{Exclude: []string{"c"}}); err != nil {
			t.Errorf("what fits: %v", err)
		}
		// A file that is overwritten gives back its room.
		src["b/4"].Data[0]++
		if _, err := Copy(t.Context(), dst, src, Options{Exclude: []string{"c", "a", "3"}, Overwrite: Always}); errors.Is(err, ErrSpace) {
			t.Error(err)
		}
	})
	t.Run("no inodes", func(t *testing.T) {
		dst := small(t)
		many := fstest.MapFS{}
		for i := range 70 {
			many[string(rune('0'+i/10))+string(rune('0'+i%10))] = &fstest.MapFile{ModTime: when}
		}
		if _, err := Copy(t.Context(), dst, many, Options{}); !errors.Is(err, ErrSpace) || !strings.Contains(err.Error(), "inodes") {
			t.Errorf("%v, want no inodes", err)
		}
	})
	t.Run("meanwhile", func(t *testing.T) {
		for _, workers := range []int{1, 4} {
			dst := small(t)
			plan, err := NewPlan(t.Context(), dst, src, Options{Workers: workers})
			if err != nil {
				t.Fatal(err)
			}
			filler := filepath.Join(dst, "filler")
			if err := os.WriteFile(filler, make([]byte, 2<<20), 0o644); err != nil {
				t.Fatal(err)
			}
			r, err := plan.Run(t.Context())
			if !errors.Is(err, ErrIncomplete) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%v, want no space", err)
			}
			if len(r.Failed) == 0 || !errors.Is(r.Failed[0].Err, syscall.ENOSPC) || r.Created+len(r.Failed)+r.Remaining != 4 || workers == 1 && r.Remaining != 1 {
				t.Errorf("%+v", r)
			}
			noTemps(t, dst)
			for _, p := range names(t, dst) {
				if f := src[p]; f != nil {
					if b, _ := os.ReadFile(filepath.Join(dst, p)); string(b) != string(f.Data) {
						t.Errorf("%s is not whole", p)
					}
				}
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if r, err = Copy(t.Context(), dst, src, Options{}); err != nil {
				t.Errorf("again: %v, %+v", err, r)
			}
			sameTree(t, dst, src)
		}
	})
}
