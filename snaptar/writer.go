// Package snaptar writes the tars that a snapshot is made of, to the byte as
// the servers of 2015 did: the manifest, then its files in the order of the
// bytes of their names, then two blocks of zeros. What the old tools refuse
// cannot be written: a file that the manifest does not list, or in another
// place, or of another size.
//
//	w := snaptar.NewWriter(out)
//	err := w.Manifest(m, time.Now())
//	for _, f := range m.Files {
//		err = w.Next(f.Name, f.Size, time.Now())
//		_, err = io.Copy(w, data)
//	}
//	err = w.Close()
package snaptar

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/copyrange"
)

var (
	// ErrManifest is returned for what the manifest does not allow: it is not
	// in order, or does not list the file, or with another size.
	ErrManifest = errors.New("not as in the manifest")

	// ErrSize is returned when a member gets more or fewer bytes than its
	// header says.
	ErrSize = errors.New("not the size that the header says")
)

const (
	bufSize = 256 << 10
	// minRange is the size in bytes from which on it pays to flush the buffer
	// and let the kernel copy.
	minRange = 64 << 10
)

// zeros are the end mark, and padding.
var zeros [2 * blockSize]byte

// Writer writes one tar. After an error it only returns that error. It is not
// safe for concurrent use.
type Writer struct {
	raw   io.Writer
	buf   *bufio.Writer
	begun bool
	name  string
	left  int64 // bytes that the data of the member still lack
	pad   int64 // and then these
	todo  []chain.ManifestFile
	keeps bool   // whether there is a manifest to be kept to
	plain bool   // whether the kernel would not copy
	head  []byte // for headers
	part  []byte // for parts of data
	err   error
}

// NewWriter returns a Writer to out, which it buffers: only after [Writer.Close]
// all is there.
func NewWriter(out io.Writer) *Writer {
	return &Writer{raw: out, buf: bufio.NewWriterSize(out, bufSize)}
}

// Manifest writes m as the first member, t being the time of the backup. Its
// files must follow, all of them. A tar without a manifest can hold anything,
// but it is no snapshot.
//
// The error matches [ErrManifest] if m is not sorted or was written too late, [ErrName] if it
// holds a name that cannot be written, or is one of the output.
func (w *Writer) Manifest(m chain.Manifest, t time.Time) error {
	if w.begun {
		return w.fail(fmt.Errorf("write tar: the manifest comes first: %w", ErrManifest))
	}
	if _, err := Size(m); err != nil {
		return w.fail(err)
	}
	b := m.AppendJSON(nil)
	if err := w.Next(chain.ManifestName, int64(len(b)), t); err != nil {
		return err
	}
	w.todo, w.keeps = m.Files, true
	_, err := w.Write(b)
	return err
}

// Size returns how many bytes the tar with the files of m has. The error is
// one of [Writer.Manifest].
func Size(m chain.Manifest) (int64, error) {
	size := int64(2 * blockSize)
	add := func(name string, n int64) {
		size += headerSize(name, n) + n + padding(n)
	}
	add(chain.ManifestName, int64(len(m.AppendJSON(nil))))
	for i, f := range m.Files {
		if err := Check(f); err != nil {
			return 0, err
		}
		if i > 0 && f.Name <= m.Files[i-1].Name {
			return 0, fmt.Errorf("write tar: %w: %q comes after %q", ErrManifest, f.Name, m.Files[i-1].Name)
		}
		add(f.Name, f.Size)
	}
	return size, nil
}

// Check returns an error that matches [ErrName] or [ErrSize] if f cannot be in a
// manifest and the tar behind it.
func Check(f chain.ManifestFile) error {
	err := checkName(f.Name)
	switch {
	case err != nil:
		return fmt.Errorf("write tar: %w", err)
	case f.Name == chain.ManifestName:
		return fmt.Errorf("write tar: %q: %w: the manifest has it", f.Name, ErrName)
	case !utf8.ValidString(f.Name):
		return fmt.Errorf("write tar: %q: %w: it is no UTF-8, and so the manifest cannot hold it", f.Name, ErrName)
	case f.Size < 0 || f.Size > 1<<60:
		return fmt.Errorf("write tar: %q: %w: %d bytes", f.Name, ErrSize, f.Size)
	}
	return nil
}

