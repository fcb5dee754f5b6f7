// Package realchains finds snapshot chains that real servers wrote, for tests.
// They are not part of the project.
package realchains

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// All returns the paths of the full snapshots below the directory that the
// environment variable SNAPFS_CHAINS names; without it, ../shared/chains
// beside the checkout. The test is skipped if there are none.
func All(t testing.TB) []string {
	t.Helper()
	dir := os.Getenv("SNAPFS_CHAINS")
	if dir == "" {
		dir = filepath.Join(root(t), "..", "shared", "chains")
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "snap"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skipf("no real chains in %s; SNAPFS_CHAINS can name another directory", dir)
	}
	return found
}

// root returns the directory of go.mod.
func root(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = up
	}
}

// Cut is what the servers' own restore made of a chain up to some layer.
type Cut struct {
	Point string            // name of the point
	Files map[string]string // path in the data directory → size, space, SHA-256
}

// Cuts returns the cuts that are recorded for a chain. A restore that failed
// leaves none.
func Cuts(t testing.TB, snap string) []Cut {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(filepath.Dir(snap), "restored", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var cuts []Cut
	for _, dir := range dirs {
		c := Cut{Point: "latest", Files: map[string]string{}}
		if n, ok := strings.CutPrefix(filepath.Base(dir), "upto-"); ok {
			c.Point = pointAfter(t, n)
		}
		f, err := os.Open(filepath.Join(dir, "data.tsv"))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Scan() // the head
		for lines.Scan() {
			if cols := strings.Split(lines.Text(), "\t"); len(cols) == 3 {
				c.Files[cols[0]] = cols[1] + " " + cols[2]
			}
		}
		f.Close()
		if lines.Err() != nil {
			t.Fatal(lines.Err())
		}
		if len(c.Files) > 0 {
			cuts = append(cuts, c)
		}
	}
	return cuts
}

// pointAfter returns the point after n incrementals.
func pointAfter(t testing.TB, n string) string {
	i, err := strconv.Atoi(n)
	if err != nil {
		t.Fatal(err)
	}
	if i == 0 {
		return "full"
	}
	return strconv.Itoa(i - 1)
}
