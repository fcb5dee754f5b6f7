package tarindex

import (
	"errors"
	"io"
)

const blockSize = 512

const (
	minWindow   = blockSize
	firstWindow = 4 << 10
	maxWindow   = 128 << 10
	// dense is the distance of two headers up to which it costs less to read
	// what lies between them than to ask again.
	dense = 8 << 10
)

// window reads blocks of an archive from low offsets to high ones. How much it
// reads at a time follows the distance of the blocks that are asked for: many
// headers at once where members are small, single ones where they are big. It
// never reads more than 8 KiB for each block asked for, on average.
type window struct {
	r    io.ReaderAt
	size int64 // where the archive ends; lowered if r turns out to end before
	err  error // of the last read that failed other than by reaching the end

	buf    []byte
	off    int64 // of buf in the archive
	want   int   // bytes to read at a time
	blocks int64 // asked for since buf was filled
}

// block returns the 512 bytes at pos, valid until the next call. If there are
// fewer, it returns those, possibly none. A failed read sets err and returns
// none.
func (w *window) block(pos int64) []byte {
	w.blocks++
	if i := pos - w.off; i >= 0 && i+blockSize <= int64(len(w.buf)) {
		return w.buf[i : i+blockSize]
	}
	w.fill(pos)
	return w.buf[:min(len(w.buf), blockSize)]
}

// fill reads from pos on as much as seems worth it.
func (w *window) fill(pos int64) {
	switch {
	case w.want == 0:
		w.want = firstWindow
	case pos-w.off <= w.blocks*dense:
		w.want = min(4*w.want, maxWindow)
	default:
		w.want = max(w.want/4, minWindow)
	}
	w.blocks = 1
	if !w.read(pos, w.want) {
		// The bytes that cannot be read may be none of those that are needed.
		w.want = minWindow
		w.read(pos, w.want)
	}
}

// read fills buf with up to n bytes at pos. It returns false, with err set and
// no bytes, if they cannot be read.
func (w *window) read(pos int64, n int) bool {
	w.err = nil
	n = int(max(0, min(int64(n), w.size-pos)))
	if cap(w.buf) < n {
		w.buf = make([]byte, n)
	}
	w.buf, w.off = w.buf[:n], pos
	if n == 0 {
		return true
	}
	got, err := w.r.ReadAt(w.buf, pos)
	if got < n && err != nil && !errors.Is(err, io.EOF) {
		// Half a header would look like the end of the archive.
		w.buf, w.err = w.buf[:0], err
		return false
	}
	if got < n {
		w.buf, w.size = w.buf[:got], pos+int64(got)
	}
	return true
}

// reader is a plain reader of the bytes from pos on, for archive/tar, which
// asks for no more than it needs: pos stays where it stands.
type reader struct {
	w   *window
	pos int64
	eof bool // the end was met
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b := r.w.block(r.pos)
	if len(b) == 0 {
		if r.w.err != nil {
			return 0, r.w.err
		}
		r.eof = true
		return 0, io.EOF
	}
	n := copy(p, b)
	r.pos += int64(n)
	return n, nil
}
