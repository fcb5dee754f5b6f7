package tarindex

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzBuild holds indexes of any bytes against archive/tar. With fix set, the
// checksums of what look like headers are made right, for else nothing that is
// changed in one would be seen.
func FuzzBuild(f *testing.F) {
	for _, data := range goTestdata(f, "*.tar") {
		if len(data) <= 8<<10 {
			f.Add(data, false)
			f.Add(data, true)
		}
	}
	f.Add(write(f, memb{name: "manifest", data: "{}"}, memb{name: "../default/1", data: strings.Repeat("x", 513)}, memb{name: "l", data: "manifest", typ: tar.TypeLink}), true)
	f.Add(blocks(pax("path", "é", "mtime", "1.5"), header("", 0, 3, nil), "abc", endBlocks), true)
	f.Add(blocks(pax("path", "é", "size", "3", "linkpath", "x", "atime", "1"), header("", 0, 3, nil), "abc", pax("uid", "1"), header("l", '1', 0, nil), endBlocks), true)
	f.Add(blocks(header("v7", 0, 3, func(b []byte) { clear(b[offMagic:]) }), "abc", header("d/", 0, 0, nil)), true)
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		if len(data) > 64<<10 {
			return
		}
		if fix {
			data = bytes.Clone(data)
			for off := 0; off+blockSize <= len(data); off += blockSize {
				if b := data[off:]; off == 0 || bytes.HasPrefix(b[offMagic:], []byte("ustar")) {
					resum(b)
				}
			}
		}
		ix := compare(t, data)
		if ix == nil {
			return
		}
		checkTree(t, ix)
	})
}

// checkTree holds the tree of an index against its members: the last of each
// path is there, and nothing else.
func checkTree(t *testing.T, ix *Index) {
	t.Helper()
	last := make(map[string]int)
	for i, e := range ix.All() {
		if e.Type != typeVolume && !e.Mode.IsDir() {
			last[e.Path] = i
		}
	}
	files := 0
	for p, ref := range ix.tree().All() {
		files++
		e := ix.Entry(int(ref))
		if i, ok := last[e.Path]; !ok || i != int(ref) {
			t.Fatalf("%q is member %d, want %d", p, ref, i)
		}
		if i, ok := ix.Lookup(p); !ok || i != int(ref) {
			t.Fatalf("Lookup(%q) = %d, %v, want %d", p, i, ok, ref)
		}
		fi, err := ix.Lstat(p)
		if err != nil || fi.Mode() != e.Mode || fi.Size() < 0 || fi.Size() != ix.FileInfo(int(ref)).Size() {
			t.Fatalf("Lstat(%q) = %v, %v; member %+v", p, fi, err, e)
		}
		if fi.Mode().Type() == fs.ModeSymlink {
			if _, err := ix.ReadLink(p); err != nil {
				t.Fatalf("ReadLink(%q): %v", p, err)
			}
			continue
		}
		f, err := ix.Open(p)
		if err != nil {
			continue
		}
		if _, err := io.CopyN(io.Discard, f, maxData); err == nil && fi.Size() < maxData {
			t.Fatalf("%q: more than its size of %d", p, fi.Size())
		}
		f.Close()
	}
	if files != len(last) {
		t.Fatalf("%d files, want %d", files, len(last))
	}
	if _, want := ix.build(); !slices.Equal(ix.findNotes(), want) {
		t.Fatalf("notes %v, those of the tree are %v", ix.findNotes(), want)
	}
	for w := range ix.Warnings() {
		if w.Text == "" || w.Kind.String() == "" {
			t.Fatalf("empty warning %+v", w)
		}
	}
}

