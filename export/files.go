package export

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/durable"
	"github.com/snapfs/snapfs/internal/hint"
)

// checkpointEvery is how many bytes are written, before compression, between
// checkpoints.
const checkpointEvery = 32 << 20

// Files says into which files to write.
type Files struct {
	// Name is the path of the file, to which the suffix of the compression is
	// added unless it is there; for [Parquet] see the package comment. Where the
	// output is split, a number is put before the extension of the format:
	// "x.lp.gz" becomes "x.0001.lp.gz", ….
	Name string
	// SplitSize is the most bytes of a file, before compression, unless a single
	// point has more; 0 for one file. Each is complete in itself. Of [Parquet] the
	// values are counted as they are before they are encoded, 8 bytes and the length
	// of a string for each, and tags are not.
	SplitSize   int64
	Compression Compression
	// Overwrite replaces files that are there.
	Overwrite bool

	checkpointEvery int64
}

// ToFiles writes the data into files. While it writes, their names end in
// ".part"; they get their names when all are complete, and are removed after an
// error, unless there is a checkpoint. The error matches [fs.ErrExist] if a file
// is in the way.
func ToFiles(ctx context.Context, files Files, set *dataset.Set, o Options) (Report, error) {
	if err := o.check(); err != nil {
		return Report{}, err
	}
	if files.Name == "" {
		return Report{}, fmt.Errorf("files without a name: %w", ErrOption)
	}
	if files.SplitSize < 0 {
		return Report{}, fmt.Errorf("files %+v: %w", files, ErrOption)
	}
	if o.Format == Parquet {
		return toParquet(ctx, files, set, &o)
	}
	z, err := files.Compression.writer()
	if err != nil {
		return Report{}, err
	}
	pre, err := newPreamble(set, &o)
	if err != nil {
		return Report{}, err
	}
	s := &fileSink{files: files, o: &o, pre: pre, z: z, point: &checkpoint{}}
	s.every = cmp.Or(files.checkpointEvery, checkpointEvery)
	if o.Checkpoint != "" {
		name, err := filepath.Abs(files.Name)
		if err != nil {
			return Report{}, err
		}
		id, err := identity(set, &o, []any{name, files.SplitSize, files.Compression})
		if err != nil {
			return Report{}, err
		}
		if s.point, err = loadCheckpoint(o.Checkpoint, id); err != nil {
			return Report{}, err
		}
	}
	if s.point.Done {
		return s.point.report(), nil
	}
	err = s.run(ctx, set)
	if err != nil && o.Checkpoint == "" {
		err = errors.Join(err, s.remove())
	}
	return s.report.clone(), err
}

// fileSink writes points into files.
type fileSink struct {
	files  Files
	o      *Options
	pre    *preamble
	report Report
	point  *checkpoint
	every  int64

	part    int // number of the open file, from 1
	f       *os.File
	buf     *bufio.Writer
	z       compressor
	size    counter // bytes of the open file, buffered ones too
	length  int64   // of the open file before compression
	saved   int64   // report.Bytes at the last checkpoint
	current *dataset.Policy
}

// counter counts what is written through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// name returns the path of a part.
func (s *fileSink) name(part int) string {
	dir, base := filepath.Split(s.files.Name)
	suffix := s.files.Compression.Suffix()
	return s.files.part(dir+strings.TrimSuffix(base, suffix), part) + suffix
}

// part returns the path of a part of a file.
func (f *Files) part(name string, part int) string {
	if f.SplitSize == 0 {
		return name
	}
	dir, base := filepath.Split(name)
	ext := filepath.Ext(base)
	if ext == base {
		ext = "" // all of a name like .lp
	}
	return fmt.Sprintf("%s%s.%04d%s", dir, strings.TrimSuffix(base, ext), part, ext)
}

// partSuffix is what names of incomplete files end in.
const partSuffix = ".part"

func (s *fileSink) run(ctx context.Context, set *dataset.Set) (err error) {
	defer func() {
		if s.f != nil {
			err = errors.Join(err, s.f.Close())
		}
	}()
	if s.point.Part > 0 {
		s.report = s.point.report()
		err = s.reopen()
	} else {
		err = s.create(1)
	}
	if err != nil {
		return err
	}
	if err := run(ctx, set, s.o, s.point.position(), s, &s.report); err != nil {
		return err
	}
	if err := s.close(); err != nil {
		return err
	}
	return s.finish()
}

// create begins a part.
func (s *fileSink) create(part int) error {
	name := s.name(part)
	if err := s.files.free(name); err != nil {
		return err
	}
	if err := durable.Regular(name); err != nil {
		return err
	}
	// With a checkpoint, what is there is from a run that was stopped before it
	// had its first.
	f, err := createPart(name, s.files.Overwrite || s.o.Checkpoint != "")
	if err != nil {
		return err
	}
	s.open(f, part, 0, 0)
	return s.raw(s.pre.head)
}

// free returns an error if there is a file that would be replaced.
func (f *Files) free(name string) error {
	if _, err := os.Lstat(name); err == nil && !f.Overwrite {
		return hint.Wrap(&fs.PathError{Op: "write", Path: name, Err: fs.ErrExist}, "--force replaces it")
	}
	return nil
}

