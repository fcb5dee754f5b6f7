package fs

import (
	iofs "io/fs"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

func testTable() *nodes {
	t := newNodes(&node{dir: ".", ino: rootIno, mode: syscall.S_IFDIR}, nil)
	return &t
}

func TestNodes(t *testing.T) {
	table := testTable()
	a := node{dir: "d", name: "a", ino: 7, mode: syscall.S_IFREG}
	again := node{dir: "other", name: "b", ino: 7, mode: syscall.S_IFREG}
	link := node{dir: "d", name: "link", ino: 7, mode: syscall.S_IFLNK}
	last := node{dir: "d", name: "last", ino: math.MaxUint64 - 1, mode: syscall.S_IFREG}
	lastLink := node{dir: "d", name: "last link", ino: math.MaxUint64 - 1, mode: syscall.S_IFLNK}
	for _, tt := range []struct {
		n    node
		id   uint64
		path string
	}{
		{a, 7, "d/a"}, {again, 7, "d/a"}, {link, 8, "d/link"}, {link, 8, "d/link"}, {a, 7, "d/a"},
		{last, math.MaxUint64 - 1, "d/last"},
		{lastLink, 2, "d/last link"}, // the numbers between are reserved
	} {
		id := table.enter(tt.n)
		if n := table.get(id); id != tt.id || n == nil || n.path() != tt.path {
			t.Errorf("%s: node %d, %v, want %d, %s", tt.n.name, id, n, tt.id, tt.path)
		}
	}
	for _, tt := range []struct {
		id, count uint64
		known     bool
	}{
		{7, 2, true}, {7, 1, false}, {7, 1, false}, {8, 3, false},
		{fuse.FUSE_ROOT_ID, 1, true}, {2, math.MaxUint64, false},
	} {
		table.forget(tt.id, tt.count)
		if n := table.get(tt.id); (n != nil) != tt.known {
			t.Errorf("forgot %d %d times: %v", tt.id, tt.count, n)
		}
	}
	if id := table.enter(again); id != 7 || table.get(id).path() != "other/b" {
		t.Errorf("after it was forgotten: %d, %s", id, table.get(id).path())
	}

	// More lookups than can be counted: it stays.
	table.get(7).lookups = math.MaxUint32 - 1
	table.enter(a)
	table.enter(a)
	table.forget(7, math.MaxUint32)
	if table.get(7) == nil {
		t.Error("forgotten, although the kernel may know it")
	}
}

// TestNodesConcurrent takes back all that many goroutines entered.
func TestNodesConcurrent(t *testing.T) {
	table := testTable()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for i := range uint64(8) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, i))
			known := map[uint64]uint64{}
			for range 5000 {
				ino := 2 + rnd.Uint64N(50)
				name := strconv.FormatUint(ino, 10)
				id := table.enter(node{dir: ".", name: name, ino: ino, mode: syscall.S_IFREG})
				known[id]++
				if n := table.get(id); n == nil || n.path() != name {
					t.Errorf("node %d, just entered, is %v", id, n)
				}
				if rnd.IntN(3) == 0 {
					table.forget(id, known[id])
					delete(known, id)
				}
			}
			for id, count := range known {
				table.forget(id, count)
			}
		})
	}
	wg.Wait()
	if len(table.byID) != 1 {
		t.Errorf("%d nodes left, want the root alone", len(table.byID))
	}
}

// findable finds the files that are in its map.
type findable struct {
	fstest.MapFS
	at map[uint64]string
}

func (f findable) Find(ino uint64) string { return f.at[ino] }

// TestFound does without a table for files that the tree finds, and only for
// these.
func TestFound(t *testing.T) {
	with := func(content string, ino uint64) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(content), Mode: 0444, Sys: sys{ino: ino}}
	}
	g := testNodes(findable{
		fstest.MapFS{
			"db/1": with("one", 51), "db/2": with("two", 52), "points/0/db/1": with("one", 51), "points/0/db/2": with("old", 42),
			"link": {Data: []byte("db/1"), Mode: iofs.ModeSymlink | 0777, Sys: sys{ino: 50}}, "z": with("51 is taken", 50),
		},
		map[uint64]string{51: "db/1", 52: "db/2"},
	}, Options{})
	table := &g.fs.(*mount).nodes
	old, other := walk(t, g, "points/0/db/2"), walk(t, g, "points/0/db/1")
	dirs := len(table.byID) // and the old file
	first := walk(t, g, "db/1")
	if second := walk(t, g, "db/2"); first.NodeId != 51 || other.NodeId != 51 || second.NodeId != 52 || old.NodeId != 42 {
		t.Errorf("nodes %d, %d, %d, %d", first.NodeId, other.NodeId, second.NodeId, old.NodeId)
	}
	if n := len(table.byID); n != dirs+1 {
		t.Errorf("the directory db and two files in it added %d nodes, want 1", n-dirs)
	}
	// Numbers that the tree finds are not given to others.
	if link, z := walk(t, g, "link"), walk(t, g, "z"); link.NodeId != 50 || z.NodeId != 53 {
		t.Errorf("nodes %d and %d, want 50 and 53", link.NodeId, z.NodeId)
	}
	for _, id := range []uint64{51, 42} {
		g.Forget(id, math.MaxUint32)
	}
	for id, want := range map[uint64]fuse.Status{51: fuse.OK, 52: fuse.OK, 42: errStale} {
		in := fuse.InHeader{NodeId: id}
		var out fuse.AttrOut
		if st := g.GetAttr(nil, &fuse.GetAttrIn{InHeader: in}, &out); st != want || st == fuse.OK && out.Ino != id {
			t.Errorf("node %d: %v, number %d; want %v", id, st, out.Ino, want)
		}
		if st := g.Open(nil, &fuse.OpenIn{InHeader: in}, &fuse.OpenOut{}); st != want {
			t.Errorf("open node %d: %v, want %v", id, st, want)
		}
	}
}

