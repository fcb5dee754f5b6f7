package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// faults are what a faulty file system does wrong.
type faults struct {
	mu     sync.Mutex
	calls  []string // that change something, since the last set
	fail   int      // which of them fails, from 1 on; 0 is none
	sticky bool     // all later ones fail too
	flip   bool     // a byte of each write comes out differently
}

func (f *faults) set(fail int, sticky, flip bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.fail, f.sticky, f.flip = nil, fail, sticky, flip
}

// seen returns the calls so far.
func (f *faults) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *faults) call(what string) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, what)
	if n := len(f.calls); f.fail > 0 && (n == f.fail || f.sticky && n > f.fail) {
		return syscall.EIO
	}
	return 0
}

// faultyNode is a file or directory of a file system that passes everything on
// to a directory, but for its faults.
type faultyNode struct {
	gofs.LoopbackNode
	faults *faults
}

var (
	_ gofs.NodeWrapChilder = (*faultyNode)(nil)
	_ gofs.NodeFsyncer     = (*faultyNode)(nil)
)

func (n *faultyNode) WrapChild(_ context.Context, ops gofs.InodeEmbedder) gofs.InodeEmbedder {
	return &faultyNode{gofs.LoopbackNode{RootData: ops.(*gofs.LoopbackNode).RootData}, n.faults}
}

func (n *faultyNode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	if e := n.faults.call("mkdir " + name); e != 0 {
		return nil, e
	}
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

func (n *faultyNode) Unlink(ctx context.Context, name string) syscall.Errno {
	if e := n.faults.call("unlink " + name); e != 0 {
		return e
	}
	return n.LoopbackNode.Unlink(ctx, name)
}

func (n *faultyNode) Rmdir(ctx context.Context, name string) syscall.Errno {
	if e := n.faults.call("rmdir " + name); e != 0 {
		return e
	}
	return n.LoopbackNode.Rmdir(ctx, name)
}

func (n *faultyNode) Rename(ctx context.Context, name string, parent gofs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	if e := n.faults.call("rename " + name + " " + to); e != 0 {
		return e
	}
	return n.LoopbackNode.Rename(ctx, name, parent, to, flags)
}

func (n *faultyNode) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	if e := n.faults.call("symlink " + name); e != 0 {
		return nil, e
	}
	return n.LoopbackNode.Symlink(ctx, target, name, out)
}

func (n *faultyNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	if e := n.faults.call("create " + name); e != 0 {
		return nil, nil, 0, e
	}
	node, fh, fl, e := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return node, n.wrap(fh), fl, e
}

func (n *faultyNode) Open(ctx context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	fh, fl, e := n.LoopbackNode.Open(ctx, flags)
	return n.wrap(fh), fl, e
}

func (n *faultyNode) Setattr(ctx context.Context, fh gofs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if e := n.faults.call("setattr"); e != 0 {
		return e
	}
	return n.LoopbackNode.Setattr(ctx, nil, in, out)
}

// Fsync is not passed on: nobody pulls the plug, and hundreds of them take long on
// a slow disk.
func (n *faultyNode) Fsync(context.Context, gofs.FileHandle, uint32) syscall.Errno {
	return n.faults.call("fsync")
}

func (n *faultyNode) wrap(fh gofs.FileHandle) gofs.FileHandle {
	if f, ok := fh.(*gofs.LoopbackFile); ok {
		return &faultyHandle{f, n.faults}
	}
	return fh
}

type faultyHandle struct {
	*gofs.LoopbackFile
	faults *faults
}

// PassthroughFd keeps the kernel from going past the faults.
func (f *faultyHandle) PassthroughFd() (int, bool) { return 0, false }

func (f *faultyHandle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if e := f.faults.call("write"); e != 0 {
		return 0, e
	}
	if f.faults.flip && len(data) > 0 {
		data = slices.Clone(data)
		data[len(data)/2] ^= 1
	}
	return f.LoopbackFile.Write(ctx, data, off)
}

