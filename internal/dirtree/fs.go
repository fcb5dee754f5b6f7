package dirtree

import (
	"io/fs"
	"iter"
	"strings"
	"syscall"
	"time"
)

// FS is a read-only tree, safe for concurrent use. It implements [fs.ReadDirFS],
// [fs.StatFS] and [fs.ReadLinkFS]. Symbolic links are followed inside the tree;
// what they name outside of it does not exist.
//
// All errors are [*fs.PathError]. A missing name is [fs.ErrNotExist], and more
// than 40 symbolic links on the way are [syscall.ELOOP], or, if they make the
// path too long, [syscall.ENAMETOOLONG].
type FS struct {
	src     Source
	modTime time.Time
	names   string
	nodes   []node // 0 is the root; the children of one directory stand together, in byte order
	dirs    []dirNode
}

var (
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.StatFS     = (*FS)(nil)
	_ fs.ReadLinkFS = (*FS)(nil)
)

// With returns a tree of the same paths and refs whose files are those of src.
// The two share their memory.
func (t *FS) With(src Source) *FS {
	other := *t
	other.src = src
	return &other
}

// node is a file or directory. It holds no pointer, so a tree of millions
// costs the garbage collector nothing.
type node struct {
	name   uint64 // offset into names, length, and kind
	ref    uint32 // of a file; of a directory, its index in dirs
	parent uint32
}

// dirNode is what only directories have.
type dirNode struct {
	ref   uint32
	first uint32 // node of the first child
	count uint32 // number of children
}

const (
	kindBits  = 4
	nameShift = 12 + kindBits
)

func (n node) kind() kind { return kind(n.name & (1<<kindBits - 1)) }

func (t *FS) name(n node) string {
	off := n.name >> nameShift
	return t.names[off : off+n.name>>kindBits&(1<<12-1)]
}

// kind is the type of a file in four bits.
type kind uint8

const (
	kindDir kind = iota
	kindFile
	kindLink
	kindPipe
	kindSocket
	kindBlock
	kindChar
	kindOther
)

func kindOf(mode fs.FileMode) kind {
	switch mode.Type() {
	case 0:
		return kindFile
	case fs.ModeDir:
		return kindDir
	case fs.ModeSymlink:
		return kindLink
	case fs.ModeNamedPipe:
		return kindPipe
	case fs.ModeSocket:
		return kindSocket
	case fs.ModeDevice:
		return kindBlock
	case fs.ModeDevice | fs.ModeCharDevice:
		return kindChar
	}
	return kindOther
}

func (k kind) mode() fs.FileMode {
	return [...]fs.FileMode{
		kindDir: fs.ModeDir, kindFile: 0, kindLink: fs.ModeSymlink, kindPipe: fs.ModeNamedPipe, kindSocket: fs.ModeSocket,
		kindBlock: fs.ModeDevice, kindChar: fs.ModeDevice | fs.ModeCharDevice, kindOther: fs.ModeIrregular,
	}[k]
}

// Lookup returns the ref of the file or directory at path, without following
// symbolic links and without allocating. ok is false if there is none, or only
// a directory that no Add named.
func (t *FS) Lookup(path string) (ref uint32, ok bool) {
	i, rest, ok := t.walk(0, path)
	if !ok || rest != "" || t.ref(i) == Made {
		return 0, false
	}
	return t.ref(i), true
}

// ref returns what the source knows a node by; Made if it does not.
func (t *FS) ref(i uint32) uint32 {
	n := t.nodes[i]
	if n.kind() == kindDir {
		return t.dirs[n.ref].ref
	}
	return n.ref
}

// All returns path and ref of all files, directories left out, in the order of
// [fs.WalkDir].
func (t *FS) All() iter.Seq2[string, uint32] {
	return func(yield func(string, uint32) bool) {
		type level struct {
			next, end uint32
			prefix    int
		}
		var buf []byte
		stack := []level{{t.dirs[0].first, t.dirs[0].first + t.dirs[0].count, 0}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == top.end {
				stack = stack[:len(stack)-1]
				continue
			}
			n := t.nodes[top.next]
			top.next++
			buf = append(buf[:top.prefix], t.name(n)...)
			if n.kind() == kindDir {
				buf = append(buf, '/')
				d := t.dirs[n.ref]
				stack = append(stack, level{d.first, d.first + d.count, len(buf)})
			} else if !yield(string(buf), n.ref) {
				return
			}
		}
	}
}

