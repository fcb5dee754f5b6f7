package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// testNodes serves the tree to a test that plays the kernel.
func testNodes(tree iofs.FS, opts Options) *guard {
	set := opts.settings()
	return &guard{fs: newMount(tree, set), log: set.log}
}

// walk looks up a path from the root, element by element.
func walk(t testing.TB, g *guard, path string) fuse.EntryOut {
	t.Helper()
	out := fuse.EntryOut{NodeId: fuse.FUSE_ROOT_ID}
	for name := range strings.SplitSeq(path, "/") {
		in := &fuse.InHeader{NodeId: out.NodeId}
		out = fuse.EntryOut{}
		if st := g.Lookup(nil, in, name, &out); st != fuse.OK {
			t.Fatalf("lookup %s of %s: %v", name, path, st)
		}
	}
	return out
}

func TestAttr(t *testing.T) {
	uid, gid := uint32(7), uint32(8)
	tree := fstest.MapFS{
		"dir/file":   {Data: make([]byte, 5000), Mode: 0666, ModTime: when},
		"dir/tight":  {Mode: 0640, ModTime: time.Unix(-5, 1)},
		"dir/none":   {Mode: 0},
		"dir/suid":   {Mode: 0755 | iofs.ModeSetuid | iofs.ModeSticky},
		"dir/512":    {Data: make([]byte, 512)},
		"dir/513":    {Data: make([]byte, 513)},
		"dir/pipe":   {Mode: iofs.ModeNamedPipe | 0600},
		"dir/socket": {Mode: iofs.ModeSocket | 0600},
		"dir/block":  {Mode: iofs.ModeDevice | 0600},
		"dir/char":   {Mode: iofs.ModeDevice | iofs.ModeCharDevice | 0600},
		"dir/odd":    {Mode: iofs.ModeIrregular | 0600},
		"link":       {Data: []byte("dir/file"), Mode: iofs.ModeSymlink | 0700},
		"private":    {Mode: iofs.ModeDir | 0700},
	}
	tests := []struct {
		path   string
		opts   Options
		mode   uint32
		size   uint64
		blocks uint64
		mtime  int64
	}{
		{"dir/file", Options{}, syscall.S_IFREG | 0444, 5000, 10, when.Unix()},
		{"dir/file", Options{FileMode: 0640, DirMode: 0750}, syscall.S_IFREG | 0440, 5000, 10, when.Unix()},
		{"dir/tight", Options{}, syscall.S_IFREG | 0440, 0, 0, -5},
		{"dir/none", Options{}, syscall.S_IFREG, 0, 0, 0},
		{"dir/suid", Options{}, syscall.S_IFREG | 0555, 0, 0, 0},
		{"dir/512", Options{}, syscall.S_IFREG, 512, 1, 0},
		{"dir/513", Options{}, syscall.S_IFREG, 513, 2, 0},
		{"dir/pipe", Options{}, syscall.S_IFIFO | 0400, 0, 0, 0},
		{"dir/socket", Options{}, syscall.S_IFSOCK | 0400, 0, 0, 0},
		{"dir/block", Options{}, syscall.S_IFBLK | 0400, 0, 0, 0},
		{"dir/char", Options{}, syscall.S_IFCHR | 0400, 0, 0, 0},
		{"dir/odd", Options{}, syscall.S_IFREG | 0400, 0, 0, 0},
		{"dir", Options{}, syscall.S_IFDIR | 0555, 0, 0, 0},
		{"private", Options{}, syscall.S_IFDIR | 0500, 0, 0, 0},
		{"private", Options{FileMode: 0640, DirMode: 0755}, syscall.S_IFDIR | 0555, 0, 0, 0},
		{"link", Options{FileMode: 0640}, syscall.S_IFLNK | 0777, 8, 1, 0},
	}
	for _, tt := range tests {
		tt.opts.UID, tt.opts.GID = &uid, &gid
		g := testNodes(tree, tt.opts)
		entry := walk(t, g, tt.path)
		var got fuse.AttrOut
		if st := g.GetAttr(nil, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: entry.NodeId}}, &got); st != fuse.OK {
			t.Errorf("%s: getattr: %v", tt.path, st)
		}
		if got.Attr != entry.Attr {
			t.Errorf("%s: getattr says %+v, lookup %+v", tt.path, got.Attr, entry.Attr)
		}
		a := got.Attr
		if a.Mode != tt.mode || a.Size != tt.size || a.Blocks != tt.blocks || int64(a.Mtime) != tt.mtime {
			t.Errorf("%s: mode %o size %d blocks %d mtime %d, want %o %d %d %d",
				tt.path, a.Mode, a.Size, a.Blocks, int64(a.Mtime), tt.mode, tt.size, tt.blocks, tt.mtime)
		}
		if a.Nlink != 1 || a.Uid != uid || a.Gid != gid || a.Ino <= 1 || a.Blksize != 4096 {
			t.Errorf("%s: %+v", tt.path, a)
		}
		if a.Atime != a.Mtime || a.Ctime != a.Mtime || a.Atimensec != a.Mtimensec || a.Ctimensec != a.Mtimensec {
			t.Errorf("%s: times differ: %+v", tt.path, a)
		}
	}
}