// sparseArchive makes an archive of one sparse member and one after it. kind
// says where the map goes; stored is the size of its data in the header.
func sparseArchive(kind uint8, size int64, table, data string, stored int64) []byte {
	after := header("after", '0', 5, nil)
	switch kind % 4 {
	case 0: // old GNU; the table is the header's, then that of more blocks
		var more []byte
		h := header("old", tar.TypeGNUSparse, stored, func(b []byte) {
			clear(b[offPrefix:])
			copy(b[offMagic:], "ustar  \x00")
			table = table[copy(b[offSparse:offSparse+97], table):]
			for i, v := 483+11, size; i >= 483; i, v = i-1, v>>8 {
				b[i] = byte(v)
			}
			b[483] |= 0x80
		})
		for len(table) > 0 && len(more) < 8*blockSize {
			b := make([]byte, blockSize)
			table = table[copy(b, table):]
			more = append(more, b...)
		}
		return blocks(h, more, data, after, "after", endBlocks)
	case 1: // PAX 0.1
		body := records("GNU.sparse.map", table, "GNU.sparse.numblocks", strconv.Itoa((strings.Count(table, ",")+1)/2),
			"GNU.sparse.size", strconv.FormatInt(size, 10), "GNU.sparse.name", "zero-one")
		return blocks(header("x", 'x', int64(len(body)), nil), body, header("f", '0', stored, nil), data, after, "after", endBlocks)
	case 2: // PAX 1.0; the map is in front of the data
		body := records("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", strconv.FormatInt(size, 10), "GNU.sparse.name", "one-zero")
		table := blocks(table)
		return blocks(header("x", 'x', int64(len(body)), nil), body, header("f", '0', stored+int64(len(table)), nil), append(table, data...), after, "after", endBlocks)
	default: // PAX 0.0
		kv := []string{"GNU.sparse.major", "0", "GNU.sparse.minor", "0", "GNU.sparse.size", strconv.FormatInt(size, 10)}
		n := 0
		for off := range strings.SplitSeq(table, ",") {
			kv = append(kv, [...]string{"GNU.sparse.offset", "GNU.sparse.numbytes"}[n%2], off)
			n++
		}
		body := records(append(kv, "GNU.sparse.numblocks", strconv.Itoa(n/2))...)
		return blocks(header("x", 'x', int64(len(body)), nil), body, header("zero-zero", '0', stored, nil), data, after, "after", endBlocks)
	}
}

// FuzzSparse holds sparse members with any map against archive/tar.
func FuzzSparse(f *testing.F) {
	f.Add(uint8(0), int64(4096), "00000000000\x0000000001000\x0000000003000\x0000000000005\x00", strings.Repeat("d", 517), int64(517))
	f.Add(uint8(0), int64(1<<20), strings.Repeat("00000000000\x0000000000000\x00", 4)+"\x01"+strings.Repeat("00000010000\x0000000000000\x00", 21), "", int64(0))
	f.Add(uint8(1), int64(4096), "0,5,100,10", "helloabcdefghij", int64(15))
	f.Add(uint8(1), int64(100), "0,50,40,10", strings.Repeat("x", 60), int64(60))
	f.Add(uint8(2), int64(4096), "2\n0\n5\n100\n10\n", "helloabcdefghij", int64(15))
	f.Add(uint8(2), int64(1<<40), "1\n1099511627775\n1\n", "x", int64(1))
	f.Add(uint8(2), int64(10), "1\n0\n20\n", strings.Repeat("x", 20), int64(20))
	f.Add(uint8(3), int64(4096), "0,5,100,10", "helloabcdefghij", int64(15))
	f.Add(uint8(3), int64(4096), "0,5,100", "helloabcdefghij", int64(15))
	f.Add(uint8(1), int64(4096), "0,5", "helloabcdefghij", int64(15)) // more data than the map has
	f.Add(uint8(1), int64(4096), "0,5,100,90", "helloabc", int64(8))  // less
	f.Add(uint8(2), int64(-1), "9223372036854775807\n", "", int64(0))
	f.Fuzz(func(t *testing.T, kind uint8, size int64, table, data string, stored int64) {
		if len(table) > 32<<10 || len(data) > 32<<10 || stored < 0 || stored > 1<<33-1 {
			return
		}
		archive := sparseArchive(kind, size, table, data, stored)
		if ix := compare(t, archive); ix != nil {
			checkTree(t, ix)
		}
	})
}
