package flatten

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/chain"
)

// ErrVerify is returned when a snapshot does not hold what it should. It should
// never happen.
var ErrVerify = errors.New("the new snapshot is not the same")

// Verify opens a snapshot that [Plan.Create] wrote and compares it with what
// was to be written: the manifest, and of each file path, size, mode, time, and
// every byte, read from the disk again where the system lets it. Progress is
// called as by Create. The error matches [ErrVerify], or is one of reading.
func (p *Plan) Verify(ctx context.Context, name string, progress func(int64)) (err error) {
	forget(name)
	c, err := chain.Open(name, chain.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	differ := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", name, ErrVerify, fmt.Sprintf(format, args...))
	}
	if n := len(c.Layers()); n != 1 {
		return differ("%d layers", n)
	}
	for _, w := range c.Warnings() {
		// What the names are like was so before.
		if w.Code != chain.EscapedName {
			return differ("%s", w.Text)
		}
	}
	view, err := c.At("")
	if err != nil {
		return err
	}
	if got, want := view.Manifest().AppendJSON(nil), p.manifest().AppendJSON(nil); !bytes.Equal(got, want) {
		return differ("another manifest")
	}
	want := map[string]*file{}
	for i := range p.files {
		want[p.files[i].Path] = &p.files[i]
	}
	n := 0
	for f := range view.Files() {
		x := want[f.Path]
		switch {
		case x == nil:
			return differ("%s should not be there", f.Path)
		case f.Name != x.entry.Name || f.Size != x.Size || !f.ModTime.Equal(x.modTime()) || f.Mode.Type() != x.Mode.Type():
			return differ("%s: %d bytes of %v, not %d of %v", f.Path, f.Size, f.ModTime, x.Size, x.modTime())
		}
		content, err := f.Content()
		if err != nil {
			return err
		}
		off, err := compare(ctx, content, x.content, f.Size, progress)
		if err != nil {
			return err
		}
		if off >= 0 {
			return differ("%s: byte %d differs", f.Path, off)
		}
		n++
	}
	if n != len(p.files) {
		return differ("%d files of %d", n, len(p.files))
	}
	if len(p.Skipped) > 0 || p.rewrote {
		return nil
	}
	// And so a mount shows the same.
	before, err := listing(p.view)
	if err != nil {
		return err
	}
	after, err := listing(view)
	if err != nil {
		return err
	}
	for i := range min(len(before), len(after)) {
		if before[i] != after[i] {
			return differ("%s became %s", before[i], after[i])
		}
	}
	if len(before) != len(after) {
		return differ("%d files and directories, not %d", len(after), len(before))
	}
	return nil
}

// modTime returns the time that views show.
func (x *file) modTime() time.Time {
	if t := x.entry.Stamp.Time; !t.IsZero() {
		return t
	}
	return x.ModTime
}

// listing returns a line for each file and directory of a tree. Directories
// have the time of the backup, which an empty layer does not tell.
func listing(tree fs.FS) (lines []string, err error) {
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s, %v", name, fi.Mode().Type())
		if !d.IsDir() && name != chain.ManifestName {
			line += fmt.Sprintf(", %d bytes of %v", fi.Size(), fi.ModTime().UTC())
		}
		lines = append(lines, line)
		return nil
	})
	return lines, err
}

// compare returns the offset of the first byte that differs, -1 if none does.
func compare(ctx context.Context, a, b io.ReaderAt, size int64, progress func(int64)) (int64, error) {
	x, y := make([]byte, min(size, bufSize)), make([]byte, min(size, bufSize))
	for off := int64(0); off < size; {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		n := int(min(size-off, bufSize))
		for _, r := range []struct {
			io.ReaderAt
			buf []byte
		}{{a, x[:n]}, {b, y[:n]}} {
			if k, err := r.ReadAt(r.buf, off); k < n {
				return 0, cmp.Or(err, io.ErrNoProgress)
			}
		}
		if !bytes.Equal(x[:n], y[:n]) {
			for i := range n {
				if x[i] != y[i] {
					return off + int64(i), nil
				}
			}
		}
		off += int64(n)
		progress(int64(n))
	}
	return -1, nil
}

// forget asks the system to drop what it keeps of a file in memory.
func forget(name string) {
	if f, err := os.Open(name); err == nil {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		f.Close()
	}
}
