package erofs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// TreeOptions of [MountTree]. The zero value works.
type TreeOptions struct {
	// Source is the end of what the table of mounts shows as the source, which
	// is a path that nothing has any more once the mount is there: names with
	// slashes in between, no longer than [MaxSource]. "erofs/tree" if empty.
	Source string

	// UID and GID own everything.
	UID, GID uint32

	// Perm returns the permission bits for a mode. If nil, they stay as they
	// are.
	Perm func(fs.FileMode) fs.FileMode

	// Private keeps group and others out of the root directory.
	Private bool

	// TempDirs and Loop as in [Options].
	TempDirs []string
	Loop     bool
}

// MaxSource is how long [TreeOptions.Source] may be, in bytes. The kernel takes
// 255 for the path.
const MaxSource = 200

// Counts tells what is in the mount of a tree.
type Counts struct {
	Files  int   // regular files that the kernel reads where they lie
	Copied int   // regular files, not empty, that the image has a copy of
	Bytes  int64 // of these copies
}

// maxCopied is how many bytes of files that do not lie in one piece an image
// takes up, all together. They are in memory for a moment.
const maxCopied = 64 << 20

// MountTree mounts a tree at the directory dir, with all names, as far as the
// kernel can serve all of it: files with an [attr.Extent] where they are, the
// others as copies, of no more than 64 MiB together. Otherwise the error is an
// [UnservedError], and nothing is mounted. No process is needed for the mount,
// which lasts until it is unmounted, and holds the files that the extents are
// of. What becomes of them later is seen by who reads.
//
// Inode numbers are those of the image; there are no extended attributes.
// Nothing is mounted if the context ends before.
func MountTree(ctx context.Context, dir string, tree fs.FS, opts TreeOptions) (Counts, error) {
	if err := possible(); err != nil {
		return Counts{}, err
	}
	b := &builder{opts: opts, tree: tree}
	if err := b.build(ctx); err != nil {
		return Counts{}, err
	}
	if b.unserved.Count > 0 {
		return Counts{}, &b.unserved
	}
	fd, err := mount(place{opts.TempDirs, opts.Loop, cmp.Or(opts.Source, "erofs/tree")}, &b.image)
	if err != nil {
		return Counts{}, err
	}
	defer unix.Close(fd)
	if err := ctx.Err(); err != nil {
		return Counts{}, err
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return Counts{}, &fs.PathError{Op: "mount", Path: dir, Err: err}
	}
	return b.counts, nil
}

// possible returns why nothing can be mounted, before much is done for it.
func possible() error {
	fd, err := unix.Fsopen("erofs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return unavailable(refused(err))
	}
	return unix.Close(fd)
}

// UnservedError is returned for a tree with files that a mount by the kernel
// could not serve.
type UnservedError struct {
	Count int
	Files []Unserved // some of them, in the order of the tree
}

// Unserved is one such file.
type Unserved struct {
	Path string
	Err  error // why
}

// maxUnserved is how many files an [UnservedError] names.
const maxUnserved = 10

func (e *UnservedError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "files that the kernel cannot serve, %d:", e.Count)
	for _, f := range e.Files {
		fmt.Fprintf(&s, "\n  %q: %v", f.Path, f.Err)
	}
	if n := e.Count - len(e.Files); n > 0 {
		fmt.Fprintf(&s, "\n  and %d more", n)
	}
	return s.String()
}

// Unwrap returns the causes.
func (e *UnservedError) Unwrap() []error {
	var all []error
	for _, f := range e.Files {
		all = append(all, f.Err)
	}
	return all
}

func (e *UnservedError) add(name string, err error) {
	e.Count++
	if len(e.Files) < maxUnserved {
		e.Files = append(e.Files, Unserved{name, err})
	}
}

// builder collects what is in the image of a tree.
type builder struct {
	opts     TreeOptions
	tree     fs.FS
	image    image
	devices  devices
	paths    map[int32]string // of directories that are still to be looked into
	unopened map[int32]string // for a device, a file that was not opened to find where it lies
	counts   Counts
	unserved UnservedError
}

var (
	errName    = errors.New("a name is longer than 255 bytes")
	errLink    = errors.New("link target is empty or longer than a path may be")
	errContent = errors.New("its content may change")
	errSize    = errors.New("it is not as long as it should be")
	errCopy    = errors.New("it does not lie in one piece in the tar, in whole blocks, and is too large to be copied")
)

