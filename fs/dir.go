package fs

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/snapfs/snapfs/internal/attr"
)

// dirBatch is how many entries are asked of the tree at a time.
const dirBatch = 256

// dirDots is the number of entries before those of the tree: "." and "..".
const dirDots = 2

// dir is an open directory. The cookie of an entry (d_off) is its place in the
// listing counted from 1, so that one is good for any handle of the directory.
type dir struct {
	m       *mount
	path    string
	id      uint64
	listing *listing // nil if attributes come with every listing

	mu    sync.Mutex // guards all that follows
	file  iofs.ReadDirFile
	batch []iofs.DirEntry // read from file, not yet come to
	pos   uint64          // cookie of the entry come to last
	err   error           // why there is nothing after batch; io.EOF at the end

	ahead bool          // entry was come to, and not yet taken
	entry fuse.DirEntry // come to last
	of    iofs.DirEntry // of entry, nil for the dots
	info  iofs.FileInfo // of entry, nil if not asked for
}

func (m *mount) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := m.nodes.get(in.NodeId)
	if n == nil {
		return errStale
	}
	d, err := m.newDir(n.path())
	if err != nil {
		return m.fail("opendir", n.path(), err)
	}
	d.id = in.NodeId
	if m.names != nil && m.names.NamesOnly(d.path) {
		d.listing = m.listings.begin(d.id)
	}
	out.OpenFlags = fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE
	if fi, err := d.file.Stat(); err != nil || attr.IsVolatile(fi) {
		out.OpenFlags = 0
	}
	out.Fh = m.dirs.add(d)
	return fuse.OK
}

func (m *mount) newDir(path string) (*dir, error) {
	f, err := m.openDir(path)
	if err != nil {
		return nil, err
	}
	return &dir{m: m, path: path, file: f}, nil
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

func (m *mount) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return m.readDir(in, func(d *dir) bool { return out.AddDirEntry(d.entry) })
}

func (m *mount) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return m.readDir(in, func(d *dir) bool {
		entry := out.AddDirLookupEntry(d.entry)
		if entry != nil && d.of != nil && (d.listing == nil || d.listing.asked.Load()) {
			d.describe(entry)
			if entry.NodeId != 0 {
				out.FixMode(entry.Mode)
			}
		}
		return entry != nil
	})
}

// readDir adds the entries after the cookie in.Offset to a reply, until add
// says that there is no room. An error waits for the next reply, if there is
// something to say before.
func (m *mount) readDir(in *fuse.ReadIn, add func(*dir) bool) fuse.Status {
	d := m.dirs.get(in.Fh)
	if d == nil {
		return errHandle
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if st := d.seekTo(in.Offset); st != fuse.OK {
		return st
	}
	for first := true; ; first = false {
		switch err := d.come(); {
		case errors.Is(err, io.EOF), err != nil && !first:
			return fuse.OK
		case err != nil:
			return m.fail("readdir", d.path, err)
		}
		if !add(d) {
			return fuse.OK
		}
		d.ahead = false
	}
}

// come goes to the next entry, or stays with the one that was not taken. The
// error is io.EOF, or the one that all further calls return as well.
func (d *dir) come() error {
	if d.ahead {
		return nil
	}
	if d.pos < dirDots {
		d.dot()
		return nil
	}
	e, err := d.next()
	if err != nil {
		return err
	}
	d.ahead, d.of, d.info = true, e, nil
	d.entry = fuse.DirEntry{Name: e.Name(), Mode: typeBits(e.Type()), Ino: d.ino(e), Off: d.pos}
	return nil
}

// dot goes to "." and then to "..".
func (d *dir) dot() {
	d.pos++
	d.ahead, d.of, d.info = true, nil, nil
	if d.pos == 1 {
		d.entry = fuse.DirEntry{Name: ".", Mode: syscall.S_IFDIR, Ino: pathIno(d.path), Off: 1}
		return
	}
	d.entry = fuse.DirEntry{Name: "..", Mode: syscall.S_IFDIR, Ino: parentIno(d.path), Off: dirDots}
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
	if e.IsDir() {
		return pathIno(join(d.path, e.Name()))
	}
	fi, err := e.Info()
	if err != nil {
		return pathIno(join(d.path, e.Name())) // listed all the same; stat will say why not
	}
	d.info = fi
	return ino(d.path, e.Name(), fi)
}

// describe fills out as a lookup of the entry come to last. If that is not
// possible, out has no node, and the kernel looks it up when it is wanted.
func (d *dir) describe(out *fuse.EntryOut) {
	if d.info == nil {
		fi, err := d.of.Info()
		if err != nil {
			d.m.fail("lookup", join(d.path, d.entry.Name), err)
			return
		}
		d.info = fi
	}
	d.m.child(d.path, d.entry.Name, d.info, out)
}

// seekTo continues after the entry with the cookie off; 0 is the start.
func (d *dir) seekTo(off uint64) fuse.Status {
	at := d.pos
	if d.ahead {
		at--
	}
	if off == at {
		return fuse.OK
	}
	if off > math.MaxInt64 {
		return fuse.EINVAL
	}
	if err := d.seek(off); err != nil && !errors.Is(err, io.EOF) {
		return d.m.fail("seekdir", d.path, err)
	}
	return fuse.OK
}

func (d *dir) seek(off uint64) error {
	d.ahead = false
	failed := d.err != nil && !errors.Is(d.err, io.EOF)
	if failed || max(off, dirDots) < d.pos {
		if d.jump(off) {
			return nil
		}
		f, err := d.m.openDir(d.path)
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

func (m *mount) ReleaseDir(in *fuse.ReleaseIn) {
	d := m.dirs.remove(in.Fh)
	if d == nil {
		return
	}
	if d.listing != nil {
		m.listings.end(d.id)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.file.Close(); err != nil {
		m.fail("closedir", d.path, err)
	}
}
