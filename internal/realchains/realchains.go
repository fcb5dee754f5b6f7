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

// Dir returns the directory that the environment variable SNAPFS_CHAINS names;
// without it, ../shared/chains beside the checkout. The test is skipped if
// there is no chain in it.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SNAPFS_CHAINS")
	if dir == "" {
		dir = filepath.Join(Root(t), "..", "shared", "chains")
	}
	if len(glob(t, dir, "*", "snap")) == 0 {
		t.Skipf("no real chains in %s; SNAPFS_CHAINS can name another directory", dir)
	}
	return dir
}

// All returns the paths of the full snapshots below [Dir].
func All(t testing.TB) []string {
	t.Helper()
	return glob(t, Dir(t), "*", "snap")
}

// Layers returns the paths of all tars below [Dir].
func Layers(t testing.TB) []string {
	t.Helper()
	return glob(t, Dir(t), "*", "snap*")
}

func glob(t testing.TB, elem ...string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Root returns the directory of go.mod.
func Root(t testing.TB) string {
	t.Helper()
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
	Dir   string            // what else of it is recorded: meta, or broker
	Files map[string]string // path in the data directory → size, space, SHA-256
}

// Cuts returns the cuts that are recorded for a chain. A restore that failed
// leaves none.
func Cuts(t testing.TB, snap string) []Cut {
	t.Helper()
	var cuts []Cut
	for _, dir := range glob(t, filepath.Dir(snap), "restored", "*") {
		c := Cut{Point: "latest", Dir: dir, Files: map[string]string{}}
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
