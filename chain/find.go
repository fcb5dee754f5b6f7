package chain

import (
	"slices"

	"github.com/snapfs/snapfs/internal/attr"
)

// Find implements [attr.Finder]: it knows the files whose bytes are in a tar,
// but for those below a directory that appears under another name.
func (v *View) Find(ino uint64) (path string) {
	number, off, ok := attr.Member(ino)
	if !ok || number >= len(v.chain.layers) || len(v.chain.layers) > attr.MaxLayers {
		return ""
	}
	l := v.chain.layers[number]
	if l.index == nil {
		return ""
	}
	i, ok := l.index.At(off)
	if !ok {
		return ""
	}
	ref, ok := v.record(l, i)
	if !ok {
		return ""
	}
	path = v.records[ref].path
	if there, ok := v.tree().Lookup(path); !ok || int(there) != ref {
		return ""
	}
	return path
}

// record returns which record of the view is member i of a layer.
func (v *View) record(l *Layer, i int) (ref int, ok bool) {
	is := func(ref int) bool {
		return ref >= 0 && ref < len(v.records) && v.records[ref].member == int32(i) && v.records[ref].layer == int32(l.number)
	}
	// In a tar of a server the manifest is the first member, and the others are
	// in order.
	if is(i - 1) {
		return i - 1, true
	}
	ref, ok = slices.BinarySearchFunc(v.records, l.index.Entry(i).Path, byPath)
	return ref, ok && is(ref)
}
