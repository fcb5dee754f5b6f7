package chain

import (
	"iter"
	"slices"
	"strings"
)

// Change is a file that differs between two views.
type Change struct {
	Path     string
	Old, New *File // nil if the file is not there
}

// Diff yields the files that are in only one of two views of a chain, or come
// from different copies, in the order of their paths.
func Diff(a, b *View) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		x, y := a.records, b.records
		for len(x) > 0 || len(y) > 0 {
			var c Change
			switch {
			case len(y) == 0 || len(x) > 0 && x[0].path < y[0].path:
				f := a.file(x[0])
				c, x = Change{Path: f.Path, Old: &f}, x[1:]
			case len(x) == 0 || y[0].path < x[0].path:
				f := b.file(y[0])
				c, y = Change{Path: f.Path, New: &f}, y[1:]
			default:
				same := x[0] == y[0]
				r, s := x[0], y[0]
				x, y = x[1:], y[1:]
				if same {
					continue
				}
				f, g := a.file(r), b.file(s)
				c = Change{Path: f.Path, Old: &f, New: &g}
			}
			if !yield(c) {
				return
			}
		}
	}
}

// sortFiles sorts by name, in plain byte order.
func sortFiles(files []ManifestFile) {
	byName := func(a, b ManifestFile) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(files, byName) {
		slices.SortFunc(files, byName)
	}
}
