package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/hint"
)

// What a swap keeps beside a target called NAME while it works.
const (
	stageSuffix   = ".snapfs-new"     // .NAME.snapfs-new: the tree that will be the target
	oldSuffix     = ".snapfs-old"     // .NAME.snapfs-old: what was there, about to be removed
	journalSuffix = ".snapfs-journal" // .NAME.snapfs-journal
	keptInfix     = ".before-"        // NAME.before-2015-11-02T030405Z: what was there
	keptTime      = "2006-01-02T150405Z"
)

// place is where a target is: the directory that holds it, open, and its name
// in there. All that a swap does is done to names in that directory.
type place struct {
	target string // absolute, its links resolved
	base   string
	root   *os.Root
	dir    *os.File
}

// resolve returns the absolute path of a target that may not exist, without
// symbolic links. If nothing can be there, because of a file or a link to
// nowhere on the way, the error matches [ErrConflict].
func resolve(target string) (string, error) {
	if target == "" {
		return "", &fs.PathError{Op: "open", Path: target, Err: fs.ErrNotExist}
	}
	abs, err := filepath.Abs(target)
	if err != nil {
		return "", err
	}
	there := existing(abs)
	real, err := filepath.EvalSymlinks(there)
	if err != nil {
		return "", err
	}
	rest, err := filepath.Rel(there, abs)
	if err != nil {
		return "", err
	}
	if rest == "." {
		return real, nil
	}
	if st, err := os.Stat(real); err == nil && !st.IsDir() {
		err := fmt.Errorf("%w: %s is %s", ErrConflict, there, kind(st.Mode().Type()))
		return "", hint.Wrap(err, "choose another target")
	}
	next, _, _ := strings.Cut(rest, "/")
	if _, err := os.Lstat(filepath.Join(real, next)); err == nil {
		err := fmt.Errorf("%w: %s is a symbolic link to nowhere", ErrConflict, filepath.Join(there, next))
		return "", hint.Wrap(err, "make the directory that it points to, or choose another target")
	}
	return filepath.Join(real, rest), nil
}

// openPlace opens the directory that holds a resolved target. It must exist.
func openPlace(target string) (*place, error) {
	p := &place{target: target, base: filepath.Base(target)}
	var err error
	if p.root, err = os.OpenRoot(filepath.Dir(target)); err != nil {
		return nil, err
	}
	if p.dir, err = p.root.Open("."); err != nil {
		p.root.Close()
		return nil, err
	}
	return p, nil
}

func (p *place) close() {
	p.dir.Close()
	p.root.Close()
}

func (p *place) stage() string   { return "." + p.base + stageSuffix }
func (p *place) old() string     { return "." + p.base + oldSuffix }
func (p *place) journal() string { return "." + p.base + journalSuffix }

// path returns the path of a name beside the target, for messages.
func (p *place) path(name string) string { return filepath.Join(filepath.Dir(p.target), name) }

// ino returns the inode number of what has a name, 0 if nothing has.
func (p *place) ino(name string) (uint64, error) {
	st, err := p.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return inode(st), nil
}

// rename gives what is called from the name to, unless something has it.
func (p *place) rename(from, to string) error {
	ok, err := renameNew(p.dir, from, to)
	if ok {
		return err
	}
	if _, err := p.root.Lstat(to); err == nil {
		return &fs.PathError{Op: "rename", Path: p.path(to), Err: syscall.EEXIST}
	}
	return p.root.Rename(from, to)
}

// removeEmpty removes a directory that holds nothing, and nothing else.
func (p *place) removeEmpty(name string) error {
	if err := unix.Unlinkat(int(p.dir.Fd()), name, unix.AT_REMOVEDIR); err != nil {
		return &fs.PathError{Op: "rmdir", Path: p.path(name), Err: err}
	}
	return nil
}

// free returns name, or, if something has it, name with a number.
func (p *place) free(name string) string {
	try := name
	for i := 2; ; i++ {
		if _, err := p.root.Lstat(try); err != nil {
			return try
		}
		try = fmt.Sprintf("%s-%d", name, i)
	}
}

// exchange swaps two names in one step; ok is false if the file system cannot.
func (p *place) exchange(a, b string) (ok bool, err error) {
	err = unix.Renameat2(int(p.dir.Fd()), a, int(p.dir.Fd()), b, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
		return false, nil
	case err != nil:
		return true, &os.LinkError{Op: "exchange", Old: p.path(a), New: p.path(b), Err: err}
	}
	return true, nil
}
