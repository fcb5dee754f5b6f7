package tarindex

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"sort"
	"strconv"
	"strings"
)

// Names of PAX records, see "Storing Sparse Files" in the manual of GNU tar.
const (
	paxSize         = "size"
	paxSparseMajor  = "GNU.sparse.major"
	paxSparseMinor  = "GNU.sparse.minor"
	paxSparseMap    = "GNU.sparse.map"
	paxSparseBlocks = "GNU.sparse.numblocks"
)

// Limits of archive/tar: on the bytes of a map, and on its entries.
const (
	maxMapBytes   = 1 << 20
	maxMapEntries = 1 << 20
)

var errMap = errors.New("sparse map and data do not agree")

// sparseKind says where the map of a sparse member is.
type sparseKind byte

const (
	notSparse    sparseKind = iota
	sparseHeader            // old GNU format: in the header, and in blocks after it
	sparseRecord            // PAX 0.0 and 0.1: in a record
	sparseData              // PAX 1.0: in front of the data
)

// sparseOf returns the kind of sparse member that hdr describes, by the rules
// of archive/tar.
func sparseOf(hdr *tar.Header) sparseKind {
	if hdr.Typeflag == tar.TypeGNUSparse {
		return sparseHeader
	}
	major, minor := hdr.PAXRecords[paxSparseMajor], hdr.PAXRecords[paxSparseMinor]
	switch {
	case major == "0" && (minor == "0" || minor == "1"):
		return sparseRecord
	case major == "1" && minor == "0":
		return sparseData
	case major == "" && minor == "" && hdr.PAXRecords[paxSparseMap] != "":
		return sparseRecord
	}
	return notSparse
}

// isSparse reports whether hdr, as archive/tar returned it, is of a sparse
// member.
func isSparse(hdr *tar.Header) bool { return sparseOf(hdr) != notSparse }

// fragment is a run of bytes that are stored; between them are holes.
type fragment struct {
	off, len int64 // in the content
	at       int64 // in the data
}

// sparse is the content of a sparse member.
type sparse struct {
	content            // off is where the stored data begin, size is with holes
	stored  int64      // bytes of data
	frags   []fragment // in order, none empty
}

// openSparse reads the map of member i, from the archive, for none is kept.
func (ix *Index) openSparse(i int) (io.ReaderAt, error) {
	m := ix.member(i)
	fail := func(cause error) (io.ReaderAt, error) {
		e := &Error{Op: "read", Name: ix.name(i), Offset: m.header, Err: ErrFormat, Cause: cause}
		if errors.Is(cause, io.EOF) || errors.Is(cause, io.ErrUnexpectedEOF) {
			e.Err, e.Cause = ErrTruncated, nil
		}
		return nil, e
	}
	hdr, err := ix.Header(i)
	if err != nil {
		return nil, err
	}
	s := scanner{ix: ix, w: window{r: ix.r, size: ix.size, want: minWindow}}
	at, _, err := s.final(m.header)
	if err != nil {
		return nil, err
	}
	data, stored, err := s.sparse(m.header, m.dataOffset(), hdr)
	if err != nil {
		return nil, err
	}
	c := &sparse{content: content{ix: ix, i: i, off: data, size: m.size}, stored: stored}
	switch sparseOf(hdr) {
	case sparseHeader:
		c.frags, err = headerMap(&reader{w: &s.w, pos: at})
	case sparseRecord:
		c.frags, err = recordMap(hdr.PAXRecords)
	case sparseData:
		r := &reader{w: &s.w, pos: data}
		c.frags, err = dataMap(r)
		c.off, c.stored = r.pos, stored-(r.pos-data)
	default:
		err = errMap
	}
	if err != nil {
		return fail(err)
	}
	if err := c.validate(); err != nil {
		return fail(err)
	}
	return c, nil
}

// validate checks the map against the size of the member, and lays the
// fragments out in the data.
func (c *sparse) validate() error {
	var end, sum int64
	frags := c.frags[:0]
	for _, f := range c.frags {
		if f.off < 0 || f.len < 0 || f.off < end || f.len > c.size-f.off {
			return errMap
		}
		end = f.off + f.len
		f.at = sum
		sum += f.len // no more than the size, as they do not overlap
		if f.len > 0 {
			frags = append(frags, f)
		}
	}
	c.frags = frags
	if end > c.size || sum < c.stored {
		return errMap // as if some data belonged nowhere
	}
	return nil
}