// Next ends the member before and begins one of size bytes, t being the time of
// writing. Its data follow by [Writer.Write] or [Writer.Copy].
//
// The error matches [ErrManifest] if the manifest has something else in that
// place, [ErrSize] if the member before lacks data, [ErrName], or is one of the
// output.
func (w *Writer) Next(name string, size int64, t time.Time) error {
	w.end()
	err := checkName(name)
	switch {
	case w.err != nil:
		return w.err
	case err != nil:
		return w.fail(fmt.Errorf("write tar: %w", err))
	case size < 0:
		return w.fail(fmt.Errorf("write tar: %q: %w: %d bytes", name, ErrSize, size))
	case w.keeps && len(w.todo) == 0:
		return w.fail(fmt.Errorf("write tar: %q: %w: nothing comes after the last file", name, ErrManifest))
	case w.keeps && (name != w.todo[0].Name || size != w.todo[0].Size):
		return w.fail(fmt.Errorf("write tar: %q, %d bytes: %w: %q, %d bytes, is next", name, size, ErrManifest, w.todo[0].Name, w.todo[0].Size))
	}
	if w.keeps {
		w.todo = w.todo[1:]
	}
	w.begun = true
	w.name, w.left, w.pad = name, size, padding(size)
	w.head = appendHeader(w.head[:0], name, size, t)
	w.put(w.head)
	return w.err
}

// Write writes data of the member. The error matches [ErrSize] if they are more
// than its size, and then nothing of p is written, or is one of the output.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err == nil && int64(len(p)) > w.left {
		return 0, w.fail(fmt.Errorf("write tar: %q: %w: %d bytes too many", w.name, ErrSize, int64(len(p))-w.left))
	}
	n := w.put(p)
	w.left -= int64(n)
	return n, w.err
}

// put writes p, whatever it is, and returns how much of it.
func (w *Writer) put(p []byte) (n int) {
	if w.err == nil {
		n, w.err = w.buf.Write(p)
	}
	return n
}

// Copy writes what the member still lacks from src, from offset off on. If src
// offers [attr.Extent] and the output is a file, the kernel does it. Progress is
// called with the number of bytes of each step.
//
// The error is that of ctx, of a read, which matches [io.ErrUnexpectedEOF] if src
// ends too early, or one of the output.
func (w *Writer) Copy(ctx context.Context, src io.ReaderAt, off int64, progress func(int64)) error {
	if w.err == nil && w.left >= minRange {
		off += w.byRange(ctx, src, off, progress)
	}
	if w.err != nil || w.left == 0 {
		return w.err
	}
	if w.part == nil {
		w.part = make([]byte, bufSize)
	}
	for w.err == nil && w.left > 0 {
		if err := context.Cause(ctx); err != nil {
			return w.fail(err)
		}
		p := w.part[:min(w.left, bufSize)]
		n, err := src.ReadAt(p, off)
		if n < len(p) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return w.fail(cmp.Or(err, io.ErrNoProgress))
		}
		w.put(p)
		w.left -= int64(n)
		off += int64(n)
		progress(int64(n))
	}
	return w.err
}

// byRange lets the kernel copy as much as it can, and returns how much that was.
func (w *Writer) byRange(ctx context.Context, src io.ReaderAt, off int64, progress func(int64)) int64 {
	out, isFile := w.raw.(*os.File)
	e, ok := src.(attr.Extent)
	if !isFile || !ok || w.plain {
		return 0
	}
	from, base, ok := e.Extent()
	if !ok {
		return 0
	}
	if w.err = w.buf.Flush(); w.err != nil {
		return 0
	}
	n, err := copyrange.Copy(ctx, out, -1, from, base+off, w.left, progress)
	if errors.Is(err, errors.ErrUnsupported) {
		w.plain, err = true, nil
	}
	w.left -= n
	if err == nil && w.left == 0 {
		// The kernel does not know that a file has changed since src was opened. A
		// read through src fails then.
		var last [1]byte
		if k, rerr := src.ReadAt(last[:], off+n-1); k == 0 {
			err = rerr
		}
	}
	w.err = err
	return n
}

// end ends a member.
func (w *Writer) end() {
	if w.err == nil && w.left > 0 {
		w.err = fmt.Errorf("write tar: %q: %w: %d bytes are missing", w.name, ErrSize, w.left)
	}
	w.put(zeros[:w.pad])
	w.pad = 0
}

func (w *Writer) fail(err error) error {
	w.err = cmp.Or(w.err, err)
	return w.err
}

// Close writes the end mark. It does not close the output. If something lacks,
// it does not write it, so that nobody takes the tar for a whole one; the error
// matches [ErrSize] or [ErrManifest] then.
func (w *Writer) Close() error {
	w.end()
	if w.err == nil && len(w.todo) > 0 {
		w.err = fmt.Errorf("write tar: %w: %d files are missing, the first of them %q", ErrManifest, len(w.todo), w.todo[0].Name)
	}
	w.put(zeros[:])
	if w.err == nil {
		w.err = w.buf.Flush()
	}
	if w.err != nil {
		return w.err
	}
	w.err = errors.New("write tar: closed")
	return nil
}
