package rules

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestQuiet lets only the command print and exit: a library returns errors.
func TestQuiet(t *testing.T) {
	source(t, func(name string, data []byte) {
		if strings.HasPrefix(name, "cmd/") {
			return
		}
		loud, err := loud(name, data)
		if err != nil {
			t.Error(err)
		}
		for _, l := range loud {
			t.Errorf("%s: only the command prints and exits", l)
		}
	})
}

// loud returns where a Go file prints or exits, as "file:line: what".
func loud(name string, data []byte) ([]string, error) {
	banned := map[string][]string{
		"fmt":      {"Print", "Printf", "Println"},
		"os":       {"Exit", "Stdout", "Stderr"},
		"log":      nil, // all of it
		"log/slog": {"Default", "SetDefault", "Debug", "DebugContext", "Info", "InfoContext", "Warn", "WarnContext", "Error", "ErrorContext", "Log", "LogAttrs", "With"},
		"syscall":  {"Exit", "Stdout", "Stderr"},
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, data, 0)
	if err != nil {
		return nil, err
	}
	var found []string
	report := func(n ast.Node, what string) {
		found = append(found, fmt.Sprintf("%s:%d: %s", name, fset.Position(n.Pos()).Line, what))
	}
	local := map[string]string{} // name in this file → import path
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		names, ok := banned[path]
		if !ok {
			continue
		}
		as := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			as = spec.Name.Name
		}
		if names == nil || as == "." {
			report(spec, "import of "+path)
			continue
		}
		local[as] = path
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && slices.Contains(banned[local[x.Name]], n.Sel.Name) {
				report(n, local[x.Name]+"."+n.Sel.Name)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "print" || f.Name == "println") {
				report(n, f.Name)
			}
		}
		return true
	})
	return found, nil
}

func TestLoud(t *testing.T) {
	for _, tt := range []struct {
		body string
		want []string
	}{
		{"import \"fmt\"\nfunc f() { fmt.Println() }", []string{"x.go:3: fmt.Println"}},
		{"import \"fmt\"\nfunc f() { _ = fmt.Sprint(); fmt.Fprintln(nil) }", nil},
		{"import p \"fmt\"\nvar f = p.Printf", []string{"x.go:3: fmt.Printf"}},
		{"import . \"fmt\"", []string{"x.go:2: import of fmt"}},
		{"import \"os\"\nfunc f() { os.Exit(1)\nfoo(os.Stderr) }", []string{"x.go:3: os.Exit", "x.go:4: os.Stderr"}},
		{"import \"os\"\nvar f, err = os.Open(\"Stdout\")", nil},
		{"import \"log\"", []string{"x.go:2: import of log"}},
		{"import \"log/slog\"\nfunc f(l *slog.Logger) { l.Info(\"x\") }", nil},
		{"import \"log/slog\"\nfunc f() { slog.Info(\"x\") }", []string{"x.go:3: log/slog.Info"}},
		{"func f() { println(1) }", []string{"x.go:2: println"}},
	} {
		got, err := loud("x.go", []byte("package x\n"+tt.body))
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, %v, want %q", tt.body, got, err, tt.want)
		}
	}
}

// TestLength keeps files readable in one sitting.
func TestLength(t *testing.T) {
	const most = 450
	source(t, func(name string, data []byte) {
		if n := bytes.Count(data, []byte("\n")); n > most {
			t.Errorf("%s has %d lines, more than %d: a file per concept", name, n, most)
		}
	})
}

// machinePath is a path that is right on one machine only: the home of root
// and a directory for checkouts, unless they are the end of a longer path.
var machinePath = regexp.MustCompile(`(?m)(^|[^\w.~-])/(work|root)/`)

// TestPaths finds paths of the machine on which somebody wrote a file.
func TestPaths(t *testing.T) {
	files(t, func(name string, data []byte) {
		if bytes.IndexByte(data, 0) >= 0 {
			return // no text
		}
		for n, line := range bytes.Split(data, []byte("\n")) {
			if machinePath.Match(line) {
				t.Errorf("%s:%d: a path of one machine: %s", name, n+1, bytes.TrimSpace(line))
			}
		}
	})
}

func TestMachinePath(t *testing.T) {
	const w, r = "/wo" + "rk/", "/ro" + "ot/"
	for text, want := range map[string]bool{
		w + "x":           true,
		"a " + r + ".git": true,
		"`" + w + "`":     true,
		"file://" + r:     true,
		".." + w:          false,
		"home" + w:        false,
		"$HOME" + r:       false,
		"/wor" + "kdir/":  false,
	} {
		if got := machinePath.MatchString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
