package rules

import (
	"slices"
	"strings"
	"testing"
)

// everywhere stands for all packages.
const everywhere = "*"

// TestArrows holds the table of packages in ARCHITECTURE.md.
func TestArrows(t *testing.T) {
	arrows := map[string][]string{
		"internal/names":      {},
		"internal/attr":       {},
		"internal/hint":       {},
		"internal/durable":    {},
		"internal/copyrange":  {},
		"internal/decimal":    {},
		"internal/realchains": {},
		"internal/rules":      {},
		"internal/dirtree":    {"internal/attr"},
		"tarindex":            {"internal/dirtree", "internal/names", "internal/attr", "internal/hint"},
		"boltview":            {"internal/names", "internal/attr", "internal/hint"},
		"chain":               {"tarindex", "internal/dirtree", "internal/names", "internal/attr", "internal/hint"},
		"influx":              {"boltview", "internal/decimal", "internal/hint"},
		"snaptar":             {"chain", "internal/attr", "internal/copyrange"},
		"internal/sample":     {"chain", "snaptar"},
		"dataset":             {"chain", "boltview", "influx", "internal/hint"},
		"space":               {"chain", "tarindex", "boltview", "influx", "dataset", "internal/dirtree", "internal/names", "internal/attr", "internal/hint"},
		"seal":                {"chain", "boltview", "internal/attr"},
		"doctor":              {"seal", "internal/hint", "internal/names", "space", "chain", "tarindex", "boltview", "influx", "dataset"},
		"plot":                {},
		"browse":              {"space", "restore", "dataset", "influx", "boltview", "plot", "internal/names", "internal/attr"},
		"internal/bench":      {"chain", "snaptar", "plot", "internal/sample", "internal/attr"},
		"erofs":               {"internal/attr"},
		"fs":                  {"internal/attr", "internal/hint"},
		"restore":             {"internal/attr", "internal/copyrange", "internal/durable", "internal/hint"},
		"repair":              {"boltview", "internal/durable", "internal/names", "internal/attr"},
		"serverdir":           {"repair", "influx", "boltview", "chain", "internal/dirtree", "internal/names", "internal/attr", "internal/hint"},
		"export":              {"dataset", "influx", "internal/decimal", "internal/durable", "internal/names", "internal/hint"},
		"flatten":             {"chain", "snaptar", "boltview", "influx", "repair", "internal/attr", "internal/durable", "internal/hint"},
		"backup":              {"backup/wire", "chain", "boltview", "influx", "internal/durable", "internal/hint"},
		"backup/wire":         {"chain"},
		"backup/origin":       {"backup/wire", "snaptar", "influx", "chain", "boltview", "internal/hint"},
		"backup/serve":        {"backup/wire", "backup/origin"},
		"cmd/snapfs":          {"internal/bench", "browse", "backup", "backup/serve", "backup/wire", "backup/origin", "doctor", "seal", "erofs", "flatten", "export", "plot", "serverdir", "dataset", "influx", "fs", "restore", "repair", "space", "chain", "tarindex", "boltview", "internal/sample", "internal/dirtree", "internal/names", "internal/attr", "internal/durable", "internal/hint"},
	}
	found := map[string]bool{}
	for _, p := range packages(t) {
		found[p.path()] = true
		allowed, ok := arrows[p.path()]
		if !ok {
			t.Errorf("%s has no row in this test's table: what may it import?", p.path())
			continue
		}
		for _, imp := range p.Imports {
			if below, ok := strings.CutPrefix(imp, module+"/"); ok && !slices.Contains(allowed, below) {
				t.Errorf("%s imports %s: the arrows of ARCHITECTURE.md do not allow it", p.path(), below)
			}
		}
	}
	for path, allowed := range arrows {
		for _, path := range append(allowed, path) {
			if !found[path] {
				t.Errorf("the table names %s, which is no package", path)
			}
		}
	}
}

