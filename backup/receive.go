package backup

import (
	"archive/tar"
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/durable"
	"github.com/snapfs/snapfs/internal/hint"
)

const (
	blockSize = 512
	// maxManifest bounds the manifest of an answer unless options say otherwise:
	// that of half a million files.
	maxManifest = 64 << 20
	// maxPadding is how many zeros may follow the end mark: what tar programs
	// fill their last record with. Servers write none.
	maxPadding = 64 << 10
	bufferSize = 256 << 10
	// maxWaiting is how many files may wait to be checked, while others come in:
	// a server that has to wait for a large one would take that for silence.
	maxWaiting = 1024
)

// answer is a layer that was received and checked.
type answer struct {
	manifest chain.Manifest
	time     time.Time
	size     int64
	torn     []Torn
	warnings []string
}

// receiver checks a tar while it goes to a file.
type receiver struct {
	file *os.File
	out  *bufio.Writer
	tee  tee
	tar  *tar.Reader
	buf  [32 << 10]byte
	opts *Options

	answer   answer
	progress Progress
}

// tee passes on what it reads, and keeps errors of reading and writing apart
// from those that are about the tar.
type tee struct {
	ctx context.Context
	r   io.Reader
	w   io.Writer
	n   int64
	err error
}

func (t *tee) Read(b []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		t.err = err
		return 0, err
	}
	n, err := t.r.Read(b)
	if n > 0 {
		if _, werr := t.w.Write(b[:n]); werr != nil {
			t.err = werr
			return 0, werr
		}
		t.n += int64(n)
	}
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

// receive asks the source, and writes the answer into a slot.
func receive(ctx context.Context, s *slots, slot int, src Source, next step, opts Options, attempt int) (_ *answer, err error) {
	file, err := s.open(slot)
	if err != nil {
		return nil, err
	}
	in, err := src.Fetch(ctx, next.known)
	if err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	defer in.Close()
	r := &receiver{file: file, out: bufio.NewWriterSize(&durable.Writeback{File: file}, bufferSize), opts: &opts}
	r.tee = tee{ctx: ctx, r: bufio.NewReaderSize(in, bufferSize), w: r.out}
	r.tar = tar.NewReader(&r.tee)
	r.progress.Attempt = attempt
	checks, cancel := context.WithCancel(ctx)
	defer cancel()
	g, gctx := errgroup.WithContext(checks)
	g.SetLimit(maxWaiting)
	if err := r.receive(gctx, g, next); err != nil {
		cancel()
		_ = g.Wait() // is what was cancelled, or less than err
		return nil, cmp.Or(ctx.Err(), err)
	}
	if w, ok := in.(interface{ Warnings() []string }); ok {
		r.answer.warnings = append(r.answer.warnings, w.Warnings()...)
	}
	r.answer.finish(next)
	return &r.answer, nil
}

