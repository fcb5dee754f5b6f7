package fs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// namesOnly is a tree whose root is listed without describing its files.
type namesOnly struct{ bigDir }

func (namesOnly) NamesOnly(dir string) bool { return dir == "." }

// TestNamesOnly lists a large directory for its names alone, which must leave no
// nodes, and then as ls -l does, which must not ask for each file by itself.
func TestNamesOnly(t *testing.T) {
	const n = 20_000
	known := func(s *Server) int {
		s.mount.nodes.mu.RLock()
		defer s.mount.nodes.mu.RUnlock()
		return len(s.mount.nodes.byID)
	}
	t.Run("names", func(t *testing.T) {
		s := testMount(t, namesOnly{bigDir{n: n}}, Options{})
		before := known(s)
		list, err := os.ReadDir(s.Dir())
		if err != nil || len(list) != n {
			t.Fatalf("%d entries, %v", len(list), err)
		}
		if after := known(s); after != before {
			t.Errorf("%d nodes after the listing, %d before", after, before)
		}
	})
	t.Run("attributes", func(t *testing.T) {
		s := testMount(t, namesOnly{bigDir{n: n}}, Options{})
		before := s.Counters()["lookup"].Count
		d, err := openDents(s.Dir(), 4096)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(d.fd)
		got := 0
		for {
			e, err := d.next()
			if err != nil {
				t.Fatal(err)
			}
			if e == nil {
				break
			}
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(s.Dir(), e.name), &st); err != nil || st.Ino != e.ino && e.name != ".." {
				t.Fatalf("%s: %v, number %d in the listing, %d in stat", e.name, err, e.ino, st.Ino)
			}
			got++
		}
		lookups := s.Counters()["lookup"].Count - before
		if got != n+2 || lookups == 0 || lookups > n/4 {
			t.Errorf("%d entries, %d lookups", got, lookups)
		}
		s.mount.listings.mu.Lock()
		defer s.mount.listings.mu.Unlock()
		if len(s.mount.listings.open) != 1 {
			t.Errorf("%d directories are open, want one", len(s.mount.listings.open))
		}
	})
}