// build makes the image, one directory after the other, those nearer to the
// root first.
func (b *builder) build(ctx context.Context) error {
	fi, err := fs.Stat(b.tree, ".")
	if err != nil {
		return err
	}
	root := b.inode("", fi)
	if b.opts.Private {
		root.mode &^= 0o077
	}
	b.image = image{uid: b.opts.UID, gid: b.opts.GID, inodes: []inode{root}}
	b.paths, b.unopened = map[int32]string{0: "."}, map[int32]string{}
	for i := int32(0); int(i) < len(b.image.inodes); i++ {
		if b.image.inodes[i].mode.IsDir() {
			if err := errors.Join(ctx.Err(), b.dir(i)); err != nil {
				return err
			}
		}
	}
	b.image.devices = b.devices.all
	// A tree may have reasons not to let a file be read that lies where it says.
	// What is a reason for one is one for all files of the device.
	for _, name := range b.unopened {
		f, err := b.tree.Open(name)
		if err != nil {
			b.unserved.add(name, cause(err))
			continue
		}
		f.Close()
	}
	return nil
}

// dir adds what is in directory i. What cannot be served is noted.
func (b *builder) dir(i int32) error {
	dir := b.paths[i]
	delete(b.paths, i)
	list, err := fs.ReadDir(b.tree, dir)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	if all := b.image.inodes; cap(all)-len(all) < len(list) {
		b.image.inodes = slices.Grow(all, max(len(list), len(all))) // seldom: it is large
	}
	first := int32(len(b.image.inodes))
	for _, d := range list {
		fi, err := d.Info()
		if err != nil {
			return err
		}
		name := d.Name()
		if dir != "." {
			name = dir + "/" + name
		}
		n, err := b.add(name, fi)
		if err != nil {
			b.unserved.add(name, err)
			continue
		}
		n.parent = i
		if n.mode.IsDir() {
			b.paths[int32(len(b.image.inodes))] = name
		}
		b.image.inodes = append(b.image.inodes, n)
	}
	n := &b.image.inodes[i]
	n.first, n.count = first, int32(len(b.image.inodes))-first
	return nil
}

func (b *builder) inode(name string, fi fs.FileInfo) inode {
	n := inode{name: name, mode: fi.Mode().Type() | b.perm(fi.Mode())}
	n.at(fi.ModTime())
	return n
}

// add returns the inode of a file. The error says why it cannot be served.
func (b *builder) add(name string, fi fs.FileInfo) (n inode, err error) {
	n = b.inode(fi.Name(), fi)
	switch {
	case len(n.name) > unix.NAME_MAX:
		return n, errName
	case fi.Mode()&fs.ModeSymlink != 0:
		n.content, err = fs.ReadLink(b.tree, name)
		if err == nil && (n.content == "" || len(n.content) >= unix.PathMax) {
			err = errLink
		}
		return n, err
	case fi.Mode().IsRegular() && attr.IsVolatile(fi):
		return n, errContent
	case fi.Mode().IsRegular() && fi.Size() > 0:
		err = b.content(&n, name, fi)
	}
	return n, err
}

func (b *builder) perm(mode fs.FileMode) fs.FileMode {
	if b.opts.Perm == nil {
		return mode.Perm()
	}
	return b.opts.Perm(mode).Perm()
}

// content finds out where a regular file lies, or copies what it holds.
func (b *builder) content(n *inode, name string, fi fs.FileInfo) error {
	e, _ := fi.Sys().(attr.Extent)
	if done, err := b.extent(n, e, fi.Size()); done || err != nil {
		if _, known := b.unopened[n.device]; done && !known {
			b.unopened[n.device] = name
		}
		return err
	}
	f, err := b.tree.Open(name)
	if err != nil {
		return cause(err)
	}
	defer f.Close()
	e, _ = f.(attr.Extent)
	if done, err := b.extent(n, e, fi.Size()); done || err != nil {
		return err
	}
	if fi.Size() > maxCopied-b.counts.Bytes {
		return errCopy
	}
	data, err := io.ReadAll(io.LimitReader(f, fi.Size()+1))
	if err != nil {
		return cause(err)
	}
	if int64(len(data)) != fi.Size() {
		return errSize
	}
	n.content = string(data)
	b.counts.Copied++
	b.counts.Bytes += fi.Size()
	return nil
}

// extent has the kernel read a file where it lies, if it can.
func (b *builder) extent(n *inode, e attr.Extent, size int64) (done bool, err error) {
	if e == nil {
		return false, nil
	}
	f, off, ok := e.Extent()
	if !ok {
		return false, nil
	}
	d, err := b.devices.of(attr.Run{File: f, Off: off, Size: size})
	if d == nil || err != nil {
		return false, err
	}
	n.device, n.off, n.size = int32(d.number), off, size
	b.counts.Files++
	return true, nil
}

// cause drops the path from an error that is shown with it.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