func (c *sparse) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, &Error{Op: "read", Name: c.ix.name(c.i), Offset: c.off, Err: errors.New("negative offset")}
	case off >= c.size:
		return 0, io.EOF
	}
	short := int64(len(p)) > c.size-off
	if short {
		p = p[:c.size-off]
	}
	// The first fragment that ends after off.
	k := sort.Search(len(c.frags), func(k int) bool { return c.frags[k].off+c.frags[k].len > off })
	n := 0
	for n < len(p) {
		pos := off + int64(n)
		if k == len(c.frags) || pos < c.frags[k].off {
			hole := int64(len(p) - n)
			if k < len(c.frags) {
				hole = min(hole, c.frags[k].off-pos)
			}
			clear(p[n : n+int(hole)])
			n += int(hole)
			continue
		}
		f := c.frags[k]
		skip := pos - f.off
		want := min(int64(len(p)-n), f.len-skip)
		there := min(want, c.stored-f.at-skip)
		if there > 0 {
			got, err := c.ix.readAt(c.i, p[n:n+int(there)], c.off, f.at+skip)
			n += got
			if err != nil {
				return n, err
			}
		}
		if there < want {
			return n, &Error{Op: "read", Name: c.ix.name(c.i), Offset: c.off + max(0, c.stored), Err: ErrFormat, Cause: errMap}
		}
		k++
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

// headerMap reads the map of the old GNU format: four entries in the header at
// which r stands, and 21 in each further block. An entry that begins with NUL
// is the last one of its block.
func headerMap(r io.Reader) ([]fragment, error) {
	const entryLen, perHeader, perBlock = 24, 4, 21
	var b [blockSize]byte
	var frags []fragment
	table, n := b[offSparse:], perHeader
	for read := perHeader * entryLen; read < maxMapBytes; read += blockSize {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		for k := range n {
			e := table[k*entryLen:][:entryLen]
			if e[0] == 0 {
				break
			}
			off, ok1 := numeric(e[:12])
			length, ok2 := numeric(e[12:])
			if !ok1 || !ok2 {
				return nil, errMap
			}
			frags = append(frags, fragment{off: off, len: length})
		}
		if table[n*entryLen] == 0 {
			return frags, nil
		}
		table, n = b[:], perBlock
	}
	return nil, errMap
}

// recordMap reads the map of PAX 0.0 and 0.1: numbers with commas between.
// archive/tar has made the one of the other.
func recordMap(records map[string]string) ([]fragment, error) {
	n, err := strconv.ParseInt(records[paxSparseBlocks], 10, 0)
	if err != nil || n < 0 || n > maxMapEntries {
		return nil, errMap
	}
	text := records[paxSparseMap]
	if text == "" {
		if n != 0 {
			return nil, errMap
		}
		return nil, nil
	}
	if int64(strings.Count(text, ",")) != 2*n-1 {
		return nil, errMap
	}
	frags := make([]fragment, 0, n)
	for range n {
		var off, length string
		off, text, _ = strings.Cut(text, ",")
		length, text, _ = strings.Cut(text, ",")
		f, err := parseFragment(off, length)
		if err != nil {
			return nil, err
		}
		frags = append(frags, f)
	}
	return frags, nil
}

// dataMap reads the map of PAX 1.0, whole blocks at the start of the data:
// decimal numbers on a line each, of which the first is the number of entries.
// It leaves r behind the last block.
func dataMap(r io.Reader) ([]fragment, error) {
	var b [blockSize]byte
	var text []byte
	read := 0
	line := func() (string, error) {
		for {
			if i := bytes.IndexByte(text, '\n'); i >= 0 {
				s := string(text[:i])
				text = text[i+1:]
				return s, nil
			}
			if read += blockSize; read > maxMapBytes {
				return "", errMap
			}
			if _, err := io.ReadFull(r, b[:]); err != nil {
				return "", io.ErrUnexpectedEOF
			}
			text = append(text, b[:]...)
		}
	}
	s, err := line()
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(s, 10, 0)
	if err != nil || n < 0 || n > maxMapEntries {
		return nil, errMap
	}
	var frags []fragment
	for range n {
		off, err := line()
		if err != nil {
			return nil, err
		}
		length, err := line()
		if err != nil {
			return nil, err
		}
		f, err := parseFragment(off, length)
		if err != nil {
			return nil, err
		}
		frags = append(frags, f)
	}
	return frags, nil
}

func parseFragment(off, length string) (fragment, error) {
	o, err1 := strconv.ParseInt(off, 10, 64)
	l, err2 := strconv.ParseInt(length, 10, 64)
	if err1 != nil || err2 != nil {
		return fragment{}, errMap
	}
	return fragment{off: o, len: l}, nil
}
