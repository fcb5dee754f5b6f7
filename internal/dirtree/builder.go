package dirtree

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Made is the ref of a directory that no Add named. A file cannot have it.
const Made = 1<<32 - 1

// maxName is the longest file name in bytes.
const maxName = 255

// Builder collects the paths of a tree. Its zero value is ready to use.
type Builder struct {
	// ModTime is that of directories that no Add named.
	ModTime time.Time
	// Reserved are names that a directory at the root never gets, as if the
	// root held a file of each, whether it does or not. Thus a path means the
	// same in trees that do and in trees that do not.
	Reserved []string
	// Shadowed, unless nil, is called during Build for each file that another
	// one of the same path, added later, hides.
	Shadowed func(path string, ref, by uint32)
	// Renamed, unless nil, is called during Build for each directory that
	// appears under another name because its own is that of a file.
	Renamed func(path, shown string)

	entries []entry
}

type entry struct {
	path string
	ref  uint32
	seq  uint32
	kind kind
}

// Grow makes room for n more files.
func (b *Builder) Grow(n int) { b.entries = slices.Grow(b.entries, n) }

// Add puts file ref at path, which [fs.ValidPath] must accept and whose
// elements must have no more than 255 bytes, as package names makes them; any
// other path is a bug of the caller, and panics. mode gives the type: only
// directories can be at ".". The tree may keep path.
//
// Of several files with one path the last wins, and of several directories
// too. If there are both, the file keeps the name, and the directory appears
// beside it with ".d" appended, as often as it takes to be unique; files never
// change their name.
func (b *Builder) Add(path string, ref uint32, mode fs.FileMode) {
	k := kindOf(mode)
	if !fs.ValidPath(path) || path == "." && k != kindDir || ref == Made {
		panic("dirtree: add " + strconv.Quote(path) + ": not a path in a tree")
	}
	b.entries = append(b.entries, entry{path, ref, uint32(len(b.entries)), k})
}

// Build returns the tree of all files added, and leaves the builder empty. It
// takes time in proportion to the length of all paths if they were added in
// the order of a walk, and n log n comparisons more otherwise.
func (b *Builder) Build(src Source) *FS {
	entries := b.entries
	b.entries = nil
	if !slices.IsSortedFunc(entries, order) {
		slices.SortFunc(entries, order)
	}
	t := &FS{src: src, modTime: b.ModTime, nodes: make([]node, 1, len(entries)+len(entries)/32+16)}
	root := dirSpan{hi: len(entries), ref: Made}
	for root.lo < root.hi && entries[root.lo].path == "." {
		root.ref = entries[root.lo].ref
		root.lo++
	}
	l := layout{b: b, t: t, entries: entries}
	l.names.Grow(16 * len(entries))
	// Breadth first, so that the children of a directory come together.
	for queue := []dirSpan{root}; len(queue) > 0; {
		next := queue[:0:0]
		for _, d := range queue {
			next = l.dir(d, next)
		}
		queue = next
	}
	t.names = l.names.String()
	if l.names.Cap() > len(t.names)+len(t.names)/8 {
		t.names = strings.Clone(t.names)
	}
	if cap(t.nodes) > len(t.nodes)+len(t.nodes)/8 {
		t.nodes = slices.Clone(t.nodes)
	}
	if cap(t.dirs) > len(t.dirs)+len(t.dirs)/8 {
		t.dirs = slices.Clone(t.dirs)
	}
	return t
}

// order sorts paths as a walk meets them, element by element, so that what a
// directory holds comes right after it. Of one path, the first added is first.
func order(a, b entry) int {
	if a.path != b.path {
		return comparePaths(a.path, b.path)
	}
	return cmp.Compare(a.seq, b.seq)
}

// comparePaths compares bytes, but for the slash, which comes before all.
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	i := 0
	for i+8 <= n && a[i:i+8] == b[i:i+8] {
		i += 8
	}
	for ; i < n; i++ {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a == ".":
			return -1
		case b == ".":
			return 1
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		}
		return cmp.Compare(a[i], b[i])
	}
	return cmp.Compare(len(a), len(b))
}

// dirSpan is a directory whose children are still to be laid out: those of
// entries lo to hi, whose paths have the directory's own as their first skip
// bytes, slash included.
type dirSpan struct {
	lo, hi int
	skip   int
	node   uint32 // index in the nodes
	ref    uint32
}

// child is a file, or a directory with what it holds, within its parent.
type child struct {
	name string
	kind kind
	span dirSpan
}

type layout struct {
	b       *Builder
	t       *FS
	entries []entry
	names   strings.Builder
	kids    []child
}

