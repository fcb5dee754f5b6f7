package chain

import (
	"io/fs"
	"slices"
)

// Rule says why a copy of a file took the place of the one before, or did not.
type Rule string

// The rules, see [Chain]. Stamps are what the manifests tell of files: when they
// were modified, or the index of a message.
const (
	First      Rule = "first"       // there was none before
	Newer      Rule = "newer"       // its stamp is newer: it won
	Tie        Rule = "tie"         // the stamps are equal: the earlier layer keeps its copy
	Older      Rule = "older"       // its stamp is older: it lost
	NoEntry    Rule = "no-entry"    // a manifest does not list one of the two: the later layer won
	LaterLayer Rule = "later-layer" // there are no manifests: the later layer won
)

// Won reports whether the copy took the place of the one before.
func (r Rule) Won() bool { return r != Tie && r != Older }

// Version is a copy of a file in a layer.
type Version struct {
	File
	Rule    Rule
	Before  *File // that it was compared with; nil for the first
	Current bool  // it is the one that the view shows
}

// History returns the copies of a file in the layers up to the view's point, the
// earliest first. path is a [File.Path]. There are none if no layer has it; the
// view may have none all the same if it does not show ghosts.
func (v *View) History(path string) []Version {
	c := v.chain
	var out []Version
	var winner record
	best := -1
	for _, l := range c.layers[:v.point.Layer.number+1] {
		i, ok := slices.BinarySearchFunc(l.records, path, byPath)
		if !ok {
			continue
		}
		r := l.records[i]
		one := Version{File: v.file(r), Rule: First}
		if best >= 0 {
			before := out[best].File
			one.Before, one.Rule = &before, c.rule(r, winner)
		}
		out = append(out, one)
		if one.Rule.Won() {
			winner, best = r, len(out)-1
		}
	}
	if best >= 0 {
		out[best].Current = true
	}
	return out
}

// rule returns why r, of a later layer than old, takes its place or not.
func (c *Chain) rule(r, old record) Rule {
	switch {
	case r.listed < 0 && old.listed < 0:
		return LaterLayer
	case r.listed < 0 || old.listed < 0:
		return NoEntry
	}
	a, b := c.stamp(r), c.stamp(old)
	switch {
	case a.Newer(b):
		return Newer
	case b.Newer(a):
		return Older
	}
	return Tie
}

// Offset returns where in the tar the content of the file begins, in bytes;
// false if it is not one run of bytes there.
func (f File) Offset() (int64, bool) {
	if f.Missing || !f.Mode.IsRegular() {
		return 0, false
	}
	return f.Layer.index.Offset(f.member)
}

// FileAt returns the file that the tree of the view has under a path; false if
// that is none, or the merged manifest. Of a ghost it says so.
func (v *View) FileAt(name string) (File, bool) {
	fi, err := fs.Stat(v, name)
	if err != nil {
		return File{}, false
	}
	m, ok := fi.Sys().(member)
	if !ok || int(m.ref) >= len(m.view.records) {
		return File{}, false
	}
	f := v.file(m.view.records[m.ref])
	f.Ghost = m.view.ghosts[m.ref]
	return f, true
}

// LayerChange is what one layer brought.
type LayerChange struct {
	Point     Point
	Added     int   // files that no layer before had
	Replaced  int   // files of which it has a newer copy
	Unchanged int   // other files of the view
	Lost      int   // copies in the layer that lost
	Bytes     int64 // of files that were added or replaced
	Changes   []Change
}

// Log returns what the layers up to the view's point brought, the earliest first.
// keep says of which files.
func (v *View) Log(keep func(path string) bool) []LayerChange {
	var out []LayerChange
	before := &View{chain: v.chain}
	for _, l := range v.chain.layers[:v.point.Layer.number+1] {
		after := v.chain.viewOf(l.number)
		change := LayerChange{Point: after.point}
		for _, r := range after.records {
			if keep(r.path) {
				change.Unchanged++
			}
		}
		for _, r := range l.records {
			if keep(r.path) {
				change.Lost++
			}
		}
		for d := range Diff(before, after) {
			if !keep(d.Path) {
				continue
			}
			if d.Old == nil {
				change.Added++
			} else {
				change.Replaced++
			}
			change.Unchanged--
			change.Lost--
			change.Bytes += d.New.Size
			change.Changes = append(change.Changes, d)
		}
		out, before = append(out, change), after
	}
	return out
}
