package tarindex

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

var mtime = time.Unix(1446433445, 0)

// memb is a member of a test archive. The zero type is a regular file.
type memb struct {
	name string
	data string // or target of a link
	typ  byte
	mode int64
	size int64 // claimed, if there is no data
	pax  map[string]string
	hdr  func(*tar.Header) // last changes
}

// write makes an archive with an end mark of members.
func write(t testing.TB, members ...memb) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, m := range members {
		hdr := &tar.Header{Name: m.name, Typeflag: m.typ, Mode: m.mode, ModTime: mtime, Size: m.size, PAXRecords: m.pax}
		if hdr.Mode == 0 {
			hdr.Mode = 0o666
		}
		switch m.typ {
		case tar.TypeLink, tar.TypeSymlink:
			hdr.Linkname = m.data
		case tar.TypeXGlobalHeader:
			hdr.Mode, hdr.ModTime = 0, time.Time{}
		case 0:
			hdr.Typeflag = tar.TypeReg
			hdr.Size = int64(len(m.data))
		default:
			if m.data != "" {
				hdr.Size = int64(len(m.data))
			}
		}
		if m.hdr != nil {
			m.hdr(hdr)
		}
		if err := tw.WriteHeader(hdr); err != nil {
			t.Fatalf("header of %q: %v", m.name, err)
		}
		if !headerOnly(hdr.Typeflag) {
			if _, err := io.WriteString(tw, m.data); err != nil {
				t.Fatalf("data of %q: %v", m.name, err)
			}
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// header makes one header block, of what archive/tar would not write. Fields
// are those of ustar; edit, unless nil, changes the block before its checksum
// is made.
func header(name string, typ byte, size int64, edit func(b []byte)) []byte {
	b := make([]byte, blockSize)
	copy(b, name)
	copy(b[offMode:], "0000666\x000000000\x000000000\x00")
	copy(b[offSize:], fmt.Sprintf("%011o\x00%011o\x00", size, mtime.Unix()))
	b[offType] = typ
	copy(b[offMagic:], "ustar\x0000")
	copy(b[offMajor:], "0000000\x000000000\x00")
	if edit != nil {
		edit(b)
	}
	resum(b)
	return b
}

// resum makes the checksum of a header right.
func resum(b []byte) {
	copy(b[offSum:], "        ")
	var sum int64
	for _, c := range b[:blockSize] {
		sum += int64(c)
	}
	copy(b[offSum:], fmt.Sprintf("%06o\x00 ", sum))
}

// blocks joins pieces, each filled up to whole blocks.
func blocks(pieces ...any) []byte {
	var out []byte
	for _, p := range pieces {
		switch p := p.(type) {
		case []byte:
			out = append(out, p...)
		case string:
			out = append(out, p...)
		}
		out = append(out, make([]byte, padded(int64(len(out)))-int64(len(out)))...)
	}
	return out
}

// records makes the body of a PAX header.
func records(kv ...string) string {
	var b strings.Builder
	for i := 0; i < len(kv); i += 2 {
		rest := " " + kv[i] + "=" + kv[i+1] + "\n"
		n := len(rest) + 1
		for len(fmt.Sprint(n))+len(rest) != n {
			n = len(fmt.Sprint(n)) + len(rest)
		}
		fmt.Fprintf(&b, "%d%s", n, rest)
	}
	return b.String()
}

// pax makes a PAX header block and its body.
func pax(kv ...string) []byte {
	body := records(kv...)
	return blocks(header("PaxHeaders.0/x", tar.TypeXHeader, int64(len(body)), nil), body)
}

var endBlocks = make([]byte, 2*blockSize)

// index builds an index of data that must be sound, and holds it against
// archive/tar.
func index(t testing.TB, data []byte) *Index {
	t.Helper()
	ix, err := Build(bytes.NewReader(data), int64(len(data)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if t, ok := t.(*testing.T); ok {
		compare(t, data)
	}
	return ix
}

// readMember reads all of member i.
func readMember(t testing.TB, ix *Index, i int) string {
	t.Helper()
	r, err := ix.Content(i)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(io.NewSectionReader(r, 0, ix.FileInfo(i).Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func warnings(ix *Index) []string {
	var out []string
	for w := range ix.Warnings() {
		out = append(out, fmt.Sprintf("%s %q", w.Kind, w.Name))
	}
	return out
}

func asError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *Error", err)
	}
	return e
}
