package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math"
	"os"
	"strings"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/snapfs/snapfs/internal/attr"
)

// dirBatch is how many entries are asked of the tree at a time.
const dirBatch = 256

// dirDots is the number of entries before those of the tree: "." and "..".
const dirDots = 2

// dir is an open directory. The cookie of an entry (d_off) is its place in the
// listing counted from 1, so that one is good for any handle of the directory.
// go-fuse calls the methods of one handle one at a time.
type dir struct {
	n     *node
	file  iofs.ReadDirFile
	batch []iofs.DirEntry // read from file, not yet returned
	pos   uint64          // cookie of the entry returned last
	err   error           // why there is nothing after batch; io.EOF at the end

	last     iofs.DirEntry // returned last, nil for the dots
	lastInfo iofs.FileInfo // of last, nil if not asked for
}

var (
	_ fusefs.FileReaddirenter = (*dir)(nil)
	_ fusefs.FileSeekdirer    = (*dir)(nil)
	_ fusefs.FileLookuper     = (*dir)(nil)
	_ fusefs.FileReleasedirer = (*dir)(nil)
)

func (n *node) OpendirHandle(context.Context, uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	f, err := n.m.openDir(n.path)
	if err != nil {
		return nil, 0, n.m.fail("opendir", n.path, err)
	}
	flags := uint32(fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE)
	if fi, err := f.Stat(); err != nil || attr.IsVolatile(fi) {
		flags = 0
	}
	return &dir{n: n, file: f}, flags, 0
}

func (m *mount) openDir(name string) (iofs.ReadDirFile, error) {
	f, err := m.tree.Open(name)
	if err != nil {
		return nil, err
	}
	d, ok := f.(iofs.ReadDirFile)
	if !ok {
		return nil, errors.Join(syscall.ENOTDIR, f.Close())
	}
	return d, nil
}

func (d *dir) Readdirent(context.Context) (*fuse.DirEntry, syscall.Errno) {
	if d.pos < dirDots {
		return d.dot(), 0
	}
	e, err := d.next()
	if errors.Is(err, io.EOF) {
		return nil, 0
	}
	if err != nil {
		return nil, d.n.m.fail("readdir", d.n.path, err)
	}
	d.last, d.lastInfo = e, nil
	return &fuse.DirEntry{Name: e.Name(), Mode: typeBits(e.Type()), Ino: d.ino(e), Off: d.pos}, 0
}

// dot returns "." and then "..".
func (d *dir) dot() *fuse.DirEntry {
	d.last, d.lastInfo = nil, nil
	d.pos++
	if d.pos == 1 {
		return &fuse.DirEntry{Name: ".", Mode: syscall.S_IFDIR, Ino: d.n.StableAttr().Ino, Off: 1}
	}
	return &fuse.DirEntry{Name: "..", Mode: syscall.S_IFDIR, Ino: parentIno(d.n.path), Off: dirDots}
}

// next returns the next entry of the tree, or io.EOF, or the error that all
// further calls return as well.
func (d *dir) next() (iofs.DirEntry, error) {
	if len(d.batch) == 0 && d.err == nil {
		d.batch, d.err = d.file.ReadDir(dirBatch)
		if len(d.batch) == 0 && d.err == nil {
			d.err = io.ErrNoProgress
		}
	}
	if len(d.batch) == 0 {
		return nil, d.err
	}
	e := d.batch[0]
	if !validName(e.Name()) {
		d.batch, d.err = nil, fmt.Errorf("name %.300q cannot be shown", e.Name())
		return nil, d.err
	}
	d.batch[0] = nil
	d.batch = d.batch[1:]
	d.pos++
	return e, nil
}

// validName reports whether the kernel takes name in a listing. It refuses the
// whole listing for one bad name, without saying which.
func validName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\x00")
}

// ino returns the number that a lookup of the entry would give.
func (d *dir) ino(e iofs.DirEntry) uint64 {
	p := join(d.n.path, e.Name())
	if e.IsDir() {
		return pathIno(p)
	}
	fi, err := e.Info()
	if err != nil {
		return pathIno(p) // the entry is listed all the same; stat will say why not
	}
	d.lastInfo = fi
	return ino(p, fi)
}

// Lookup is called for an entry returned by Readdirent, mostly the last one,
// when the kernel wants attributes together with the names.
func (d *dir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if d.last == nil || d.last.Name() != name {
		return d.n.Lookup(ctx, name, out)
	}
	if d.lastInfo == nil {
		fi, err := d.last.Info()
		if err != nil {
			return nil, d.n.m.fail("lookup", join(d.n.path, name), err)
		}
		d.lastInfo = fi
	}
	return d.n.child(ctx, name, d.lastInfo, out), 0
}

// Seekdir continues after the entry with the cookie off; 0 is the start.
func (d *dir) Seekdir(_ context.Context, off uint64) syscall.Errno {
	if off > math.MaxInt64 {
		return syscall.EINVAL
	}
	if err := d.seek(off); err != nil && !errors.Is(err, io.EOF) {
		return d.n.m.fail("seekdir", d.n.path, err)
	}
	return 0
}

func (d *dir) seek(off uint64) error {
	d.last, d.lastInfo = nil, nil
	failed := d.err != nil && !errors.Is(d.err, io.EOF)
	if failed || max(off, dirDots) < d.pos {
		if d.jump(off) {
			return nil
		}
		f, err := d.n.m.openDir(d.n.path)
		if err != nil {
			return err
		}
		err = d.file.Close()
		d.file, d.batch, d.err, d.pos = f, nil, nil, 0
		if err != nil {
			return err
		}
	}
	if off <= dirDots {
		d.pos = off
		return nil
	}
	d.pos = max(d.pos, dirDots)
	if off-d.pos > dirBatch && d.jump(off) {
		return nil
	}
	for d.pos < off {
		if _, err := d.next(); err != nil {
			return err
		}
	}
	return nil
}

// jump seeks in a directory that can: one that implements [io.Seeker] with the
// number of the entry as the offset. Directories of the operating system count
// otherwise.
func (d *dir) jump(off uint64) bool {
	s, ok := d.file.(io.Seeker)
	if _, isOS := d.file.(*os.File); !ok || isOS {
		return false
	}
	entry := int64(max(off, dirDots) - dirDots)
	n, err := s.Seek(entry, io.SeekStart)
	if err != nil || n < 0 || n > entry {
		return false
	}
	d.batch, d.err = nil, nil
	d.pos = min(off, dirDots+uint64(n)) // less than off past the end
	return true
}

func (d *dir) Releasedir(context.Context, uint32) {
	if err := d.file.Close(); err != nil {
		d.n.m.fail("closedir", d.n.path, err)
	}
}
