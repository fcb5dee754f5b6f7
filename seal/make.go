package seal

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/attr"
)

// Options adjusts [Make] and [Seal.Compare]. The zero value works.
type Options struct {
	// Workers is the number of files that are read at once; 0 means GOMAXPROCS.
	Workers int
	// Progress is called, by one goroutine at a time, with the bytes that were
	// read and all that there are. Nil is fine.
	Progress func(done, total int64)
}

// defaultPage is the size of a page of a member that is no Bolt file.
const defaultPage = 4096

// Make reads all bytes of a chain once and returns their seal. A member that is
// cut off, or not in one piece, is part of the frame. The error is that of ctx, or
// of a read that failed, or matches [chain.ErrChanged].
func Make(ctx context.Context, c *chain.Chain, opts Options) (*Seal, error) {
	s := &Seal{Snapshot: filepath.Base(c.Path())}
	h := newHasher(ctx, opts)
	for _, l := range c.Layers() {
		layer := Layer{Name: l.Name, File: filepath.Base(l.Path), Size: l.Size}
		if ix := l.Index(); ix != nil {
			for i, e := range ix.All() {
				r, err := ix.Content(i)
				if err != nil {
					continue
				}
				x, ok := r.(attr.Extent)
				if !ok {
					continue
				}
				// A hard link has the bytes of another member.
				if _, off, ok := x.Extent(); !ok || off != e.DataOffset || e.Size == 0 {
					continue
				}
				page := int64(defaultPage)
				if db, err := boltview.Open(r, e.Size, boltview.Options{Meta: boltview.Meta0}); err == nil {
					page = int64(db.Info().PageSize)
				}
				layer.Members = append(layer.Members, Member{Layer: l.Name, Path: e.Path, Offset: e.DataOffset, Size: e.Size, Page: page, Group: groupOf(e.Size, page)})
			}
		}
		layer.Count = len(layer.Members)
		s.Layers = append(s.Layers, layer)
		h.total += l.Size
	}
	for i, l := range c.Layers() {
		if f := l.File(); f != nil {
			h.layer(f, &s.Layers[i])
		} else {
			h.open(l.Path, &s.Layers[i])
		}
	}
	err := h.wait()
	for _, l := range c.Layers() {
		err = cmp.Or(err, l.Changed())
	}
	return s, err
}

// hasher hashes layers, several members at once.
type hasher struct {
	ctx   context.Context
	group *errgroup.Group
	opts  Options
	files []*os.File // to be closed
	// skip has what cannot be read noted in unread, instead of ending with it.
	skip bool

	mu     sync.Mutex // guards done and unread, and calls of Progress
	done   int64
	total  int64
	unread map[place][]span
}

// place is a member, or the frame of its layer if that is nil.
type place struct {
	layer  *Layer
	member *Member
}

// span is a run of bytes of a tar that cannot be read, and why.
type span struct {
	off, n int64
	err    error
}

func newHasher(ctx context.Context, opts Options) *hasher {
	h := &hasher{opts: opts, unread: map[place][]span{}}
	h.group, h.ctx = errgroup.WithContext(ctx)
	if opts.Workers <= 0 {
		h.opts.Workers = runtime.GOMAXPROCS(0)
	}
	h.group.SetLimit(h.opts.Workers)
	return h
}

// wait waits for all hashes.
func (h *hasher) wait() error {
	errs := []error{h.group.Wait()}
	for _, f := range h.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// open starts to hash a file.
func (h *hasher) open(path string, l *Layer) {
	// Nobody may ever write to a pipe.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		h.files = append(h.files, f)
		if st, serr := f.Stat(); serr != nil || !st.Mode().IsRegular() {
			err = cmp.Or(serr, error(&os.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}))
		}
	}
	if err != nil {
		h.group.Go(func() error { return err })
		return
	}
	h.layer(f, l)
}

// layer starts to hash a layer, whose size and members are known, into l.
func (h *hasher) layer(f io.ReaderAt, l *Layer) {
	h.group.Go(func() error { return h.frame(f, l) })
	for i := range l.Members {
		h.group.Go(func() error { return h.member(f, l, &l.Members[i]) })
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// member hashes a member.
func (h *hasher) member(f io.ReaderAt, l *Layer, m *Member) error {
	sum, crc, left := sha256.New(), uint32(0), m.Page*m.Group
	m.CRCs = make([]byte, 0, 4*groups(m.Size, left))
	err := h.read(f, place{l, m}, m.Offset, m.Size, m.Page, func(b []byte) {
		sum.Write(b)
		for len(b) > 0 {
			n := min(left, int64(len(b)))
			crc = crc32.Update(crc, castagnoli, b[:n])
			if b, left = b[n:], left-n; left == 0 {
				m.CRCs = binary.BigEndian.AppendUint32(m.CRCs, crc)
				crc, left = 0, m.Page*m.Group
			}
		}
	})
	if left < m.Page*m.Group {
		m.CRCs = binary.BigEndian.AppendUint32(m.CRCs, crc)
	}
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return err
}

// frame hashes what is between the members.
func (h *hasher) frame(f io.ReaderAt, l *Layer) error {
	sum := sha256.New()
	at := int64(0)
	for i := 0; i <= len(l.Members); i++ {
		end, next := l.Size, l.Size
		if i < len(l.Members) {
			end, next = l.Members[i].Offset, l.Members[i].Offset+l.Members[i].Size
		}
		if err := h.read(f, place{l, nil}, at, end-at, block, func(b []byte) { sum.Write(b) }); err != nil {
			return err
		}
		at = next
	}
	l.Frame = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// block is what a tar is made of.
const block = 512

// read calls use with n bytes of f from off on, as far as they are there, piece
// by piece. Of what cannot be read, a unit at a time is given up, the first of
// which begins at off; use gets zeros for it.
func (h *hasher) read(f io.ReaderAt, p place, off, n, unit int64, use func([]byte)) error {
	buf := make([]byte, max(0, min(n, 256<<10)))
	start, end := off, off+n
	for alone := off; off < end; {
		if err := h.ctx.Err(); err != nil {
			return err
		}
		ask := min(end-off, int64(len(buf)))
		// Where a read of more has failed, each unit is asked for alone: not all of
		// it need be lost.
		rest := min(end-off, unit-(off-start)%unit)
		if off < alone {
			ask = min(ask, rest)
		}
		got, err := f.ReadAt(buf[:ask], off)
		use(buf[:got])
		off += int64(got)
		h.progress(int64(got))
		switch rest -= int64(got); {
		case err == nil, int64(got) == ask:
		case errors.Is(err, io.EOF):
			return nil // a file that is shorter than it was has other hashes
		case !h.skip:
			return fmt.Errorf("read at byte %d: %w", off, err)
		case off >= alone:
			alone = off + ask - int64(got)
		default:
			h.lost(p, span{off, rest, err})
			off += rest
			h.progress(rest)
			for ; rest > 0; rest -= min(rest, int64(len(buf))) {
				zeros := buf[:min(rest, int64(len(buf)))]
				clear(zeros)
				use(zeros)
			}
		}
	}
	return nil
}

// lost notes what cannot be read. Spans of a place come in order.
func (h *hasher) lost(p place, s span) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.unread[p]
	if i := len(all) - 1; i >= 0 && all[i].off+all[i].n == s.off && all[i].err.Error() == s.err.Error() {
		all[i].n += s.n
		return
	}
	h.unread[p] = append(all, s)
}

// progress tells that n more bytes are done.
func (h *hasher) progress(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done += n; h.opts.Progress != nil {
		h.opts.Progress(h.done, h.total)
	}
}