// receive reads the whole tar. Files are checked in g, as soon as they are there.
func (r *receiver) receive(ctx context.Context, g *errgroup.Group, next step) error {
	if err := r.readManifest(next); err != nil {
		return err
	}
	files := r.answer.manifest.Files
	checks := make([]verdict, len(files))
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, f := range files {
		off, err := r.readFile(f)
		if err != nil {
			return err
		}
		if err := r.out.Flush(); err != nil {
			return err
		}
		isMeta := f.Name == metaName
		g.Go(func() error {
			turns <- struct{}{}
			defer func() { <-turns }()
			var err error
			checks[i], err = check(ctx, io.NewSectionReader(r.file, off, f.Size), f.Name, isMeta)
			return err
		})
	}
	if err := r.readEnd(); err != nil {
		return err
	}
	if err := r.out.Flush(); err != nil {
		return err
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.answer.size = r.tee.n
	r.answer.judge(files, checks)
	return nil
}

// next returns the next header, which must be that of a regular file.
func (r *receiver) next(want string) (*tar.Header, error) {
	before := r.tee.n
	h, err := r.tar.Next()
	switch {
	case r.tee.err != nil:
		return nil, r.broken(want, r.tee.err)
	case err == io.EOF && r.tee.n == 0:
		return nil, emptyError()
	case err == io.EOF && r.tee.n-before < 2*blockSize, errors.Is(err, io.ErrUnexpectedEOF):
		return nil, r.broken(want, io.ErrUnexpectedEOF)
	case err == io.EOF:
		return nil, answerError("it ends without %q", want)
	case err != nil && h == nil:
		return nil, answerError("%q: offset %d: %w", want, r.tee.n, err)
	case h.Name != want:
		return nil, answerError("%q where %q is expected", h.Name, want)
	case h.Typeflag != tar.TypeReg:
		return nil, answerError("%q is not a regular file", want)
	}
	return h, nil
}

// readManifest reads the first member, and checks that it fits to the chain.
func (r *receiver) readManifest(next step) error {
	h, err := r.next(chain.ManifestName)
	if err != nil {
		return err
	}
	most := cmp.Or(r.opts.MaxManifest, maxManifest)
	if h.Size > most {
		return answerError("its manifest has %d bytes, more than %d", h.Size, most)
	}
	m, err := chain.ReadManifest(r.tar)
	switch {
	case r.tee.err != nil:
		return r.broken(chain.ManifestName, r.tee.err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return r.broken(chain.ManifestName, err)
	case err != nil:
		return answerError("%w", err)
	}
	if h.ModTime.Unix() > 0 {
		r.answer.time = h.ModTime.UTC()
	}
	if k := next.known; k != nil && k.Dialect != chain.Unknown && m.Dialect != chain.Unknown && k.Dialect != m.Dialect {
		return hint.Wrap(answerError("its manifest has %v, those of the chain have %v", m.Dialect, k.Dialect), "it is of a server of another release; begin another chain for it")
	}
	for i, f := range m.Files {
		switch {
		case f.Name == chain.ManifestName:
			return answerError("its manifest lists a file called %q", f.Name)
		case i > 0 && f.Name <= m.Files[i-1].Name:
			return answerError("its manifest lists %q behind %q: names must ascend", f.Name, m.Files[i-1].Name)
		case f.Size > 1<<62-r.progress.TotalBytes:
			return answerError("its manifest has more bytes than any disk")
		}
		r.progress.TotalBytes += f.Size
	}
	if len(m.Files) > 0 && m.Dialect == chain.Unknown {
		return answerError("its manifest does not say how new the files are")
	}
	r.answer.manifest, r.progress.TotalFiles = m, len(m.Files)
	r.tell()
	return nil
}

// readFile reads the next member, and returns the offset of its data.
func (r *receiver) readFile(f chain.ManifestFile) (int64, error) {
	h, err := r.next(f.Name)
	if err != nil {
		return 0, err
	}
	if h.Size != f.Size {
		return 0, answerError("%q has %d bytes, but %d in the manifest", f.Name, h.Size, f.Size)
	}
	off := r.tee.n
	for {
		n, err := r.tar.Read(r.buf[:])
		r.progress.Bytes += int64(n)
		if err == io.EOF {
			r.progress.Files++
		}
		r.tell()
		switch {
		case err == io.EOF:
			if got := r.tee.n - off; got != f.Size {
				return 0, answerError("%q is stored in %d bytes, not in %d", f.Name, got, f.Size)
			}
			return off, nil
		case r.tee.err != nil:
			return 0, r.broken(f.Name, r.tee.err)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return 0, r.broken(f.Name, err)
		case err != nil:
			return 0, answerError("%q: %w", f.Name, err)
		}
	}
}

// readEnd wants the end mark, and nothing behind it.
func (r *receiver) readEnd() error {
	before := r.tee.n
	h, err := r.tar.Next()
	switch {
	case r.tee.err != nil:
		return r.broken("the end mark", r.tee.err)
	case err == nil:
		return answerError("%q is not in its manifest", h.Name)
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF && r.tee.n-before < 2*blockSize:
		return r.broken("the end mark", io.ErrUnexpectedEOF)
	case err != io.EOF:
		return answerError("offset %d: %w", r.tee.n, err)
	}
	buf := make([]byte, blockSize)
	for total := 0; ; {
		n, err := r.tee.Read(buf)
		total += n
		if slices.ContainsFunc(buf[:n], func(c byte) bool { return c != 0 }) || total > maxPadding {
			return answerError("something follows its end mark at offset %d", r.tee.n-int64(n))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return r.broken("the end mark", err)
		}
	}
}

func (r *receiver) tell() {
	if r.opts.Progress != nil {
		r.opts.Progress(r.progress)
	}
}

// broken is the error for an answer that ended within what.
func (r *receiver) broken(what string, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return hint.Wrap(answerError("it ends after %d bytes, within %q", r.tee.n, what), "the log of the server may tell why; nothing was kept")
	}
	var path *os.PathError
	if errors.As(err, &path) {
		return err // of our own file
	}
	return fmt.Errorf("%w: after %d bytes, within %q: %w", ErrAnswer, r.tee.n, what, err)
}

func answerError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrAnswer, fmt.Errorf(format, args...))
}

// emptyError is what the old client took for success.
func emptyError() error {
	return hint.Wrap(answerError("the connection was closed before the first byte"),
		"the log of the server tells why: 0.9.3 to 0.9.4.2 cannot be backed up, later ones not with tsm1 shards, and snapshots may be disabled")
}