func TestIdentity(t *testing.T) {
	with := func(content string, ino uint64, mode iofs.FileMode) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(content), Mode: mode, Sys: sys{ino: ino}}
	}
	g := testNodes(fstest.MapFS{
		"points/0/db/1":      with("one", 1<<61|4, 0444),
		"points/latest/db/1": with("one", 1<<61|4, 0444),
		"points/latest/db/2": with("two", 1<<61|5, 0444),
		"linked":             with("target", 1<<61|4, iofs.ModeSymlink|0777),
		"zero":               with("", 0, 0444),
		"root":               with("", 1, 0444),
		"last":               with("", math.MaxUint64, 0444),
		"plain":              mapFile(""),
		"dirs/a":             {Mode: iofs.ModeDir | 0555, Sys: sys{ino: 99}},
		"dirs/b":             {Mode: iofs.ModeDir | 0555, Sys: sys{ino: 99}},
	}, Options{})

	first, second := walk(t, g, "points/0/db/1"), walk(t, g, "points/latest/db/1")
	if first.NodeId != second.NodeId || first.Ino != second.Ino || first.Ino != 1<<61|4 {
		t.Errorf("one file in two places: nodes %d and %d, numbers %d and %d", first.NodeId, second.NodeId, first.Ino, second.Ino)
	}
	if link := walk(t, g, "linked"); link.NodeId == first.NodeId || link.Mode&syscall.S_IFMT != syscall.S_IFLNK {
		t.Errorf("a link with the number of a file became that file: %+v", link)
	}
	if a, b := walk(t, g, "points/0/db"), walk(t, g, "points/latest/db"); a.Ino == b.Ino || a.NodeId == b.NodeId {
		t.Errorf("two directories have one number: %d", a.Ino)
	}
	if a, b := walk(t, g, "dirs/a"), walk(t, g, "dirs/b"); a.NodeId == b.NodeId || a.Ino == 99 {
		t.Errorf("two directories are one node: %d %d", a.Ino, b.Ino)
	}
	seen := map[uint64]string{0: "none", 1: "the root", math.MaxUint64: "go-fuse's own"}
	for _, name := range []string{"zero", "root", "last", "plain", "dirs", "points/latest/db/2"} {
		n := walk(t, g, name).Ino
		if other, ok := seen[n]; ok {
			t.Errorf("%s has the number of %s", name, other)
		}
		seen[n] = name
		if again := walk(t, g, name); again.Ino != n {
			t.Errorf("%s: number %d, then %d", name, n, again.Ino)
		}
	}
	var root fuse.AttrOut
	if st := g.GetAttr(nil, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: 1}}, &root); st != fuse.OK || root.Ino != 1 {
		t.Errorf("root: %v, number %d", st, root.Ino)
	}

	// The same tree, served anew, has the same numbers.
	if again := walk(t, testNodes(fstest.MapFS{"plain": mapFile("")}, Options{}), "plain"); seen[again.Ino] != "plain" {
		t.Error("number of a path is another in the next mount")
	}
}

