package tarindex

import "archive/tar"

// hardLink says which member a hard link stands for.
type hardLink struct{ member, target uint32 }

const noTarget = 1<<32 - 1

// resolve finds the targets of all hard links, whose paths are given: the last
// member of the name before the link, as extracting the archive would, or else
// the first member after it.
func (ix *Index) resolve(paths []string) {
	if len(ix.links) == 0 {
		return
	}
	wanted := make(map[string]uint32, len(paths))
	for _, path := range paths {
		wanted[path] = noTarget
	}
	next := 0 // in links
	first := make(map[string]uint32)
	for i := range ix.count {
		m := ix.member(i)
		target := uint32(i)
		if m.typ == tar.TypeLink {
			target = wanted[paths[next]]
			ix.links[next].target = target
			next++
		}
		path, _ := m.path(ix.name(i))
		if _, ok := wanted[path]; !ok || m.isDir() || target == noTarget || !inTree(m) {
			continue
		}
		wanted[path] = target
		if _, ok := first[path]; !ok {
			first[path] = target
		}
	}
	for i, path := range paths {
		if l := &ix.links[i]; l.target == noTarget {
			if t, ok := first[path]; ok {
				l.target = t
			}
		}
	}
}

// target returns the member that member i stands for: itself, unless it is a
// hard link. ok is false if there is no such member.
func (ix *Index) target(i int) (j int, ok bool) {
	if ix.member(i).typ != tar.TypeLink {
		return i, true
	}
	lo, hi := 0, len(ix.links)
	for lo < hi {
		if mid := (lo + hi) / 2; int(ix.links[mid].member) < i {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if t := ix.links[lo].target; t != noTarget {
		return int(t), true
	}
	return i, false
}
