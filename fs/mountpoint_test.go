package fs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/hint"
)

func TestCheckMountPoint(t *testing.T) {
	base := t.TempDir()
	at := func(p string) string { return filepath.Join(base, p) }
	for _, dir := range []string{"chain/inner/deep", "empty", "full/x", "over/chain", "chains"} {
		if err := os.MkdirAll(at(dir), 0755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.WriteFile(at("file"), nil, 0644),
		os.WriteFile(at("chain/snap"), nil, 0644),
		os.Symlink("chain/inner/deep", at("into")),
		os.Symlink("empty", at("aside")),
		os.Symlink("chain", at("source")),
		os.Symlink("nowhere", at("dangling")),
		os.Symlink("loop", at("loop")),
	); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		dir, source string
		want        string // part of the error; "" is none
		hint        string
	}{
		{"empty", "chain", "", ""},
		{"empty", "", "", ""},
		{"aside", "chain", "", ""},
		{"chains", "chain", "", ""}, // a name that only begins alike
		{"missing", "chain", "no such file", "mkdir"},
		{"dangling", "chain", "no such file", "mkdir"},
		{"loop", "chain", "too many links", ""},
		{"file", "chain", "not a directory", ""},
		{"file/x", "chain", "not a directory", ""},
		{"full", "chain", `not empty: holds "x"`, "empty directory"},
		{"chain/inner/deep", "chain", "lies inside the folder of the source", "somewhere else"},
		{"chain/inner/deep", "source", "lies inside the folder of the source", "somewhere else"},
		{"into", "chain", "lies inside the folder of the source", "somewhere else"},
		{"into", "source", "lies inside the folder of the source", "somewhere else"},
		{"empty", "empty", "lies inside", "somewhere else"},
		{"empty", "gone", "source", ""},
	} {
		var sources []string
		if tt.source != "" {
			sources = []string{at("chains"), at(tt.source)}
			if tt.dir == "chains" {
				sources = sources[1:]
			}
		}
		err := CheckMountPoint(at(tt.dir), sources...)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s beside %s: %v", tt.dir, tt.source, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, ErrMountPoint) {
			t.Errorf("%s beside %s: %v, want %s", tt.dir, tt.source, err, tt.want)
		}
		if !strings.Contains(hint.Of(err), tt.hint) || (hint.Of(err) == "") != (tt.hint == "") {
			t.Errorf("%s beside %s: hint %q, want %q", tt.dir, tt.source, hint.Of(err), tt.hint)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "mount "+at(tt.dir)+": ") {
			t.Errorf("%s: %v", tt.dir, err)
		}
	}

	// Relative to the working directory, and to "..".
	t.Chdir(at("chain"))
	if err := CheckMountPoint("inner/deep", "."); !errors.Is(err, ErrMountPoint) {
		t.Errorf("relative: %v", err)
	}
	if err := CheckMountPoint("../empty", "."); err != nil {
		t.Errorf("relative: %v", err)
	}
}

// TestCheckOverlapAbove needs a directory that is empty and contains the
// source: only a mount over it does that.
func TestCheckOverlapAbove(t *testing.T) {
	base := t.TempDir()
	over, chain := filepath.Join(base, "over"), filepath.Join(base, "over/chain")
	if err := os.MkdirAll(chain, 0755); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(over)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkOverlap(over, fi, chain); err == nil || !strings.Contains(err.Error(), "contains the folder of the source") {
		t.Errorf("got %v", err)
	}
}

func TestCheckBindMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can bind")
	}
	base := t.TempDir()
	chain, other := filepath.Join(base, "chain"), filepath.Join(base, "other")
	if err := errors.Join(os.MkdirAll(filepath.Join(chain, "inner"), 0755), os.Mkdir(other, 0755)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(chain, other, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("cannot bind: %v", err)
	}
	defer func() {
		if err := unix.Unmount(other, 0); err != nil {
			t.Error(err)
		}
	}()
	if err := CheckMountPoint(filepath.Join(other, "inner"), chain); err == nil || !strings.Contains(err.Error(), "lies inside") {
		t.Errorf("the same folder by another path: %v", err)
	}
	if err := Unmount(other, false); !errors.Is(err, ErrNotMounted) {
		t.Errorf("unmount of another's mount: %v", err)
	}
}

func TestMountErrorText(t *testing.T) {
	err := error(&mountError{"unmount", "/mnt", hint.Wrap(ErrBusy, "end %s", "it"), []error{ErrMountPoint, syscall.EBUSY}})
	if err.Error() != "unmount /mnt: in use" || hint.Of(err) != "end it" {
		t.Errorf("%q, %q", err, hint.Of(err))
	}
	for _, is := range []error{ErrBusy, ErrMountPoint, syscall.EBUSY} {
		if !errors.Is(err, is) {
			t.Errorf("is not %v", is)
		}
	}
	if errors.Is(err, ErrNotMounted) {
		t.Error("is ErrNotMounted")
	}
}
