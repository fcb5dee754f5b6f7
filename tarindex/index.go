package tarindex

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/snapfs/snapfs/internal/dirtree"
	"github.com/snapfs/snapfs/internal/names"
)

// Options change how [Build] works. The zero value is fine.
type Options struct {
	// Layer is the number of the archive in its chain. It goes into the inode
	// numbers of the members, with their offset.
	Layer int
	// File is the file that the archive is, from its first byte on. Open
	// members then tell where in File their bytes are. It need not be set if
	// the io.ReaderAt is an *os.File itself.
	File *os.File
	// Predict, unless nil, is called once, if the first member is a regular
	// file, and returns the sizes of the members that are likely to follow, in
	// their order. It is how an archive that begins with a list of its members
	// is indexed in a few round trips, however far away it is: headers are
	// asked for ahead, see [Prefetcher]. A wrong guess changes nothing else.
	Predict func(first Entry, content io.ReaderAt) (sizes []int64)
}

// Entry is one member of an archive.
type Entry struct {
	Name    string      // as in the archive: any bytes
	Path    string      // in the tree; directories may appear under another, see [Index]
	Mode    fs.FileMode // type and permissions; a hard link has the type of its target
	Size    int64       // as in the header: the bytes of a regular member, holes included
	ModTime time.Time   // as in the header, in UTC; in manifests of InfluxDB files have another

	Type         byte  // as tar.Header.Typeflag
	HeaderOffset int64 // of the first header block in the archive, extended headers included
	DataOffset   int64 // of the data; what is there of a sparse member is not all of it
}

// Index says where the members of an archive are. Members are numbered from 0
// in the order of the archive; records that hold for the whole archive (PAX
// type 'g') are not members.
//
// An Index is also a tree, an [fs.FS] with the powers of [fs.ReadDirFS],
// [fs.StatFS] and [fs.ReadLinkFS]. In it, the last member of a path wins,
// directories that have no member are made up, and a directory that has the
// name of a file appears beside it with ".d" appended. Volume labels are left
// out. A hard link is the member it names; if there is none, it is an empty
// file that does not open.
//
// All methods are safe for concurrent use.
type Index struct {
	r    io.ReaderAt
	file *os.File // nil if there is none
	size int64

	layer  int
	chunks []chunk
	count  int
	traits []traits   // that members have
	links  []hardLink // in the order of member

	cut     int   // member whose data is cut off, or -1
	missing int64 // bytes of it that are not there
	end     endMark

	build func() (*dirtree.FS, []note)
}

var (
	_ fs.ReadDirFS  = (*Index)(nil)
	_ fs.StatFS     = (*Index)(nil)
	_ fs.ReadLinkFS = (*Index)(nil)
)

// maxMembers is one less than refs of a tree can be.
const maxMembers = dirtree.Made - 1

// Build indexes the uncompressed archive that is the first size bytes of r,
// which must be safe for concurrent use and stay open as long as the Index is
// used. It reads headers only.
//
// If the archive is damaged, Build returns what comes before the damage and an
// [*Error] that wraps [ErrTruncated], [ErrFormat], or the error of the read
// that failed. Only if not even the first header makes sense is the Index nil.
// That also holds for an empty file, but not for an archive with nothing but
// an end mark, which has no members. A compressed archive is [ErrCompressed].
func Build(r io.ReaderAt, size int64, opts Options) (*Index, error) {
	ix := &Index{r: r, file: opts.File, size: size, layer: opts.Layer, cut: -1}
	if f, ok := r.(*os.File); ok && ix.file == nil {
		ix.file = f
	}
	// Nothing is that long; and no sum of offsets overflows.
	sc := scratches.Get().(*scratch)
	s := scanner{ix: ix, w: window{r: r, size: min(size, 1<<62), buf: sc.window}, names: sc.names, predict: opts.Predict}
	err := s.scan()
	sc.window, sc.names = s.w.buf[:0], s.names
	scratches.Put(sc)
	if err != nil && ix.count == 0 && !errors.Is(err, ErrTruncated) {
		return nil, err
	}
	ix.size = s.w.size
	ix.resolve(s.targets)
	ix.build = sync.OnceValues(ix.buildTree)
	return ix, err
}

