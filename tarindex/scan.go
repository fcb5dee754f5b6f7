package tarindex

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strconv"
)

// endMark says how an archive ends.
type endMark struct {
	off  int64 // where the last member ends
	mark bool  // two blocks of zeros are there
	more bool  // and something after them that is not zero
}

// scanner hops through an archive and fills an Index.
type scanner struct {
	ix      *Index
	w       window
	names   []byte          // of the last chunk
	targets []string        // of ix.links
	body    [blockSize]byte // of the last extended header
	predict func(Entry, io.ReaderAt) []int64
	ahead   ahead
}

// scan indexes all members. On an error, those before it are in the index.
func (s *scanner) scan() error {
	defer s.seal()
	claimed := s.w.size
	if claimed <= 0 {
		return &Error{Op: "index", Err: ErrFormat, Cause: errors.New("the file is empty")}
	}
	for pos := int64(0); ; {
		s.ix.end.off = pos
		s.lookAhead(pos)
		b := s.w.block(pos)
		switch {
		case s.w.err != nil:
			return &Error{Op: "index", Offset: pos, Err: s.w.err}
		case len(b) == 0:
			if s.w.size < claimed {
				return s.truncated("", 0)
			}
			return nil // no end mark, which archive/tar does not ask for
		case len(b) < blockSize:
			return s.short(pos, b)
		case b[0] == 0 && isZero(b):
			return s.trailer(pos)
		}
		next, err := s.member(pos, (*[blockSize]byte)(b))
		if err == io.EOF && s.w.size < claimed && !s.ix.end.mark {
			return s.truncated("", 0)
		} else if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		pos = next
	}
}

// blank reports whether nothing was seen that could be the start of an
// archive.
func (s *scanner) blank() bool {
	b := s.w.block(0)
	return len(b) < offMagic+5 || string(b[offMagic:offMagic+5]) != "ustar"
}

// short returns the error for an archive that ends in the middle of the header
// at pos, of which b is there.
func (s *scanner) short(pos int64, b []byte) error {
	if pos > 0 || !s.blank() {
		return s.truncated("", blockSize-int64(len(b)))
	}
	if err := compressed(b, s.ix.file); err != nil {
		return err
	}
	return &Error{Op: "index", Err: ErrFormat}
}

// truncated returns the error for an archive that ends too early: in the data
// of the member called name, or in a header.
func (s *scanner) truncated(name string, missing int64) error {
	return &Error{Op: "index", Name: name, Offset: s.w.size, Missing: missing, Err: ErrTruncated}
}

// trailer looks at what follows a block of zeros at pos.
func (s *scanner) trailer(pos int64) error {
	b := s.w.block(pos + blockSize)
	switch {
	case s.w.err != nil:
		return &Error{Op: "index", Offset: pos + blockSize, Err: s.w.err}
	case len(b) == 0:
		return nil
	case len(b) < blockSize:
		return s.truncated("", blockSize-int64(len(b)))
	case !isZero(b):
		return &Error{Op: "index", Offset: pos, Err: ErrFormat, Cause: errors.New("one block of zeros")}
	}
	s.ix.end.mark = true
	// Archives are filled up with zeros to the record size, 10 KiB unless tar
	// was told otherwise. Anything else there was appended, and no tar sees it.
	for p := pos + 2*blockSize; p < pos+10<<10; p += blockSize {
		b := s.w.block(p)
		if len(b) < blockSize {
			break
		}
		if !isZero(b) {
			s.ix.end.more = true
			break
		}
	}
	return nil
}

// member indexes the member whose header is at pos, and b, and returns where
// the next one is. io.EOF says that there is no further one.
func (s *scanner) member(pos int64, b *[blockSize]byte) (next int64, err error) {
	if s.ix.count >= maxMembers {
		return 0, &Error{Op: "index", Offset: pos, Err: errors.New("too many members")}
	}
	h, ok := parsePlain(b)
	blocks := int64(1)
	if !ok && b[offType] == tar.TypeXHeader {
		h, ok = s.pax(pos, b)
		blocks = 3
	}
	if !ok {
		return s.extended(pos)
	}
	m := member{header: pos, size: h.size, mtime: h.mtime, traits: traits{nsec: h.nsec, data: uint32(blocks), mode: h.mode, typ: h.typ}}
	s.grow()
	m.name = uint32(len(s.names))
	if len(h.prefix) > 0 {
		s.names = append(append(s.names, h.prefix...), '/')
	}
	s.names = append(s.names, h.name...)
	var link string
	if h.typ == tar.TypeLink {
		link = string(h.link)
	}
	stored := h.size
	if headerOnly(h.typ) {
		stored = 0
	}
	if h.typ == 0 {
		m.typ = tar.TypeReg
		if slash := h.name; len(slash) > 0 && slash[len(slash)-1] == '/' || len(slash) == 0 && len(h.prefix) > 0 {
			m.typ, stored = tar.TypeDir, 0
		}
	}
	return s.add(m, link, pos+blocks*blockSize, stored)
}