func TestHandles(t *testing.T) {
	var h handles[int]
	one, two, three := new(int), new(int), new(int)
	a, b := h.add(one), h.add(two)
	if a == b || h.get(a) != one || h.get(b) != two || h.get(2) != nil {
		t.Errorf("%d is %p, %d is %p", a, h.get(a), b, h.get(b))
	}
	if h.remove(a) != one || h.get(a) != nil || h.remove(a) != nil || h.remove(99) != nil {
		t.Error("not removed, or twice")
	}
	if c := h.add(three); c != a || h.get(c) != three || h.get(b) != two {
		t.Errorf("%d is %p, %d is %p", c, h.get(c), b, h.get(b))
	}
}

// TestUnknown asks for nodes and handles that are not there.
func TestUnknown(t *testing.T) {
	g := testNodes(fstest.MapFS{"a": mapFile("x"), "d/b": mapFile("")}, Options{})
	a := walk(t, g, "a").NodeId
	g.Forget(a, 1)
	in := fuse.InHeader{NodeId: a}
	_, readlink := g.Readlink(nil, &in)
	_, getxattr := g.GetXAttr(nil, &in, Prefix+"x", nil)
	_, listxattr := g.ListXAttr(nil, &in, nil)
	_, read := g.Read(nil, &fuse.ReadIn{InHeader: in}, nil)
	list := fuse.NewDirEntryList(make([]byte, 4096), 0)
	for op, tt := range map[string]struct{ got, want fuse.Status }{
		"lookup":      {g.Lookup(nil, &in, "a", &fuse.EntryOut{}), errStale},
		"getattr":     {g.GetAttr(nil, &fuse.GetAttrIn{InHeader: in}, &fuse.AttrOut{}), errStale},
		"readlink":    {readlink, errStale},
		"getxattr":    {getxattr, errStale},
		"listxattr":   {listxattr, errStale},
		"open":        {g.Open(nil, &fuse.OpenIn{InHeader: in}, &fuse.OpenOut{}), errStale},
		"opendir":     {g.OpenDir(nil, &fuse.OpenIn{InHeader: in}, &fuse.OpenOut{}), errStale},
		"read":        {read, errHandle},
		"readdir":     {g.ReadDir(nil, &fuse.ReadIn{InHeader: in}, list), errHandle},
		"readdirplus": {g.ReadDirPlus(nil, &fuse.ReadIn{InHeader: in}, list), errHandle},
		"ioctl":       {g.Ioctl(nil, &fuse.IoctlIn{InHeader: in}, nil, &fuse.IoctlOut{}, nil), fuse.Status(syscall.ENOTTY)},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", op, tt.got, tt.want)
		}
	}
	g.Release(nil, &fuse.ReleaseIn{InHeader: in})
	g.ReleaseDir(&fuse.ReleaseIn{InHeader: in})
	if again := walk(t, g, "a"); again.NodeId != a || again.Size != 1 {
		t.Errorf("looked up again: %+v", again)
	}

	// What a listing tells is known, and taken back one by one.
	var d fuse.OpenOut
	if st := g.OpenDir(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: fuse.FUSE_ROOT_ID}}, &d); st != fuse.OK {
		t.Fatal(st)
	}
	if st := g.ReadDirPlus(nil, &fuse.ReadIn{Fh: d.Fh}, list); st != fuse.OK {
		t.Fatal(st)
	}
	_, entries, err := fuse.ParseDirLookupEntries(list.Bytes())
	if err != nil || len(entries) != 4 || entries[2].NodeId != a {
		t.Fatalf("listing: %v, %v", entries, err)
	}
	g.Forget(a, 1)
	if st := g.GetAttr(nil, &fuse.GetAttrIn{InHeader: in}, &fuse.AttrOut{}); st != fuse.OK {
		t.Errorf("known by the lookup still: %v", st)
	}
}