// TestLibraries keeps each library where it belongs, so that who reads a
// package knows what it can do. A new library is a new row.
func TestLibraries(t *testing.T) {
	libraries := map[string]struct {
		in      []string
		inTests []string // besides those
	}{
		"github.com/hanwen/go-fuse/v2":        {in: []string{"fs"}, inTests: []string{"restore"}},
		"github.com/erofs/go-erofs":           {inTests: []string{"erofs"}}, // the oracle
		"github.com/moby/sys/mountinfo":       {in: []string{"fs", "restore"}, inTests: []string{"cmd/snapfs"}},
		"github.com/bmatcuk/doublestar/v4":    {in: []string{"restore", "cmd/snapfs"}},
		"go.etcd.io/bbolt":                    {in: []string{"internal/sample", "internal/bench", "repair", "serverdir", "backup/origin"}, inTests: []string{everywhere}},
		"google.golang.org/protobuf":          {in: []string{"internal/sample", "influx", "serverdir"}, inTests: []string{everywhere}},
		"github.com/klauspost/compress":       {in: []string{"influx", "export", "internal/sample"}}, // snappy; gzip, zstd
		"github.com/parquet-go/parquet-go":    {in: []string{"export"}},
		"github.com/influxdata/line-protocol": {inTests: []string{"influx", "export"}}, // the oracle
		"github.com/BurntSushi/toml":          {in: []string{"serverdir"}},
		"golang.org/x/sync":                   {in: []string{everywhere}},
		"golang.org/x/sys":                    {in: []string{everywhere}},
		"github.com/rogpeppe/go-internal":     {inTests: []string{everywhere}},

		// The command line.
		"github.com/alecthomas/kong":        {in: []string{"cmd/snapfs"}},
		"github.com/alecthomas/mango-kong":  {in: []string{"cmd/snapfs"}},
		"github.com/jotaen/kong-completion": {in: []string{"cmd/snapfs"}},
		"github.com/posener/complete":       {in: []string{"cmd/snapfs"}},
		"github.com/muesli/roff":            {in: []string{"cmd/snapfs"}},
		"github.com/dustin/go-humanize":     {in: []string{"cmd/snapfs", "browse"}},
		"charm.land/bubbletea/v2":           {in: []string{"browse"}},
		"github.com/charmbracelet/x/ansi":   {in: []string{"browse"}, inTests: []string{"cmd/snapfs"}},
		"gonum.org/v1/plot":                 {in: []string{"plot"}},
		"github.com/fatih/color":            {in: []string{"cmd/snapfs"}},
		"github.com/rivo/uniseg":            {in: []string{"cmd/snapfs"}},
		"github.com/schollz/progressbar/v3": {in: []string{"cmd/snapfs"}},
		"golang.org/x/term":                 {in: []string{"cmd/snapfs"}},
	}
	check := func(path string, imports []string, test bool) {
		for _, imp := range imports {
			first, _, _ := strings.Cut(imp, "/")
			if !strings.Contains(first, ".") || within(imp, module) {
				continue // the standard library and this module
			}
			known, ok := false, false
			for lib, where := range libraries {
				if !within(imp, lib) {
					continue
				}
				known = true
				in := where.in
				if test {
					in = slices.Concat(in, where.inTests)
				}
				ok = ok || slices.Contains(in, path) || slices.Contains(in, everywhere)
			}
			switch {
			case !known:
				t.Errorf("%s imports %s: the library has no row in this test's table", path, imp)
			case !ok && test:
				t.Errorf("a test of %s imports %s: not its place", path, imp)
			case !ok:
				t.Errorf("%s imports %s: not its place", path, imp)
			}
		}
	}
	for _, p := range packages(t) {
		check(p.path(), p.Imports, false)
		check(p.path(), p.TestImports, true)
		check(p.path(), p.XTestImports, true)
	}
}

// within reports whether an import path is lib or below it.
func within(imp, lib string) bool { return imp == lib || strings.HasPrefix(imp, lib+"/") }

// TestDocs wants a package comment that tells what the package is.
func TestDocs(t *testing.T) {
	for _, p := range packages(t) {
		start := "Package " + p.Name + " "
		if p.Name == "main" {
			start = "Command " + p.path()[strings.LastIndexByte(p.path(), '/')+1:] + " "
		}
		if !strings.HasPrefix(p.Doc, start) {
			t.Errorf("%s: the package comment is %q, want %q…", p.path(), p.Doc, start)
		}
	}
}