// removeAfter removes what an export with more parts has left: it is no part of
// the one whose last part that is.
func (f *Files) removeAfter(last int, name func(part int) string) error {
	if !f.Overwrite || f.SplitSize == 0 {
		return nil
	}
	for part := last + 1; ; part++ {
		if err := os.Remove(name(part)); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// createPart creates what becomes the file of a name when it is complete.
func createPart(name string, replace bool) (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !replace {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(name+partSuffix, flags, 0o666)
	if errors.Is(err, fs.ErrExist) {
		err = hint.Wrap(err, "another export writes it, or was stopped; --force replaces it")
	}
	return f, err
}

// reopen goes on after a checkpoint.
func (s *fileSink) reopen() error {
	f, err := os.OpenFile(s.name(s.point.Part)+partSuffix, os.O_WRONLY, 0)
	if err != nil {
		return hint.Wrap(fmt.Errorf("%s: %w: %w", s.o.Checkpoint, ErrCheckpoint, err), "remove the checkpoint to begin anew")
	}
	fi, err := f.Stat()
	if err == nil && fi.Size() < s.point.Size {
		err = fmt.Errorf("%s: %w: %s has %d bytes, not %d", s.o.Checkpoint, ErrCheckpoint, f.Name(), fi.Size(), s.point.Size)
	}
	if err == nil {
		err = f.Truncate(s.point.Size)
	}
	if err == nil {
		_, err = f.Seek(s.point.Size, io.SeekStart)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.open(f, s.point.Part, s.point.Size, s.point.Length)
	s.saved = s.report.Bytes
	return nil
}

func (s *fileSink) open(f *os.File, part int, size, length int64) {
	s.f, s.part, s.length, s.current = f, part, length, nil
	s.buf = bufio.NewWriterSize(f, 1<<20)
	s.size = counter{s.buf, size}
	s.z.Reset(&s.size)
}

func (s *fileSink) raw(data []byte) error {
	n, err := s.z.Write(data)
	s.length += int64(n)
	s.report.Bytes += int64(n)
	return err
}

// write implements sink.
func (s *fileSink) write(_ context.Context, b *block) error {
	if err := s.points(b); err != nil {
		return err
	}
	if s.o.Checkpoint == "" || !b.done || s.report.Bytes-s.saved < s.every {
		return nil
	}
	return s.save(position{b.policy.Database, b.policy.Name, b.key})
}

// points writes the points of a block.
func (s *fileSink) points(b *block) error {
	for at, to := 0, len(b.ends); at < to; {
		var lead []byte
		if b.policy != s.current {
			lead = s.pre.policy(b.policy)
		}
		n := to
		if room := s.files.SplitSize - s.length - int64(len(lead)); s.files.SplitSize > 0 && int64(b.from(to)-b.from(at)) > room {
			limit := int64(b.from(at)) + max(room, 0)
			n, _ = slices.BinarySearchFunc(b.ends, limit, func(end uint32, limit int64) int {
				if int64(end) <= limit {
					return -1
				}
				return 1
			})
			n = max(n, at)
			if n == at && s.length > int64(len(s.pre.head)) {
				if err := s.close(); err != nil {
					return err
				}
				if err := s.create(s.part + 1); err != nil {
					return err
				}
				continue
			}
			n = max(n, at+1) // a file has one point at least
		}
		s.current = b.policy
		if err := s.raw(lead); err != nil {
			return err
		}
		if err := s.raw(b.data[b.from(at):b.from(n)]); err != nil {
			return err
		}
		at = n
	}
	return nil
}

// save writes a checkpoint.
func (s *fileSink) save(p position) error {
	if err := s.flush(); err != nil {
		return err
	}
	s.z.Reset(&s.size)
	s.saved = s.report.Bytes
	s.point.set(p)
	s.point.Part, s.point.Size, s.point.Length = s.part, s.size.n, s.length
	// After a checkpoint there is a line for the policy again, so that a run that
	// goes on writes the same bytes.
	s.current = nil
	s.point.keep(&s.report)
	return s.point.save(s.o.Checkpoint)
}

// flush makes all that was written stay.
func (s *fileSink) flush() error {
	return errors.Join(s.z.Close(), s.buf.Flush(), s.f.Sync())
}

func (s *fileSink) close() error {
	err := errors.Join(s.flush(), s.f.Close())
	s.f = nil
	return err
}

// finish gives all parts their names.
func (s *fileSink) finish() error {
	for part := 1; part <= s.part; part++ {
		name := s.name(part)
		if err := durable.Replace(name+partSuffix, name); err != nil {
			return err
		}
		s.report.Files = append(s.report.Files, name)
	}
	if err := s.files.removeAfter(s.part, s.name); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(s.files.Name)); err != nil {
		return err
	}
	if s.o.Checkpoint == "" {
		return nil
	}
	s.point.Done = true
	s.point.keep(&s.report)
	return s.point.save(s.o.Checkpoint)
}

// remove removes the parts after an error.
func (s *fileSink) remove() error {
	var errs []error
	for part := 1; part <= s.part; part++ {
		if err := os.Remove(s.name(part) + partSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