// child finds name in the directory that is node dir.
func (t *FS) child(dir uint32, name string) (uint32, bool) {
	d := t.dirs[t.nodes[dir].ref]
	lo, hi := d.first, d.first+d.count
	for lo < hi {
		mid := lo + (hi-lo)/2
		switch c := strings.Compare(t.name(t.nodes[mid]), name); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return 0, false
}

// walk follows path from directory at as far as it leads without symbolic
// links. It stops at one, or at the end, and returns what is left.
func (t *FS) walk(at uint32, path string) (node uint32, rest string, ok bool) {
	if path == "." {
		return at, "", true
	}
	for path != "" {
		switch t.nodes[at].kind() {
		case kindLink:
			return at, path, true
		case kindDir:
		default:
			return 0, "", false
		}
		elem := path
		if i := strings.IndexByte(path, '/'); i >= 0 {
			elem, path = path[:i], path[i+1:]
		} else {
			path = ""
		}
		if at, ok = t.child(at, elem); !ok {
			return 0, "", false
		}
	}
	return at, "", true
}

const (
	maxLinks = 40      // as in Linux
	maxPath  = 1 << 16 // of what links make of a path
)

// find returns the node at name. If name ends in a symbolic link, it is
// followed if follow says so.
func (t *FS) find(op, name string, follow bool) (uint32, error) {
	if !fs.ValidPath(name) {
		return 0, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	at, rest, ok := t.walk(0, name)
	if !ok {
		return 0, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	if t.nodes[at].kind() == kindLink && (rest != "" || follow) {
		var err error
		if at, err = t.follow(at, rest, follow); err != nil {
			return 0, &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	return at, nil
}

// follow resolves the symbolic link at, and rest from there.
func (t *FS) follow(at uint32, rest string, last bool) (uint32, error) {
	links := 0
	for {
		if t.nodes[at].kind() == kindLink && (rest != "" || last) {
			if links++; links > maxLinks {
				return 0, syscall.ELOOP
			}
			target, err := t.src.Link(t.nodes[at].ref)
			if err != nil {
				return 0, err
			}
			switch {
			case target == "" || target[0] == '/':
				return 0, fs.ErrNotExist
			case len(target)+len(rest) > maxPath:
				return 0, syscall.ENAMETOOLONG
			}
			at, rest = t.nodes[at].parent, target+"/"+rest
			continue
		}
		if rest == "" {
			return at, nil
		}
		if t.nodes[at].kind() != kindDir {
			return 0, fs.ErrNotExist
		}
		var elem string
		elem, rest, _ = strings.Cut(rest, "/")
		switch elem {
		case "", ".":
		case "..":
			if at == 0 {
				return 0, fs.ErrNotExist // out of the tree
			}
			at = t.nodes[at].parent
		default:
			var ok bool
			if at, ok = t.child(at, elem); !ok {
				return 0, fs.ErrNotExist
			}
		}
	}
}

// Open opens a file or directory. Regular files are [io.ReaderAt] for
// concurrent use, [io.Seeker], and attr.Extent if their content is; they must
// be closed. Directories are [fs.ReadDirFile] and stream; they seek by number
// of entries. What is neither opens, but cannot be read.
func (t *FS) Open(name string) (fs.File, error) {
	i, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	return t.open(i, name)
}

// Stat describes a file or directory.
func (t *FS) Stat(name string) (fs.FileInfo, error) {
	i, err := t.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return t.info(i, base(name)), nil
}

// Lstat is like Stat, but describes a symbolic link itself.
func (t *FS) Lstat(name string) (fs.FileInfo, error) {
	i, err := t.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return t.info(i, base(name)), nil
}

// ReadLink returns the target of a symbolic link. What is none is
// [fs.ErrInvalid].
func (t *FS) ReadLink(name string) (string, error) {
	i, err := t.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if t.nodes[i].kind() != kindLink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	target, err := t.src.Link(t.nodes[i].ref)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return target, nil
}

// ReadDir lists a directory in the order of names. To list a large one in
// parts, open it.
func (t *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	i, err := t.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	n := t.nodes[i]
	if n.kind() != kindDir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	d := t.dirs[n.ref]
	return t.list(d.first, d.count), nil
}

func (t *FS) list(first, count uint32) []fs.DirEntry {
	entries := make([]dirEntry, count)
	list := make([]fs.DirEntry, count)
	for i := range entries {
		entries[i] = dirEntry{t, first + uint32(i)}
		list[i] = &entries[i]
	}
	return list
}

func (t *FS) info(i uint32, name string) fs.FileInfo {
	ref := t.ref(i)
	if ref == Made {
		return &fileInfo{name, Info{Mode: fs.ModeDir | 0o555, ModTime: t.modTime}}
	}
	in := t.src.Info(ref)
	// The tree goes by the type that was added, so the two must not differ.
	in.Mode = in.Mode&^fs.ModeType | t.nodes[i].kind().mode()
	return &fileInfo{name, in}
}
