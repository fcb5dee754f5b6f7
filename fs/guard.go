package fs

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// guard stands between the kernel and the nodes. It counts, turns a panic into
// EIO, and refuses what would change something before any node is asked. The
// kernel refuses that as well, since the mount has the option "ro".
type guard struct {
	fs       fuse.RawFileSystem
	log      *slog.Logger
	counters counters
	revoked  sync.Map // inode numbers that have another type when they are asked for, see revoke
}

var _ fuse.RawFileSystem = (*guard)(nil)

// done counts a request as answered with st. It must be deferred itself, as it
// recovers.
func (g *guard) done(op op, st *fuse.Status) {
	if r := recover(); r != nil {
		*st = fuse.EIO
		g.log.Error("panic", "op", opNames[op], "cause", r, "stack", string(debug.Stack()))
	}
	g.count(op, *st)
}

func (g *guard) count(op op, st fuse.Status) {
	c := &g.counters[op]
	c.count.Add(1)
	if st != fuse.OK {
		c.errors.Add(1)
	}
}

func (g *guard) String() string      { return g.fs.String() }
func (g *guard) SetDebug(on bool)    { g.fs.SetDebug(on) }
func (g *guard) Init(s *fuse.Server) { g.fs.Init(s) }
func (g *guard) OnUnmount()          { g.fs.OnUnmount() }

func (g *guard) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) (st fuse.Status) {
	defer g.done(opLookup, &st)
	return g.fs.Lookup(cancel, h, name, out)
}

func (g *guard) Forget(nodeid, nlookup uint64) {
	var st fuse.Status
	defer g.done(opForget, &st)
	g.fs.Forget(nodeid, nlookup)
}

func (g *guard) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) (st fuse.Status) {
	defer g.done(opGetattr, &st)
	st = g.fs.GetAttr(cancel, in, out)
	if _, ok := g.revoked.Load(out.Attr.Ino); ok && st.Ok() {
		out.Attr.Mode = syscall.S_IFSOCK
	}
	return st
}

func (g *guard) Readlink(cancel <-chan struct{}, h *fuse.InHeader) (out []byte, st fuse.Status) {
	defer g.done(opReadlink, &st)
	return g.fs.Readlink(cancel, h)
}

func (g *guard) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) (st fuse.Status) {
	defer g.done(opOpen, &st)
	return g.fs.Open(cancel, in, out)
}

func (g *guard) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (res fuse.ReadResult, st fuse.Status) {
	defer g.done(opRead, &st)
	res, st = g.fs.Read(cancel, in, buf)
	if res != nil {
		g.counters[opRead].bytes.Add(uint64(res.Size()))
	}
	return res, st
}

// hasRead counts a read that was done without asking Read.
func (g *guard) hasRead(size int) {
	g.count(opRead, fuse.OK)
	g.counters[opRead].bytes.Add(uint64(size))
}

func (g *guard) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	var st fuse.Status
	defer g.done(opRelease, &st)
	g.fs.Release(cancel, in)
}

func (g *guard) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) (st fuse.Status) {
	defer g.done(opOpendir, &st)
	return g.fs.OpenDir(cancel, in, out)
}

func (g *guard) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) (st fuse.Status) {
	defer g.done(opReaddir, &st)
	st = g.fs.ReadDir(cancel, in, out)
	g.counters[opReaddir].bytes.Add(uint64(len(out.Bytes())))
	return st
}

func (g *guard) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) (st fuse.Status) {
	defer g.done(opReaddirplus, &st)
	st = g.fs.ReadDirPlus(cancel, in, out)
	g.counters[opReaddirplus].bytes.Add(uint64(len(out.Bytes())))
	return st
}

func (g *guard) ReleaseDir(in *fuse.ReleaseIn) {
	var st fuse.Status
	defer g.done(opReleasedir, &st)
	g.fs.ReleaseDir(in)
}

func (g *guard) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (n uint32, st fuse.Status) {
	defer g.done(opGetxattr, &st)
	return g.fs.GetXAttr(cancel, h, name, dest)
}

