package boltview

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/snapfs/snapfs/internal/hint"
)

const (
	magic       = 0xED0CDAED
	version     = 2
	headerSize  = 16
	elemSize    = 16
	metaSize    = 64
	minPageSize = 1 << 10
	maxPageSize = 64 << 10

	// noFreelist in a meta says that the free pages are not stored. bbolt
	// writes it under its option NoFreelistSync.
	noFreelist = 1<<64 - 1
)

// magicBigEndian is how the magic looks if it was written high byte first.
var magicBigEndian = binary.BigEndian.AppendUint32(nil, magic)

// meta is one of the two pages that a file starts with.
type meta struct {
	state     string // "ok", or what is wrong
	seen      bool   // the magic is there
	pageSize  int64
	root      uint64
	sequence  uint64
	freelist  uint64
	highWater uint64
	txid      uint64
}

func (m *meta) ok() bool { return m.state == "ok" }

// parseMeta reads a meta from b, which starts behind the page header. A short b
// is a meta past the end of the file.
func parseMeta(b []byte) meta {
	if len(b) < metaSize {
		return meta{state: "past the end of the file"}
	}
	le := binary.LittleEndian
	if le.Uint32(b) != magic {
		return meta{state: "no magic"}
	}
	m := meta{
		seen:      true,
		pageSize:  int64(le.Uint32(b[8:])),
		root:      le.Uint64(b[16:]),
		sequence:  le.Uint64(b[24:]),
		freelist:  le.Uint64(b[32:]),
		highWater: le.Uint64(b[40:]),
		txid:      le.Uint64(b[48:]),
	}
	h := fnv.New64a()
	h.Write(b[:metaSize-8])
	switch {
	case le.Uint32(b[4:]) != version:
		m.state = fmt.Sprintf("version %d, want %d", le.Uint32(b[4:]), version)
	case h.Sum64() != le.Uint64(b[56:]):
		m.state = "wrong checksum"
	case !validPageSize(m.pageSize):
		m.state = fmt.Sprintf("page size %d is not a power of two from 1024 to 65536", m.pageSize)
	default:
		m.state = "ok"
	}
	return m
}

func validPageSize(n int64) bool {
	return n >= minPageSize && n <= maxPageSize && n&(n-1) == 0
}

// readMeta reads the meta of the page that starts at off.
func readMeta(r io.ReaderAt, size, off int64) (m meta, bigEndian bool, err error) {
	if size < off+headerSize+metaSize {
		return parseMeta(nil), false, nil
	}
	var b [metaSize]byte
	if _, err := readFull(r, b[:], off+headerSize); err != nil {
		return meta{}, false, fmt.Errorf("read bolt meta at %d: %w", off, err)
	}
	return parseMeta(b[:]), bytes.Equal(b[:4], magicBigEndian), nil
}

// findMetas returns both metas and the size of a page. The second meta is found
// even if the first is lost, which alone says where the second starts.
func findMetas(r io.ReaderAt, size int64) (metas [2]meta, pageSize int64, err error) {
	m0, big, err := readMeta(r, size, 0)
	if err != nil {
		return metas, 0, err
	}
	metas[0] = m0
	var fallback meta // a second meta that is there, but not valid
	for n := int64(minPageSize); n <= maxPageSize; n <<= 1 {
		if m0.ok() && n != m0.pageSize {
			continue
		}
		m1, big1, err := readMeta(r, size, n)
		if err != nil {
			return metas, 0, err
		}
		big = big || big1
		if m1.ok() && m1.pageSize != n {
			m1.state = fmt.Sprintf("page size %d at offset %d", m1.pageSize, n)
		}
		if m1.ok() || m0.ok() {
			metas[1] = m1
			return metas, n, nil
		}
		if m1.seen && m1.pageSize == n {
			fallback = m1
		}
	}
	metas[1] = fallback
	if fallback.state == "" {
		metas[1].state = "not found"
	}
	if big {
		err := fmt.Errorf("%w: its numbers are big-endian, only little-endian files can be read", ErrNotBolt)
		return metas, 0, hint.Wrap(err, "the file was written on a big-endian machine (MIPS, PowerPC, s390x): copy it there, and export it with bbolt")
	}
	return metas, 0, fmt.Errorf("%w: meta 0: %s, meta 1: %s", ErrNotBolt, metas[0].state, metas[1].state)
}

// readFull fills b from off. Unlike ReadAt alone it takes a source that returns
// io.EOF together with the last bytes, and calls a short read what it is.
func readFull(r io.ReaderAt, b []byte, off int64) (int, error) {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return n, nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// guessPageSize returns the size of a page for a file whose metas are both
// damaged: what is left of them says, or else that by which most pages at the
// start bear their own number. It returns 0 if there is none.
func guessPageSize(r io.ReaderAt, size int64, metas *[2]meta) (int64, error) {
	for i := range metas {
		if n := metas[i].pageSize; validPageSize(n) {
			return n, nil
		}
	}
	const look, enough = 256, 3
	best, most := int64(0), enough-1
	for n := int64(minPageSize); n <= maxPageSize; n <<= 1 {
		hits := 0
		for id := int64(2); id < look && (id+1)*n <= size; id++ {
			var b [headerSize]byte
			if _, err := readFull(r, b[:], id*n); err != nil {
				return 0, fmt.Errorf("read bolt page %d: %w", id, err)
			}
			flags := binary.LittleEndian.Uint16(b[8:])
			if binary.LittleEndian.Uint64(b[:]) == uint64(id) && (flags == flagBranch || flags == flagLeaf || flags == flagFreelist) {
				hits++
			}
		}
		if hits > most {
			best, most = n, hits
		}
	}
	return best, nil
}
