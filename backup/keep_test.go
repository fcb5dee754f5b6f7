package backup

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPattern(t *testing.T) {
	when := time.Date(2016, 1, 2, 23, 4, 5, 0, time.FixedZone("", -2*3600)) // a Sunday in UTC
	for s, want := range map[string]string{
		"b/%Y-%m-%d/snap":  "b/2016-01-03/snap",
		"/b/%Y/%m/%d%H":    "/b/2016/01/0301",
		"%G-W%V/%Y%%/snap": "2015-W53/2016%/snap",
		"./x//%d.%m.%Y":    "x/03.01.2016",
	} {
		p, err := ParsePattern(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got := p.At(when); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
		if _, ok := p.weight(want); !ok {
			t.Errorf("%q does not know %q", s, want)
		}
	}
	for _, s := range []string{"snap", "a%%b/snap", "%Q/snap", "snap%"} {
		if _, err := ParsePattern(s); !errors.Is(err, ErrPattern) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	p, err := ParsePattern(dir + "/b/%d.%m.%Y/%Y/snap")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := p.Chains(); err != nil || len(all) > 0 {
		t.Errorf("%q, %v", all, err)
	}
	for _, name := range []string{
		"02.11.2015/2015/snap", "02.11.2015/2015/snap.0", "02.11.2015/2015/snap.1",
		"01.12.2015/2015/snap", "01.12.2015/2015/snap.0", "01.12.2015/2015/mine",
		"03.01.2016/2016/snap",
		"04.01.2016/2016/snap",
		"05.01.2099/2099/snap", // of a wrong clock
		"01.01.2014/2015/snap", // not of the pattern
		"01.01.14/2014/snap", "01.01.2014/snap", "01.01.2014/2014/snap/deep", "snap",
	} {
		name = filepath.Join(dir, "b", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	short := func(paths []string) []string {
		var out []string
		for _, path := range paths {
			out = append(out, strings.TrimPrefix(path, dir+"/b/"))
		}
		return out
	}
	all, err := p.Chains()
	want := []string{"02.11.2015/2015/snap", "01.12.2015/2015/snap", "03.01.2016/2016/snap", "04.01.2016/2016/snap", "05.01.2099/2099/snap"}
	if err != nil || !slices.Equal(short(all), want) {
		t.Fatalf("%q, %v", short(all), err)
	}
	now := time.Date(2016, 1, 4, 23, 0, 0, 0, time.UTC)
	// A backup runs on the oldest.
	s, err := lock(all[0])
	if err != nil {
		t.Fatal(err)
	}
	removed, err := p.Prune(2, now)
	if err != nil || !slices.Equal(short(removed), want[1:2]) {
		t.Errorf("%q, %v", removed, err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if removed, err = p.Prune(0, now); err != nil || !slices.Equal(short(removed), []string{want[0], want[2]}) {
		t.Errorf("%q, %v", removed, err)
	}
	for name, there := range map[string]bool{"02.11.2015": false, "01.12.2015/2015/mine": true, "01.12.2015/2015/snap": false, "03.01.2016": false, "04.01.2016/2016/snap": true, "05.01.2099/2099/snap": true, "01.01.2014/2015/snap": true, "snap": true} {
		if _, err := os.Stat(filepath.Join(dir, "b", name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChainsElsewhere: the directory of all chains may be a link, and what else
// is in there does not matter, even if nobody may look into it.
func TestChainsElsewhere(t *testing.T) {
	dir := t.TempDir()
	want := filepath.Join(dir, "link", "2015", "x", "snap")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "b", "2015", "x"), 0o755), os.Symlink("b", filepath.Join(dir, "link")),
		os.WriteFile(want, nil, 0o600), os.Mkdir(filepath.Join(dir, "b", "lost+found"), 0), os.MkdirAll(filepath.Join(dir, "b", "2015", "y"), 0)); err != nil {
		t.Fatal(err)
	}
	p, err := ParsePattern(filepath.Join(dir, "link", "%Y", "x", "snap"))
	if err != nil {
		t.Fatal(err)
	}
	obey(t)
	if _, err := os.ReadDir(filepath.Join(dir, "b", "lost+found")); !errors.Is(err, os.ErrPermission) {
		t.Fatal(err)
	}
	if all, err := p.Chains(); err != nil || !slices.Equal(all, []string{want}) {
		t.Errorf("%q, %v", all, err)
	}
}

// obey makes the permissions of files count for root as well, in the goroutine of
// the test.
func obey(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the test
	const override, search = 1 << unix.CAP_DAC_OVERRIDE, 1 << unix.CAP_DAC_READ_SEARCH
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&head, &caps[0]); err != nil {
		t.Fatal(err)
	}
	caps[0].Effective &^= override | search
	if err := unix.Capset(&head, &caps[0]); err != nil {
		t.Fatal(err)
	}
}

// TestIncrementals counts up to a gap. Where the name of the next is longer than
// names may be, no one knows whether it is there.
func TestIncrementals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snap")
	for i, name := range []string{"", ".0", ".1", ".3"} {
		if err := os.WriteFile(path+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := incrementals(path); err != nil || n != min(i, 2) {
			t.Errorf("with %q: %d, %v", name, n, err)
		}
	}
	long := filepath.Join(filepath.Dir(path), strings.Repeat("x", 254))
	if n, err := incrementals(long); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("%d, %v", n, err)
	}
}
