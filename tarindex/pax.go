package tarindex

import (
	"archive/tar"
	"bytes"
)

// paxHeader is what a plain extended header says of the member behind it: one
// whose records archive/tar would take, and with nothing in them that an index
// does not know. The slices are into the body.
type paxHeader struct {
	path, link       []byte // nil if not told, as are the others
	size             int64
	mtime            paxTime
	hasSize, hasTime bool
}

type paxTime struct {
	sec  int64
	nsec uint32
}

// parsePAX parses the body of an extended header. ok is false if there is
// anything in it that is not utterly common; then archive/tar must decide.
func parsePAX(body []byte) (h paxHeader, ok bool) {
	for len(body) > 0 {
		key, value, rest, ok := paxRecord(body)
		if !ok || len(value) == 0 {
			return h, false
		}
		body = rest
		switch string(key) {
		case "path":
			h.path = value
		case "linkpath":
			h.link = value
		case "size":
			h.size, ok = decimal(value)
			h.hasSize = true
		case "mtime":
			h.mtime, ok = parsePAXTime(value)
			h.hasTime = true
		case "atime", "ctime":
			_, ok = parsePAXTime(value)
		case "uid", "gid":
			_, ok = decimal(value)
		case "uname", "gname":
		default:
			return h, false
		}
		if !ok || bytes.IndexByte(value, 0) >= 0 {
			return h, false
		}
	}
	return h, true
}

// paxRecord cuts the first record off a body: its length in decimal, a space,
// key, "=", value, newline.
func paxRecord(b []byte) (key, value, rest []byte, ok bool) {
	space := bytes.IndexByte(b[:min(len(b), 8)], ' ')
	if space <= 0 {
		return nil, nil, nil, false
	}
	n, ok := decimal(b[:space])
	if !ok || n <= int64(space)+1 || n > int64(len(b)) || b[n-1] != '\n' {
		return nil, nil, nil, false
	}
	record := b[space+1 : n-1]
	equals := bytes.IndexByte(record, '=')
	if equals < 0 {
		return nil, nil, nil, false
	}
	return record[:equals], record[equals+1:], b[n:], true
}

// decimal parses up to 18 decimal digits, and nothing else.
func decimal(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// parsePAXTime parses seconds since 1970 with up to nine digits after the
// point.
func parsePAXTime(b []byte) (t paxTime, ok bool) {
	whole, frac, point := bytes.Cut(b, []byte{'.'})
	if t.sec, ok = decimal(whole); !ok || !point {
		return t, ok
	}
	nsec, ok := decimal(frac)
	if !ok || len(frac) > 9 {
		return t, false
	}
	for range 9 - len(frac) {
		nsec *= 10
	}
	t.nsec = uint32(nsec)
	return t, true
}

// pax reads the plain extended header at pos, which is b, and the header behind
// it. ok is false if one of them is not plain, or not all there.
func (s *scanner) pax(pos int64, b *[blockSize]byte) (h plain, ok bool) {
	x, ok := parseHeader(b)
	if !ok || x.size == 0 || x.size > blockSize {
		return h, false
	}
	// The next block takes the place of this one.
	if copy(s.body[:], s.w.block(pos+blockSize)) < blockSize {
		return h, false
	}
	p, ok := parsePAX(s.body[:x.size])
	if !ok {
		return h, false
	}
	final := s.w.block(pos + 2*blockSize)
	if len(final) < blockSize {
		return h, false
	}
	if h, ok = parsePlain((*[blockSize]byte)(final)); !ok {
		return h, false
	}
	if p.path != nil {
		h.prefix, h.name = nil, p.path
	}
	if p.link != nil && h.typ == tar.TypeLink {
		h.link = p.link
	}
	if p.hasSize {
		h.size = p.size
	}
	if p.hasTime {
		h.mtime, h.nsec = p.mtime.sec, p.mtime.nsec
	}
	return h, true
}