func (g *guard) ListXAttr(cancel <-chan struct{}, h *fuse.InHeader, dest []byte) (n uint32, st fuse.Status) {
	defer g.done(opListxattr, &st)
	return g.fs.ListXAttr(cancel, h, dest)
}

func (g *guard) StatFs(cancel <-chan struct{}, h *fuse.InHeader, out *fuse.StatfsOut) (st fuse.Status) {
	defer g.done(opStatfs, &st)
	return g.fs.StatFs(cancel, h, out)
}

func (g *guard) Ioctl(cancel <-chan struct{}, in *fuse.IoctlIn, inbuf []byte, out *fuse.IoctlOut, outbuf []byte) (st fuse.Status) {
	defer g.done(opOther, &st)
	return g.fs.Ioctl(cancel, in, inbuf, out, outbuf)
}

// never answers what the kernel does well without us. After the first ENOSYS
// it does not ask again.
func (g *guard) never() fuse.Status {
	g.count(opOther, fuse.OK)
	return fuse.ENOSYS
}

func (g *guard) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status               { return g.never() }
func (g *guard) Lseek(<-chan struct{}, *fuse.LseekIn, *fuse.LseekOut) fuse.Status { return g.never() }
func (g *guard) Statx(<-chan struct{}, *fuse.StatxIn, *fuse.StatxOut) fuse.Status { return g.never() }
func (g *guard) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status                 { return g.never() }
func (g *guard) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status                 { return g.never() }
func (g *guard) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status              { return g.never() }
func (g *guard) GetLk(<-chan struct{}, *fuse.LkIn, *fuse.LkOut) fuse.Status       { return g.never() }
func (g *guard) SetLk(<-chan struct{}, *fuse.LkIn) fuse.Status                    { return g.never() }
func (g *guard) SetLkw(<-chan struct{}, *fuse.LkIn) fuse.Status                   { return g.never() }

// readOnly answers what would change something.
func (g *guard) readOnly() fuse.Status {
	g.count(opWrite, fuse.EROFS)
	return fuse.EROFS
}

func (g *guard) SetAttr(<-chan struct{}, *fuse.SetAttrIn, *fuse.AttrOut) fuse.Status {
	return g.readOnly()
}
func (g *guard) Mknod(<-chan struct{}, *fuse.MknodIn, string, *fuse.EntryOut) fuse.Status {
	return g.readOnly()
}
func (g *guard) Mkdir(<-chan struct{}, *fuse.MkdirIn, string, *fuse.EntryOut) fuse.Status {
	return g.readOnly()
}
func (g *guard) Unlink(<-chan struct{}, *fuse.InHeader, string) fuse.Status { return g.readOnly() }
func (g *guard) Rmdir(<-chan struct{}, *fuse.InHeader, string) fuse.Status  { return g.readOnly() }
func (g *guard) Rename(<-chan struct{}, *fuse.RenameIn, string, string) fuse.Status {
	return g.readOnly()
}
func (g *guard) Link(<-chan struct{}, *fuse.LinkIn, string, *fuse.EntryOut) fuse.Status {
	return g.readOnly()
}
func (g *guard) Symlink(<-chan struct{}, *fuse.InHeader, string, string, *fuse.EntryOut) fuse.Status {
	return g.readOnly()
}
func (g *guard) SetXAttr(<-chan struct{}, *fuse.SetXAttrIn, string, []byte) fuse.Status {
	return g.readOnly()
}
func (g *guard) RemoveXAttr(<-chan struct{}, *fuse.InHeader, string) fuse.Status {
	return g.readOnly()
}
func (g *guard) Create(<-chan struct{}, *fuse.CreateIn, string, *fuse.CreateOut) fuse.Status {
	return g.readOnly()
}
func (g *guard) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return g.readOnly()
}
func (g *guard) Write(<-chan struct{}, *fuse.WriteIn, []byte) (uint32, fuse.Status) {
	return 0, g.readOnly()
}
func (g *guard) Writev(<-chan struct{}, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) {
	return 0, g.readOnly()
}
func (g *guard) CopyFileRange(<-chan struct{}, *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	return 0, g.readOnly()
}
func (g *guard) Fallocate(<-chan struct{}, *fuse.FallocateIn) fuse.Status { return g.readOnly() }