// extended indexes a member with what archive/tar makes of its header and of
// the extended headers before it.
func (s *scanner) extended(pos int64) (next int64, err error) {
	r := &reader{w: &s.w, pos: pos}
	hdr, err := tar.NewReader(r).Next()
	switch {
	case hdr != nil: // tar.ErrInsecurePath comes with a header
	case s.w.err != nil:
		return 0, &Error{Op: "index", Offset: r.pos, Err: s.w.err}
	case r.eof:
		return 0, s.truncated("", 0)
	case errors.Is(err, io.EOF):
		// An extended header, and then the end mark instead of its member.
		if err := s.trailer(r.pos - 2*blockSize); err != nil {
			return 0, err
		}
		return 0, io.EOF
	default:
		if pos == 0 {
			if err := compressed(s.w.block(0), s.ix.file); err != nil {
				return 0, err
			}
		}
		e := &Error{Op: "index", Offset: pos, Err: ErrFormat}
		if !errors.Is(err, tar.ErrHeader) {
			e.Cause = err
		}
		return 0, e
	}
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		at, size, err := s.final(pos)
		if err != nil {
			return 0, err
		}
		return s.next(nil, at+blockSize, size)
	}
	data, stored := r.pos, hdr.Size
	if headerOnly(hdr.Typeflag) {
		stored = 0
	}
	var flags byte
	if isSparse(hdr) {
		flags = flagSparse
		if data, stored, err = s.sparse(pos, r.pos, hdr); err != nil {
			return 0, err
		}
	}
	blocks := (r.pos - pos) / blockSize
	if blocks > 1<<32-1 || stored < 0 {
		return 0, &Error{Op: "index", Offset: pos, Err: ErrFormat}
	}
	s.grow()
	m := member{
		header: pos, size: hdr.Size, mtime: hdr.ModTime.Unix(), name: uint32(len(s.names)),
		traits: traits{
			nsec: uint32(hdr.ModTime.Nanosecond()), data: uint32(blocks),
			mode: uint16(hdr.Mode & 0o7777), typ: hdr.Typeflag, flags: flags,
		},
	}
	s.names = append(s.names, hdr.Name...)
	return s.add(m, hdr.Linkname, data, stored)
}

// sparse returns which bytes of the archive a sparse member occupies, behind
// its header: size bytes, of which a part may be the map.
func (s *scanner) sparse(pos, data int64, hdr *tar.Header) (at, size int64, err error) {
	at, size, err = s.final(pos)
	if err != nil {
		return 0, 0, err
	}
	if v := hdr.PAXRecords[paxSize]; v != "" {
		if size, err = strconv.ParseInt(v, 10, 64); err != nil {
			return 0, 0, &Error{Op: "index", Offset: pos, Err: ErrFormat, Cause: err}
		}
	}
	if hdr.Typeflag == tar.TypeGNUSparse {
		return data, size, nil // the map is not counted as data
	}
	return at + blockSize, size, nil
}

// final skips the extended headers from pos on, which archive/tar has
// accepted, and returns where the member's own header is, and the size in it.
func (s *scanner) final(pos int64) (at, size int64, err error) {
	for {
		b := s.w.block(pos)
		if len(b) < blockSize {
			return 0, 0, &Error{Op: "index", Offset: pos, Err: ErrFormat, Cause: s.w.err}
		}
		size, ok := numeric(b[offSize : offSize+12])
		if !ok || size < 0 {
			size = 0 // of a member without data, or archive/tar had refused it
		}
		switch b[offType] {
		case tar.TypeXHeader, tar.TypeGNULongName, tar.TypeGNULongLink:
			if size > s.w.size-pos {
				return 0, 0, &Error{Op: "index", Offset: pos, Err: ErrFormat}
			}
			pos += blockSize + padded(size)
		default:
			return pos, size, nil
		}
	}
}

// grow makes room for one more member, in a new chunk if the last is full.
func (s *scanner) grow() {
	ix := s.ix
	if n := len(ix.chunks); n > 0 && len(ix.chunks[n-1].members) < chunkLen {
		return
	}
	s.seal()
	var members []kept
	if len(ix.chunks) > 0 {
		members = make([]kept, 0, chunkLen)
	}
	ix.chunks = append(ix.chunks, chunk{members: members})
}

// seal stores the names of the last chunk.
func (s *scanner) seal() {
	n := len(s.ix.chunks)
	if n == 0 {
		return
	}
	s.ix.chunks[n-1].names = string(s.names)
	s.names = s.names[:0]
}

// add stores m, whose data are the stored bytes at data, and returns where the
// next header is.
func (s *scanner) add(m member, link string, data, stored int64) (next int64, err error) {
	ix := s.ix
	i := ix.count
	name := s.names[m.name:]
	if bytes.HasSuffix(name, []byte("/")) && m.size == 0 && m.typ == tar.TypeReg || m.typ == typeDumpDir {
		m.flags |= flagDir
	}
	c := &ix.chunks[len(ix.chunks)-1]
	c.members = append(c.members, ix.keep(m))
	ix.count++
	if m.typ == tar.TypeLink {
		path, _ := cleanPath(link)
		ix.links = append(ix.links, hardLink{member: uint32(i), target: noTarget})
		s.targets = append(s.targets, path)
	}
	next, err = s.next(name, data, stored)
	if err != nil && err != io.EOF {
		ix.cut, ix.missing = i, stored-max(0, s.w.size-data)
	}
	return next, err
}

// next returns the offset after the stored bytes at data, filled up to a
// block. name is that of the member they belong to.
func (s *scanner) next(name []byte, data, stored int64) (int64, error) {
	left := s.w.size - data
	switch {
	case stored > left:
		return 0, s.truncated(string(name), stored-max(0, left))
	case left-stored < padded(stored)-stored:
		s.ix.end.off = s.w.size
		return 0, io.EOF // only the filling is cut off
	}
	return data + padded(stored), nil
}

const typeDumpDir = 'D' // GNU tar: a directory, with the names of its files as data
