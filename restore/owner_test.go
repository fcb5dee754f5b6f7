package restore

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
)

// TestOwner: all that is written belongs to the owner, and nothing else.
func TestOwner(t *testing.T) {
	owner := Owner{os.Getuid(), os.Getgid()}
	if owner.UID == 0 {
		owner = Owner{54321, 12345}
	}
	src := fstest.MapFS{
		"d/e/file": {Data: []byte("content")},
		"link":     {Data: []byte("d"), Mode: fs.ModeSymlink | 0o777},
		"old/link": {Data: []byte("new"), Mode: fs.ModeSymlink | 0o777},
	}
	dst := filepath.Join(t.TempDir(), "target")
	if _, err := Copy(t.Context(), dst, src, Options{Owner: &owner}); err != nil {
		t.Fatal(err)
	}
	check := func(want Owner, names ...string) {
		t.Helper()
		for _, name := range names {
			fi, err := os.Lstat(filepath.Join(dst, name))
			if err != nil {
				t.Error(err)
				continue
			}
			st := fi.Sys().(*syscall.Stat_t)
			if got := (Owner{int(st.Uid), int(st.Gid)}); got != want {
				t.Errorf("%s belongs to %v, want %v", name, got, want)
			}
		}
	}
	check(owner, "d", "d/e", "d/e/file", "link", "old", "old/link")

	// What was there stays with its owner, but for what is replaced.
	src["old/link"].Data = []byte("newer")
	src["old/more"] = &fstest.MapFile{Data: []byte("more")}
	group := Owner{-1, owner.GID}
	if _, err := Copy(t.Context(), dst, src, Options{Owner: &group, Overwrite: IfChanged}); err != nil {
		t.Fatal(err)
	}
	check(owner, "d", "d/e", "link", "old")
	check(Owner{os.Getuid(), owner.GID}, "old/link", "old/more")
}