func TestLookupMiss(t *testing.T) {
	failing := &iofs.PathError{Op: "lstat", Path: "broken", Err: errTorn}
	tree := hooks{FS: fstest.MapFS{"a": mapFile("")}, lstat: map[string]func() (iofs.FileInfo, error){
		"broken": func() (iofs.FileInfo, error) { return nil, failing },
	}}
	var log logBuffer
	for _, opts := range []Options{{}, {CacheTime: time.Minute}, {CacheTime: -1}} {
		want := opts.CacheTime
		if want == 0 {
			want = time.Hour
		}
		opts.Logger = log.logger()
		g := testNodes(tree, opts)
		var out fuse.EntryOut
		for _, name := range []string{"b", "A", "no\xff", "a/b"} {
			out = fuse.EntryOut{}
			if st := g.Lookup(nil, &fuse.InHeader{NodeId: 1}, name, &out); st != fuse.OK || out.NodeId != 0 {
				t.Errorf("%q: status %v, node %d, want a miss that is kept", name, st, out.NodeId)
			}
			if out.EntryTimeout() != max(want, 0) {
				t.Errorf("%q: kept for %v, want %v", name, out.EntryTimeout(), max(want, 0))
			}
		}
		out = walk(t, g, "a")
		if out.EntryTimeout() != max(want, 0) || out.AttrTimeout() != max(want, 0) {
			t.Errorf("a: kept for %v and %v, want %v", out.EntryTimeout(), out.AttrTimeout(), want)
		}
		if st := g.Lookup(nil, &fuse.InHeader{NodeId: 1}, "broken", &out); st != fuse.EIO {
			t.Errorf("broken: %v", st)
		}
		if c := g.counters.snapshot()["lookup"]; c.Count != 6 || c.Errors != 1 {
			t.Errorf("counted %+v", c)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 3 || !strings.Contains(got, "op=lookup path=broken cause=\"lstat broken: "+errTorn.Error()) {
		t.Errorf("log: %s", got)
	}
}

func TestErrno(t *testing.T) {
	path := func(err error) error { return &iofs.PathError{Op: "open", Path: "x", Err: err} }
	for _, tt := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{iofs.ErrNotExist, syscall.ENOENT},
		{path(iofs.ErrNotExist), syscall.ENOENT},
		{path(syscall.ENOENT), syscall.ENOENT},
		{path(iofs.ErrPermission), syscall.EACCES},
		{path(iofs.ErrInvalid), syscall.EINVAL},
		{path(syscall.EPERM), syscall.EPERM},
		{path(syscall.ENOTDIR), syscall.ENOTDIR},
		{fmt.Errorf("x: %w", context.Canceled), syscall.EINTR},
		{path(context.DeadlineExceeded), syscall.EINTR},
		{path(iofs.ErrClosed), syscall.EIO},
		{errors.New("x"), syscall.EIO},
		{path(syscall.Errno(0)), syscall.EIO},
		{path(syscall.ENOSYS), syscall.EIO},
		{path(syscall.Errno(512)), syscall.EIO},
		{errors.Join(errTorn, iofs.ErrNotExist), syscall.ENOENT},
	} {
		if got := errno(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestXattrSizes(t *testing.T) {
	g := testNodes(fstest.MapFS{
		"f": {Sys: sys{ino: 5, attrs: []string{
			"layer", "snap.0", "empty", "", "key", "\x00\xff", strings.Repeat("n", 255), "too long a name", "a\x00b", "never", "", "no name",
		}}},
		"plain": mapFile(""),
	}, Options{})
	list := Prefix + "layer\x00" + Prefix + "empty\x00" + Prefix + "key\x00"
	f, plain := walk(t, g, "f").NodeId, walk(t, g, "plain").NodeId
	for _, tt := range []struct {
		node uint64
		name string // "" lists
		room int
		n    int
		st   fuse.Status
		want string
	}{
		{f, Prefix + "layer", 0, 6, fuse.ERANGE, ""},
		{f, Prefix + "layer", 5, 6, fuse.ERANGE, ""},
		{f, Prefix + "layer", 6, 6, fuse.OK, "snap.0"},
		{f, Prefix + "layer", 64, 6, fuse.OK, "snap.0"},
		{f, Prefix + "empty", 0, 0, fuse.OK, ""},
		{f, Prefix + "key", 2, 2, fuse.OK, "\x00\xff"},
		{f, Prefix + "laye", 9, 0, fuse.ENODATA, ""},
		{f, Prefix, 9, 7, fuse.OK, "no name"},
		{f, "user.layer", 9, 0, fuse.ENODATA, ""},
		{f, "security.capability", 9, 0, fuse.ENODATA, ""},
		{plain, Prefix + "layer", 9, 0, fuse.ENODATA, ""},
		{f, "", 0, len(list), fuse.ERANGE, ""},
		{f, "", len(list) - 1, len(list), fuse.ERANGE, ""},
		{f, "", len(list), len(list), fuse.OK, list},
		{plain, "", 0, 0, fuse.OK, ""},
	} {
		dest := make([]byte, tt.room)
		var n uint32
		var st fuse.Status
		if tt.name == "" {
			n, st = g.ListXAttr(nil, &fuse.InHeader{NodeId: tt.node}, dest)
		} else {
			n, st = g.GetXAttr(nil, &fuse.InHeader{NodeId: tt.node}, tt.name, dest)
		}
		if int(n) != tt.n || st != tt.st {
			t.Errorf("%q into %d bytes: %d, %v, want %d, %v", tt.name, tt.room, n, st, tt.n, tt.st)
		} else if st == fuse.OK && string(dest[:n]) != tt.want {
			t.Errorf("%q: %q, want %q", tt.name, dest[:n], tt.want)
		}
	}
}

func TestStatfs(t *testing.T) {
	for _, tt := range []struct {
		files, bytes  int64
		wantF, blocks uint64
	}{
		{0, 0, 0, 0}, {3, 1, 3, 1}, {3, 4096, 3, 1}, {3, 4097, 3, 2}, {-1, -1, 0, 0}, {1, math.MaxInt64, 1, 1 << 51},
	} {
		g := testNodes(fstest.MapFS{}, Options{Totals: func() (int64, int64) { return tt.files, tt.bytes }})
		var out fuse.StatfsOut
		st := g.StatFs(nil, &fuse.InHeader{NodeId: 1}, &out)
		want := fuse.StatfsOut{Blocks: tt.blocks, Files: tt.wantF, Bsize: 4096, Frsize: 4096, NameLen: 255}
		if st != fuse.OK || out != want {
			t.Errorf("%d files, %d bytes: %v %+v, want %+v", tt.files, tt.bytes, st, out, want)
		}
	}
}

func TestReadlinkLimits(t *testing.T) {
	g := testNodes(fstest.MapFS{
		"empty":   {Mode: iofs.ModeSymlink},
		"longest": {Mode: iofs.ModeSymlink, Data: []byte(strings.Repeat("x", 4095))},
		"long":    {Mode: iofs.ModeSymlink, Data: []byte(strings.Repeat("x", 4096))},
		"out":     {Mode: iofs.ModeSymlink, Data: []byte("../../etc/passwd")},
	}, Options{})
	for _, tt := range []struct {
		name string
		n    int
		st   fuse.Status
	}{{"empty", 0, fuse.EIO}, {"longest", 4095, fuse.OK}, {"long", 0, fuse.EIO}, {"out", 16, fuse.OK}} {
		got, st := g.Readlink(nil, &fuse.InHeader{NodeId: walk(t, g, tt.name).NodeId})
		if len(got) != tt.n || st != tt.st {
			t.Errorf("%s: %d bytes, %v, want %d, %v", tt.name, len(got), st, tt.n, tt.st)
		}
	}
}

func TestOpenFlags(t *testing.T) {
	g := testNodes(fstest.MapFS{
		"f": mapFile("x"),
		"v": {Data: []byte("x"), Sys: sys{ino: 3, volatile: true}},
		"d": {Mode: iofs.ModeDir},
	}, Options{})
	for _, tt := range []struct {
		name  string
		flags int
		st    fuse.Status
		want  uint32
	}{
		{"f", syscall.O_RDONLY, fuse.OK, fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH},
		{"v", syscall.O_RDONLY, fuse.OK, fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH},
		{"f", syscall.O_WRONLY, fuse.EROFS, 0},
		{"f", syscall.O_RDWR, fuse.EROFS, 0},
		{"f", syscall.O_RDONLY | syscall.O_TRUNC, fuse.EROFS, 0},
		{"d", syscall.O_RDONLY, fuse.Status(syscall.EISDIR), 0},
	} {
		node := walk(t, g, tt.name).NodeId
		var out fuse.OpenOut
		st := g.Open(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: node}, Flags: uint32(tt.flags)}, &out)
		if st != tt.st || out.OpenFlags != tt.want {
			t.Errorf("open %s with %#x: %v, flags %#x, want %v, %#x", tt.name, tt.flags, st, out.OpenFlags, tt.st, tt.want)
		}
		if st == fuse.OK {
			g.Release(nil, &fuse.ReleaseIn{InHeader: fuse.InHeader{NodeId: node}, Fh: out.Fh})
		}
	}
	if out := walk(t, g, "v"); out.AttrTimeout() != 0 || out.EntryTimeout() != time.Hour {
		t.Errorf("volatile file: attributes kept for %v, name for %v", out.AttrTimeout(), out.EntryTimeout())
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range g.counters.snapshot() {
			if !yield(name) {
				return
			}
		}
	})
	if want := []string{"lookup", "open", "release"}; !slices.Equal(names, want) {
		t.Errorf("counted %v, want %v", names, want)
	}
}

// FuzzLookup asks for any name. It is there if the tree has it.
func FuzzLookup(f *testing.F) {
	tree := fstest.MapFS{"a": mapFile(""), "%2E%2E": mapFile(""), "ü b": mapFile(""), "d/x": mapFile("")}
	for name := range tree {
		f.Add(name)
	}
	for _, name := range []string{"", ".", "..", "/", "d", "d/", "d/x", "a\x00", "\xff", strings.Repeat("n", 300)} {
		f.Add(name)
	}
	g := testNodes(tree, Options{})
	f.Fuzz(func(t *testing.T, name string) {
		var out fuse.EntryOut
		st := g.Lookup(nil, &fuse.InHeader{NodeId: 1}, name, &out)
		_, isFile := tree[name]
		found := isFile && name != "d/x" || name == "d"
		if st != fuse.OK || (out.NodeId != 0) != found {
			t.Errorf("%q: %v, node %d, want found=%v", name, st, out.NodeId, found)
		}
	})
}
