package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/internal/realchains"
)

const module = "github.com/snapfs/snapfs"

// pkg is what "go list" tells about a package of this module.
type pkg struct {
	ImportPath   string
	Name         string
	Doc          string // first sentence of the package documentation
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// path returns the import path below the module.
func (p pkg) path() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// packages returns all packages of the module. The go command does not count
// as an input of the test when results are cached; the files do that are read
// in the other tests, and they are the same.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = realchains.Root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, &stderr)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		all = append(all, p)
	}
	if len(all) < 2 {
		t.Fatalf("%s found %d packages", cmd, len(all))
	}
	return all
}

// files calls f with the name below the module, slash-separated, and the bytes
// of every file but those of git and of "make build".
func files(t *testing.T, f func(name string, data []byte)) {
	t.Helper()
	tree := os.DirFS(realchains.Root(t))
	n := 0
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone since it was listed
		case err != nil:
			return err
		case name == ".git" || name == "bin":
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil // .git is a file in a linked work tree
		case !d.Type().IsRegular():
			return nil
		}
		data, err := fs.ReadFile(tree, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		n++
		f(name, data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatal("no files")
	}
}

// source calls f for every Go file that is not a test.
func source(t *testing.T, f func(name string, data []byte)) {
	t.Helper()
	n := 0
	files(t, func(name string, data []byte) {
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "testdata/") {
			n++
			f(name, data)
		}
	})
	if n == 0 {
		t.Fatal("no Go files")
	}
}