// scratch is the memory that indexing takes and gives back.
type scratch struct{ window, names []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Len returns the number of members.
func (ix *Index) Len() int { return ix.count }

// Entry returns member i, which must be at least 0 and less than Len.
func (ix *Index) Entry(i int) Entry {
	m := ix.member(i)
	name := ix.name(i)
	path, _ := m.path(name)
	return Entry{
		Name: name, Path: path, Mode: ix.mode(i), Size: m.size, ModTime: m.modTime(),
		Type: m.typ, HeaderOffset: m.header, DataOffset: m.dataOffset(),
	}
}

// Name returns the name of member i, as Entry does.
func (ix *Index) Name(i int) string { return ix.name(i) }

// Size returns the size of member i, as Entry does.
func (ix *Index) Size(i int) int64 { return ix.member(i).size }

// Mode returns type and permissions of member i, as Entry does.
func (ix *Index) Mode(i int) fs.FileMode { return ix.mode(i) }

// At returns the member whose header is at off, as in its HeaderOffset.
func (ix *Index) At(off int64) (i int, ok bool) {
	header := func(i int) int64 { return ix.member(i).header }
	lo, hi := 0, ix.count
	if hi > 2 && header(1) <= off && off < ix.end.off {
		// Often all but the first are of one size, and it is close to where it
		// would then be.
		guess := 1 + int(float64(hi-1)*float64(off-header(1))/float64(ix.end.off-header(1)))
		for step := 4; lo < guess-step || guess+step < hi; step *= 8 {
			a, b := max(lo, guess-step), min(hi, guess+step)
			if (a == lo || header(a) <= off) && (b == hi || off < header(b)) {
				lo, hi = a, b
				break
			}
		}
	}
	i = lo + sort.Search(hi-lo, func(k int) bool { return header(lo+k) >= off })
	return i, i < ix.count && header(i) == off
}

// Paths returns the members that are files of the tree, in the order of the
// archive, with their paths, as Entry does.
func (ix *Index) Paths() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for i := range ix.count {
			m := ix.member(i)
			if !inTree(m) {
				continue
			}
			path, _ := m.path(ix.name(i))
			if !yield(i, path) {
				return
			}
		}
	}
}

// All returns the members in the order of the archive, those that later ones
// shadow included.
func (ix *Index) All() iter.Seq2[int, Entry] {
	return func(yield func(int, Entry) bool) {
		for i := range ix.count {
			if !yield(i, ix.Entry(i)) {
				return
			}
		}
	}
}

// Header returns the whole header of member i, read from the archive again.
func (ix *Index) Header(i int) (*tar.Header, error) {
	m := ix.member(i)
	hdr, err := tar.NewReader(ix.section(m.header)).Next()
	if err != nil && hdr == nil {
		return nil, &Error{Op: "read", Name: ix.name(i), Offset: m.header, Err: err}
	}
	return hdr, nil
}

// section returns a reader of the archive from off to its end.
func (ix *Index) section(off int64) io.Reader {
	return &reader{w: &window{r: ix.r, size: ix.size, want: minWindow}, pos: off}
}

// path returns where in the tree a member of that name is, and whether that
// says something else than the name.
func (m member) path(name string) (path string, escaped bool) {
	path, escaped = cleanPath(name)
	if path == "." && !m.isDir() {
		return "%2E", true // the root is a directory, whatever the archive says
	}
	return path, escaped
}

// cleanPath is [names.Path], short for the names that tar itself writes.
func cleanPath(name string) (path string, escaped bool) {
	short := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	return names.Path(short)
}

// mode returns type and permissions of member i.
func (ix *Index) mode(i int) fs.FileMode {
	m := ix.member(i)
	mode := fs.FileMode(m.mode & 0o777)
	for _, bit := range [...]struct {
		tar uint16
		fs  fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if m.mode&bit.tar != 0 {
			mode |= bit.fs
		}
	}
	if m.isDir() {
		return mode | fs.ModeDir
	}
	switch m.typ {
	case tar.TypeSymlink:
		mode |= fs.ModeSymlink
	case tar.TypeChar:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case tar.TypeBlock:
		mode |= fs.ModeDevice
	case tar.TypeFifo:
		mode |= fs.ModeNamedPipe
	case tar.TypeLink:
		if j, ok := ix.target(i); ok {
			mode |= ix.mode(j).Type()
		}
	}
	return mode
}

// End returns the offset of what follows the last member: where the end mark
// is, or where the archive is cut off.
func (ix *Index) End() int64 { return ix.end.off }