// dir appends the children of d to the nodes, and its directories to queue.
func (l *layout) dir(d dirSpan, queue []dirSpan) []dirSpan {
	l.kids = l.kids[:0]
	var clash bool
	for i := d.lo; i < d.hi; {
		name, _, _ := strings.Cut(l.entries[i].path[d.skip:], "/")
		if len(name) > maxName {
			panic("dirtree: build: an element of " + strconv.Itoa(len(name)) + " bytes")
		}
		file, sub := child{name: name}, child{name: name, kind: kindDir}
		sub.span = dirSpan{ref: Made, skip: d.skip + len(name) + 1}
		var hasFile, hasDir bool
		for ; i < d.hi && len(l.entries[i].path) == d.skip+len(name) && l.entries[i].path[d.skip:] == name; i++ {
			e := l.entries[i]
			if e.kind == kindDir {
				sub.span.ref, hasDir = e.ref, true
				continue
			}
			if hasFile && l.b.Shadowed != nil {
				l.b.Shadowed(e.path, file.span.ref, e.ref)
			}
			file.kind, file.span.ref, hasFile = e.kind, e.ref, true
		}
		sub.span.lo = i
		for i < d.hi && holds(l.entries[i].path[d.skip:], name) {
			i++
		}
		sub.span.hi = i
		hasDir = hasDir || sub.span.lo < i
		if hasFile {
			l.kids = append(l.kids, file)
		}
		if hasDir {
			l.kids = append(l.kids, sub)
			clash = clash || hasFile || d.skip == 0 && slices.Contains(l.b.Reserved, name)
		}
	}
	if clash {
		l.rename(d)
	}
	l.t.nodes[d.node].ref = uint32(len(l.t.dirs))
	l.t.dirs = append(l.t.dirs, dirNode{ref: d.ref, first: uint32(len(l.t.nodes)), count: uint32(len(l.kids))})
	for _, c := range l.kids {
		n := node{ref: c.span.ref, parent: d.node}
		n.name = uint64(l.names.Len())<<nameShift | uint64(len(c.name))<<kindBits | uint64(c.kind)
		l.names.WriteString(c.name)
		if c.kind == kindDir {
			c.span.node = uint32(len(l.t.nodes))
			queue = append(queue, c.span)
		}
		l.t.nodes = append(l.t.nodes, n)
	}
	return queue
}

// holds reports whether path leads through the directory called name.
func holds(path, name string) bool {
	return len(path) > len(name) && path[len(name)] == '/' && path[:len(name)] == name
}

// rename gives each directory that has the name of a file, or a reserved one,
// another name, and puts the children of d in order again.
func (l *layout) rename(d dirSpan) {
	var reserved []string
	if d.skip == 0 {
		reserved = l.b.Reserved
	}
	taken := make(map[string]bool)
	for _, name := range reserved {
		taken[name] = true
	}
	for _, c := range l.kids {
		if c.kind != kindDir {
			taken[c.name] = true
		}
	}
	// Directories of reserved names choose first, so that theirs depend on as
	// little of the tree as can be. Others that have the name chosen move on.
	var shown []string
	move := func(i int) {
		name := free(l.kids[i].name, taken)
		taken[name] = true
		if l.b.Renamed != nil {
			path := l.path(l.kids[i], d)
			l.b.Renamed(path, path[:len(path)-len(l.kids[i].name)]+name)
		}
		shown[i] = name
	}
	shown = make([]string, len(l.kids))
	for i, c := range l.kids {
		if c.kind == kindDir && slices.Contains(reserved, c.name) {
			move(i)
		}
	}
	var rest []int
	for i, c := range l.kids {
		switch {
		case c.kind != kindDir || shown[i] != "":
		case taken[c.name]:
			rest = append(rest, i)
		}
	}
	for i, c := range l.kids {
		if c.kind == kindDir && shown[i] == "" {
			taken[c.name] = true
		}
	}
	for _, i := range rest {
		move(i)
	}
	for i := range l.kids {
		if shown[i] != "" {
			l.kids[i].name = shown[i]
		}
	}
	slices.SortFunc(l.kids, func(a, b child) int { return strings.Compare(a.name, b.name) })
}

// path returns the path of a directory as it was added.
func (l *layout) path(c child, d dirSpan) string {
	e := l.entries[min(c.span.lo, len(l.entries)-1)].path
	if c.span.lo == c.span.hi {
		// Nothing lies in it, so it was added itself, just before.
		e = l.entries[c.span.lo-1].path
	}
	return e[:d.skip+len(c.name)]
}

// free returns the name for a directory called name that is not taken.
func free(name string, taken map[string]bool) string {
	const plain = 8 // so often is ".d" itself appended
	base := name
	if len(base)+2*plain > maxName {
		// The hash keeps directories apart that differ only in what is cut.
		sum := sha256.Sum256([]byte(name))
		cut := maxName - 40
		for cut > 0 && !utf8.RuneStart(base[cut]) {
			cut--
		}
		base = base[:cut] + "~" + hex.EncodeToString(sum[:8])
		if short := name + ".d"; len(short) <= maxName && !taken[short] {
			return short
		}
	}
	next := base
	for range plain {
		next += ".d"
		if !taken[next] {
			return next
		}
	}
	for n := plain + 1; ; n++ {
		next = base + ".d" + strconv.Itoa(n)
		if !taken[next] {
			return next
		}
	}
}