// faultyMount mounts such a file system for the time of the test, and returns
// the mount point and the directory behind it.
func faultyMount(t *testing.T) (mnt, behind string, f *faults) {
	t.Helper()
	missing := func(err error) {
		if os.Getenv("SNAPFS_TEST_FUSE") == "require" {
			t.Fatalf("cannot mount: %v", err)
		}
		t.Skipf("cannot mount: %v", err)
	}
	if os.Getenv("SNAPFS_TEST_FUSE") == "off" {
		t.Skip("SNAPFS_TEST_FUSE=off")
	}
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		missing(err)
	}
	dev.Close()
	if _, err := exec.LookPath("fusermount3"); err != nil && os.Geteuid() != 0 {
		missing(err)
	}
	mnt, behind, f = t.TempDir(), t.TempDir(), new(faults)
	root := &faultyNode{gofs.LoopbackNode{RootData: &gofs.LoopbackRoot{Path: behind}}, f}
	root.RootData.RootNode = root
	s, err := gofs.Mount(mnt, root, &gofs.Options{MountOptions: fuse.MountOptions{FsName: "faulty", DirectMount: os.Geteuid() == 0}})
	if err != nil {
		missing(err)
	}
	t.Cleanup(func() {
		if err := s.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return mnt, behind, f
}

// TestSwapFaults has each call to the file system fail, once and for good: the
// targets are whole all the time, and all old or all new when the file system
// works again.
func TestSwapFaults(t *testing.T) {
	mnt, behind, f := faultyMount(t)
	stride := 1
	if raceEnabled {
		stride = 4
	}
	old, tree := lines("db/rp/1 old\nother/x old"), lines("db/rp/1 one\ndb/rp/2 two\ndb/link -> rp/1")
	for _, sticky := range []bool{false, true} {
		ends := map[string]int{}
		for n := 1; ; n += stride {
			f.set(0, false, false)
			dir, err := os.MkdirTemp(mnt, "")
			if err != nil {
				t.Fatal(err)
			}
			parts := []Part{
				{Target: filepath.Join(dir, "data"), Tree: tree, Options: Options{Workers: 1, FileMode: 0o600}},
				{Target: filepath.Join(dir, "meta"), Tree: tree, Options: Options{Workers: 1}},
			}
			real := func(p Part) string { return filepath.Join(behind, strings.TrimPrefix(p.Target, mnt)) }
			var before []string
			for _, p := range parts {
				put(t, real(p), old)
				before = append(before, dump(t, real(p)))
			}
			state := func() string {
				s := ""
				for i, p := range parts {
					if now := dump(t, real(p)); now == before[i] {
						s += "o"
					} else {
						s += "n"
						sameTree(t, real(p), tree)
					}
				}
				return s
			}
			f.set(n, sticky, false)
			_, err = swap(t.Context(), parts, SwapOptions{Replace: true})
			calls := f.seen()
			f.set(0, false, false)
			if len(calls) < n {
				if err != nil || n < 20 {
					t.Errorf("without a fault, %d calls: %v", len(calls), err)
				}
				break
			}
			what := calls[n-1]
			now := state()
			if err != nil && !errors.Is(err, syscall.EIO) {
				t.Errorf("call %d (%s) failed: %v", n, what, err)
			}
			if err != nil && !errors.Is(err, ErrPending) && now != "oo" {
				t.Errorf("call %d (%s) failed: the state is %s after %v", n, what, now, err)
			}
			for _, p := range parts {
				if _, err := Recover(p.Target, false); err != nil {
					t.Errorf("call %d (%s): recovery: %v", n, what, err)
				}
			}
			end := state()
			ends[end]++
			if end != "oo" && end != "nn" || errors.Is(err, ErrPending) && end != "nn" || err == nil && end != "nn" {
				t.Errorf("call %d (%s) failed: %s, then %s: %v", n, what, now, end, err)
			}
			want := "data meta"
			if end == "nn" {
				want = "data data" + keptName + " meta meta" + keptName
			}
			if got := beside(t, real(parts[0])); got != want {
				t.Errorf("call %d (%s) failed, and beside: %s, want %s", n, what, got, want)
			}
			if t.Failed() {
				break
			}
		}
		t.Logf("sticky %v: %v", sticky, ends)
		if ends["oo"] == 0 || ends["nn"] == 0 {
			t.Errorf("sticky %v: the faults were at the wrong places: %v", sticky, ends)
		}
	}
}

// TestVerify: what a disk changes on the way is found, and not passed for
// restored. Without Verify it is not found.
func TestVerify(t *testing.T) {
	mnt, behind, f := faultyMount(t)
	tree := lines("meta m\ndb/rp/1 one")
	for _, verify := range []bool{false, true} {
		dst := filepath.Join(mnt, "swap")
		opts := Options{Verify: verify, Hash: true}
		f.set(0, false, true)
		_, err := swap(t.Context(), []Part{{Target: dst, Tree: tree, Options: opts}}, SwapOptions{})
		f.set(0, false, false)
		if errors.Is(err, ErrVerify) != verify || (err != nil) != verify {
			t.Errorf("verify %v: %v", verify, err)
		}
		if _, err := os.Lstat(dst); errors.Is(err, fs.ErrNotExist) != verify {
			t.Errorf("verify %v: %v", verify, err)
		}
		if err := os.RemoveAll(dst); err != nil {
			t.Fatal(err)
		}
		if got := names(t, behind); len(got) != 1 {
			t.Errorf("left: %v", got)
		}
		f.set(0, false, true)
		_, err = Copy(t.Context(), dst, tree, opts)
		f.set(0, false, false)
		if errors.Is(err, ErrVerify) != verify {
			t.Errorf("verify %v, in place: %v", verify, err)
		}
		if _, err := os.Lstat(filepath.Join(dst, "meta")); errors.Is(err, fs.ErrNotExist) != verify {
			t.Errorf("verify %v, in place: %v", verify, err)
		}
		if err := os.RemoveAll(dst); err != nil {
			t.Fatal(err)
		}
	}
	// On a disk that works nothing is wrong.
	if _, err := swap(t.Context(), []Part{{Target: filepath.Join(mnt, "good"), Tree: tree, Options: Options{Verify: true}}}, SwapOptions{}); err != nil {
		t.Error(err)
	}
	sameTree(t, filepath.Join(behind, "good"), tree)
}

// TestHash: the plan knows the hashes of what was written and of what was
// compared.
func TestHash(t *testing.T) {
	tree := sample()
	dst := t.TempDir()
	put(t, dst, lines("meta m"))
	p, err := NewPlan(t.Context(), dst, tree, Options{Hash: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for s := range p.Steps() {
		if !s.Mode.IsRegular() {
			if s.SHA256 != "" {
				t.Errorf("%s has a hash", s.Path)
			}
			continue
		}
		n++
		if want := hash256(tree[s.Path].Data); s.SHA256 != want {
			t.Errorf("%s (%s): %s, want %s", s.Path, s.Action, s.SHA256, want)
		}
	}
	if n != 11 {
		t.Errorf("%d files", n)
	}
}
