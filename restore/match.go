package restore

import (
	"fmt"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// glob is one pattern of Include or Exclude.
type glob struct {
	pattern string
	name    bool // matches the last element, not the path
}

func parseGlobs(patterns []string) ([]glob, error) {
	globs := make([]glob, 0, len(patterns))
	for _, p := range patterns {
		g, err := parseGlob(p)
		if err != nil {
			return nil, err
		}
		globs = append(globs, g)
	}
	return globs, nil
}

func parseGlob(pattern string) (glob, error) {
	if pattern == "" || !doublestar.ValidatePattern(pattern) {
		return glob{}, fmt.Errorf("pattern %q: %w", pattern, doublestar.ErrBadPattern)
	}
	p := pattern
	anchored := strings.HasPrefix(p, "/")
	for strings.HasPrefix(p, "./") {
		p, anchored = p[2:], true
	}
	// An escaped slash at the end would lose its backslash's partner.
	if !strings.HasSuffix(p, `\/`) {
		p = strings.TrimRight(p, "/")
	}
	p = strings.TrimLeft(p, "/")
	switch {
	case p == "" || p == ".":
		return glob{pattern: "**"}, nil
	case anchored:
		return glob{pattern: p}, nil
	case !strings.Contains(p, "/"):
		return glob{pattern: p, name: true}, nil
	}
	return glob{pattern: "**/" + p}, nil
}

// match reports whether the pattern names p itself. Whoever walks the tree
// hands the answer down to what is below.
func (g glob) match(p string) bool {
	if g.name {
		p = path.Base(p)
	}
	return doublestar.MatchUnvalidated(g.pattern, p)
}

func matchAny(globs []glob, p string) bool {
	for _, g := range globs {
		if g.match(p) {
			return true
		}
	}
	return false
}
