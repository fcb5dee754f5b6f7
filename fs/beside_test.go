package fs

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/erofs"
)

// TestImageSource takes what the table of mounts has for a mount of an image,
// and nothing else.
func TestImageSource(t *testing.T) {
	for _, test := range []struct {
		fstype, source string
		id             uint64
		ok             bool
	}{
		{"erofs", "/proc/self/fd/9/" + ImageSource(0, "snap"), 0, true},
		{"erofs", "/proc/self/fd/9/" + ImageSource(1<<63, "a snap"), 1 << 63, true},
		{"erofs", "/proc/self/fd/9/" + ImageSource(7, strings.Repeat("ü", 300)), 7, true},
		{"ext4", "/proc/self/fd/9/" + ImageSource(7, "snap"), 0, false},
		{"erofs", "/dev/loop1", 0, false},
		{"erofs", "/images/snapfs-mine/snap", 0, false},
		{"erofs", "snapfs-1", 0, false},
	} {
		m := &mountinfo.Info{FSType: test.fstype, Source: test.source}
		if id, ok := imageID(m); id != test.id || ok != test.ok || ours(m) != test.ok {
			t.Errorf("%s %s: %d, %v", test.fstype, test.source, id, ok)
		}
		if n := len(test.source); n > erofs.MaxSource {
			t.Errorf("%d bytes", n)
		}
	}
}

// TestBeside finds each of two mounts by the other, and takes both down.
func TestBeside(t *testing.T) {
	wantFUSE(t)
	tree := fstest.MapFS{"f": {Data: []byte("content"), Mode: 0o444}}
	s := testMount(t, tree, Options{})
	other := testMount(t, tree, Options{})
	if s.ID() == 0 {
		t.Skip("this kernel has no unique IDs of mounts")
	}
	if s.ID() == other.ID() {
		t.Fatalf("two mounts with ID %d", s.ID())
	}
	dir := realDir(t)
	_, err := erofs.MountTree(t.Context(), dir, tree, erofs.TreeOptions{Source: ImageSource(s.ID(), strings.Repeat("s", 300))})
	if err != nil {
		noPassthrough(t, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if got := Beside(dir); got != s.Dir() {
		t.Errorf("beside %s is %q, want %s", dir, got, s.Dir())
	}
	if got := Beside(s.Dir()); got != "" {
		t.Errorf("beside %s is %q", s.Dir(), got)
	}
	if m, err := besideServed(s.ID()); err != nil || m == nil || m.Mountpoint != dir {
		t.Errorf("beside %d is %+v, %v", s.ID(), m, err)
	}
	if err := UnmountDead(s.Dir(), true); err != nil || Beside(dir) == "" {
		t.Errorf("took down what lives: %v", err)
	}
	if err := Unmount(dir, false); err != nil {
		t.Fatal(err)
	}
	s.Wait()
	for _, dir := range []string{dir, s.Dir()} {
		if m, err := findMount(dir); m != nil || err != nil {
			t.Errorf("at %s: %+v, %v", dir, m, err)
		}
	}
	if _, err := os.Stat(other.Dir() + "/f"); err != nil {
		t.Errorf("the other mount: %v", err)
	}
}
