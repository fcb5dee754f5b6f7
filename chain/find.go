package chain

import (
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
	// A path is looked for among the names of one directory at a time, which is
	// faster than among all paths, and leads to another file where a name is
	// taken.
	ref, ok := v.tree().Lookup(l.index.Entry(i).Path)
	if !ok || int(ref) >= len(v.records) {
		return ""
	}
	if r := v.records[ref]; r.layer == int32(number) && r.member == int32(i) {
		return r.path
	}
	return ""
}
