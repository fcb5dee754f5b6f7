package erofs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
)

// TreeOptions of [MountTree]. The zero value works.
type TreeOptions struct {
	// Source is the end of what the table of mounts shows as the source: the
	// name of a directory with a star for a random part, which is gone once
	// the mount is there, a slash, and a name. "erofs-*/tree" if empty.
	Source string

	// UID and GID own everything.
	UID, GID uint32

	// Perm returns the permission bits for a mode. If nil, they stay as they
	// are.
	Perm func(fs.FileMode) fs.FileMode

	// Private keeps group and others out of the root directory.
	Private bool

	// TempDirs as in [Options].
	TempDirs []string
}

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
func MountTree(dir string, tree fs.FS, opts TreeOptions) (Counts, error) {
	if err := possible(); err != nil {
		return Counts{}, err
	}
	b := &builder{opts: opts}
	if err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return b.add(tree, name, d)
	}); err != nil {
		return Counts{}, err
	}
	if b.unserved.Count > 0 {
		return Counts{}, &b.unserved
	}
	fd, err := mount(opts.TempDirs, cmp.Or(opts.Source, "erofs-*/tree"), &b.devices, b.write)
	if err != nil {
		return Counts{}, err
	}
	defer unix.Close(fd)
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
	devices  devices
	nodes    []node // all but the files of the devices, directories before what is in them
	counts   Counts
	unserved UnservedError
}

// node is anything but a file of a device.
type node struct {
	name    string
	mode    fs.FileMode
	time    time.Time
	content string // of a regular file; target of a link
}

var (
	errName    = errors.New("a name is longer than 255 bytes")
	errLink    = errors.New("link target is empty or longer than a path may be")
	errContent = errors.New("its content may change")
	errSize    = errors.New("it is not as long as it should be")
	errCopy    = errors.New("it does not lie in one piece in the tar, in whole blocks, and is too large to be copied")
)

// add adds one entry of the tree. Those that cannot be served are noted.
func (b *builder) add(tree fs.FS, name string, d fs.DirEntry) error {
	fi, err := d.Info()
	if err != nil {
		return err
	}
	if len(d.Name()) > unix.NAME_MAX {
		b.unserved.add(name, errName)
		if fi.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	n := node{name: name, mode: fi.Mode().Type() | b.perm(fi.Mode()), time: fi.ModTime()}
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		n.content, err = fs.ReadLink(tree, name)
		if err == nil && (n.content == "" || len(n.content) >= unix.PathMax) {
			err = errLink
		}
	case fi.Mode().IsRegular() && attr.IsVolatile(fi):
		err = errContent
	case fi.Mode().IsRegular() && fi.Size() > 0:
		var done bool
		if n.content, done, err = b.content(tree, n, fi.Size()); done {
			return nil
		}
	}
	if err != nil {
		b.unserved.add(name, err)
		return nil
	}
	b.nodes = append(b.nodes, n)
	return nil
}

func (b *builder) perm(mode fs.FileMode) fs.FileMode {
	if b.opts.Perm == nil {
		return mode.Perm()
	}
	return b.opts.Perm(mode).Perm()
}

// content adds a regular file to its device, or returns what it holds.
func (b *builder) content(tree fs.FS, n node, size int64) (content string, done bool, err error) {
	f, err := tree.Open(n.name)
	if err != nil {
		return "", false, cause(err)
	}
	defer f.Close()
	if e, ok := f.(attr.Extent); ok {
		if under, off, ok := e.Extent(); ok {
			d, err := b.devices.of(attr.Run{File: under, Off: off, Size: size})
			if err != nil {
				return "", false, err
			}
			if d != nil {
				d.files = append(d.files, file{name: n.name, off: off, size: size, mode: n.mode, stat: b.stat(n.time)})
				b.counts.Files++
				return "", true, nil
			}
		}
	}
	if size > maxCopied-b.counts.Bytes {
		return "", false, errCopy
	}
	data, err := io.ReadAll(io.LimitReader(f, size+1))
	if err != nil {
		return "", false, cause(err)
	}
	if int64(len(data)) != size {
		return "", false, errSize
	}
	b.counts.Copied++
	b.counts.Bytes += size
	return string(data), false, nil
}

// cause drops the path from an error that is shown with it.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// stat tells go-erofs owner and time.
func (b *builder) stat(t time.Time) *erofs.Stat {
	t = orEpoch(t)
	return &erofs.Stat{UID: b.opts.UID, GID: b.opts.GID, Mtime: uint64(t.Unix()), MtimeNs: uint32(t.Nanosecond()), Nlink: 1}
}

// orEpoch returns t, or 1970 for the time that is none.
func orEpoch(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0)
	}
	return t
}

// write writes the image.
func (b *builder) write(w *os.File, dir string) error {
	image := erofs.Create(w, erofs.WithBlockSize(BlockSize), erofs.WithBuildTime(0, 0), erofs.WithTempDir(dir))
	for _, n := range b.nodes[1:] {
		if err := b.node(image, n); err != nil {
			return err
		}
	}
	if err := refer(image, b.devices.all); err != nil {
		return err
	}
	// Last, as each device comes with a root of its own.
	root := b.nodes[0]
	subdirs := uint32(0)
	for _, n := range b.nodes[1:] {
		if n.mode.IsDir() && !strings.Contains(n.name, "/") {
			subdirs++
		}
	}
	if b.opts.Private {
		root.mode &^= 0o077
	}
	root.name = "/"
	if err := errors.Join(b.node(image, root), image.SetNlink("/", 2+subdirs)); err != nil {
		return err
	}
	return image.Close()
}

// node adds one node to the image.
func (b *builder) node(image *erofs.Writer, n node) error {
	var err error
	switch {
	case n.mode.IsDir():
		err = image.Mkdir(n.name, n.mode)
	case n.mode&fs.ModeSymlink != 0:
		err = image.Symlink(n.content, n.name)
	case n.mode.IsRegular():
		err = create(image, n.name, n.content)
	default:
		err = image.Mknod(n.name, nodeType(n.mode), 0)
	}
	if err != nil {
		return err
	}
	t := orEpoch(n.time)
	return errors.Join(
		image.Chmod(n.name, n.mode.Perm()),
		image.Chown(n.name, int(b.opts.UID), int(b.opts.GID)),
		image.Chtimes(n.name, t, t),
	)
}

func create(image *erofs.Writer, name, content string) error {
	f, err := image.Create(name)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, content)
	return errors.Join(err, f.Close())
}

// nodeType returns the type of a device, pipe or socket as in st_mode.
func nodeType(mode fs.FileMode) uint16 {
	switch mode.Type() {
	case fs.ModeNamedPipe:
		return unix.S_IFIFO
	case fs.ModeSocket:
		return unix.S_IFSOCK
	case fs.ModeDevice:
		return unix.S_IFBLK
	}
	return unix.S_IFCHR
}
