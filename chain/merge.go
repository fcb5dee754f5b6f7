package chain

import (
	"slices"
	"strings"
)

// record is one copy of a file: which layer holds it, and where in there.
type record struct {
	path   string // clean, see package names
	layer  int32
	member int32 // in the index of the layer; -1 if the tar does not hold it
	listed int32 // in the manifest of the layer; -1 if that does not list it
}

func byPath(r record, path string) int { return strings.Compare(r.path, path) }

// fold returns the winners among base and the layers that follow it, sorted by
// path. base is not changed.
//
// Most layers add little to a large base, so the base is copied once and
// changed in place, and what is new is kept apart until the end.
func (c *Chain) fold(base []record, layers []*Layer) []record {
	if len(layers) == 0 {
		return base
	}
	state := slices.Clone(base)
	var extra []record
	for _, l := range layers {
		var added []record
		i, j := 0, 0
		for _, r := range l.records {
			var old *record
			if i = gallop(state, i, r.path); i < len(state) && state[i].path == r.path {
				old = &state[i]
			} else if j = gallop(extra, j, r.path); j < len(extra) && extra[j].path == r.path {
				old = &extra[j]
			} else {
				added = append(added, r)
				continue
			}
			if c.replaces(r, *old) {
				*old = r
			}
		}
		extra = merge(extra, added)
	}
	return merge(state, extra)
}

// replaces reports whether r, of a later layer than old, takes its place. The
// servers' rule is that it must be strictly newer by the manifests. Where one
// of the two has no manifest entry, the later layer wins.
func (c *Chain) replaces(r, old record) bool {
	if r.listed < 0 || old.listed < 0 {
		return true
	}
	return c.stamp(r).Newer(c.stamp(old))
}

func (c *Chain) stamp(r record) Stamp {
	return c.layers[r.layer].listing.stamp(r.listed)
}

// gallop returns the first index at or after from whose path is not before
// path. It is quick when that is close.
func gallop(s []record, from int, path string) int {
	lo, step := from, 1
	for lo+step <= len(s) && s[lo+step-1].path < path {
		lo += step
		step *= 2
	}
	hi := min(lo+step, len(s))
	n, _ := slices.BinarySearchFunc(s[lo:hi], path, byPath)
	return lo + n
}

// merge merges two sorted lists that have no path in common.
func merge(a, b []record) []record {
	if len(b) == 0 {
		return a
	}
	out := make([]record, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].path < b[0].path {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	out = append(out, a...)
	return append(out, b...)
}
