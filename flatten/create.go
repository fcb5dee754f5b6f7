package flatten

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/durable"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/snaptar"
)

const bufSize = 1 << 20

// ErrInChain is returned for a name of the new file that is one of the chain
// itself, or at which it would be taken for a part of a chain.
var ErrInChain = errors.New("would become a part of a chain")

// Write writes the snapshot to w; if that is a file, the kernel copies. Progress
// is called with the number of bytes of files that were written since the last
// call.
func (p *Plan) Write(ctx context.Context, w io.Writer, progress func(int64)) error {
	tw := snaptar.NewWriter(w)
	if err := tw.Manifest(p.manifest(), p.time); err != nil {
		return err
	}
	for _, f := range p.files {
		if err := tw.Next(f.entry.Name, f.Size, f.Written); err != nil {
			return err
		}
		if err := tw.Copy(ctx, f.content, 0, progress); err != nil {
			return fmt.Errorf("%q: %w", f.entry.Name, err)
		}
	}
	return tw.Close()
}

// Create writes the snapshot into a new file, which gets its name when all of it
// is on the disk, and check, if not nil, has found nothing wrong with it: it is
// called with the path that the file has until then, for [Plan.Verify]. After an
// error there is none, unless all that failed is to make the name itself last. A
// file of that name is replaced if force says so, and an error that matches
// [fs.ErrExist] otherwise. It has the permissions of the full snapshot of the
// chain. The error can match [ErrInChain].
func (p *Plan) Create(ctx context.Context, name string, force bool, progress func(int64), check func(path string) error) (err error) {
	if err := p.allowed(name, force); err != nil {
		return err
	}
	st, err := os.Stat(p.view.Chain().Path())
	if err != nil {
		return err
	}
	dir := filepath.Dir(name)
	f, err := durable.Temp(name)
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	// Room for all of it at once, or the reason why not. Not every file system can.
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, p.size); errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	early := durable.Writeback{File: f}
	err = p.Write(ctx, f, func(n int64) {
		early.Wrote(n)
		progress(n)
	})
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(st.Mode().Perm()), early.Sync(), f.Close()); err != nil {
		return err
	}
	if check != nil {
		if err := check(f.Name()); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	move := durable.Rename
	if force {
		move = durable.Replace
	}
	if err := move(f.Name(), name); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// allowed reports what speaks against a name.
func (p *Plan) allowed(name string, force bool) error {
	st, err := os.Lstat(name)
	switch {
	case err == nil && !st.Mode().IsRegular():
		// Its name would be taken from it, even from a device.
		return &fs.PathError{Op: "write", Path: name, Err: durable.ErrNotRegular}
	case err == nil && !force:
		return hint.Wrap(&fs.PathError{Op: "write", Path: name, Err: fs.ErrExist}, "choose another name, or --force")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for _, l := range p.view.Chain().Layers() {
		if same(name, l.Path) {
			return hint.Wrap(fmt.Errorf("write %s: it is layer %s of the chain: %w", name, l.Name, ErrInChain), "a snapshot is never written to: choose another name")
		}
	}
	// snap.7 beside snap would be read as an incremental of it.
	dir, base := filepath.Split(name)
	snapDir, snap := filepath.Split(p.view.Chain().Path())
	if same(dir+".", snapDir+".") {
		if rest, ok := strings.CutPrefix(base, snap+"."); ok && (number(rest) || strings.HasSuffix(rest, "pending")) {
			return hint.Wrap(fmt.Errorf("write %s: beside %s it %w", name, snap, ErrInChain), "choose a name that does not begin with %q", snap+".")
		}
	}
	// And with NEW.0 beside NEW, that would be one of NEW.
	entries, err := os.ReadDir(dir + ".")
	var cause *fs.PathError
	switch {
	case errors.As(err, &cause):
		return &fs.PathError{Op: "write", Path: name, Err: cause.Err}
	case err != nil:
		return err
	}
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), base+"."); ok && number(rest) {
			return hint.Wrap(fmt.Errorf("write %s: with %s it %w", name, e.Name(), ErrInChain), "choose a name without incrementals")
		}
	}
	return nil
}

// same reports whether two names are of one file.
func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func number(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}
