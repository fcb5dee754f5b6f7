package tarindex

import (
	"archive/tar"
	"strconv"
	"strings"
	"testing"
)

// TestPAX has extended headers that the short path reads, and others that it
// must leave to archive/tar; index compares what comes out.
func TestPAX(t *testing.T) {
	long := strings.Repeat("long/", 60) + "é"
	for _, tt := range []struct {
		name    string
		records []string
		plain   bool // for the short path
		want    string
	}{
		{"a path", []string{"path", "db/é/1"}, true, "db/é/1"},
		{"all that pax writes", []string{"path", "p", "mtime", "1446433445.123456789", "atime", "1.5", "ctime", "2", "uid", "3000000", "gid", "4", "uname", "ü", "gname", "g"}, true, "p"},
		{"a long path", []string{"path", long}, true, long},
		{"more than a block", []string{"path", strings.Repeat("l/", 300) + "n"}, false, strings.Repeat("l/", 300) + "n"},
		{"a size", []string{"size", "4"}, true, "n"},
		{"twice", []string{"path", "a", "path", "b"}, true, "b"},
		{"emptied", []string{"path", "a", "path", ""}, false, "n"},
		{"a fraction too long", []string{"mtime", "1.12345678999"}, false, "n"},
		{"a point and nothing", []string{"mtime", "7."}, false, "n"},
		{"before 1970", []string{"mtime", "-1.5"}, false, "n"},
		{"an attribute", []string{"SCHILY.xattr.user.k", "v"}, false, "n"},
		{"a comment", []string{"comment", "what"}, false, "n"},
		{"a directory by its path", []string{"path", "d/"}, true, "d"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := records(tt.records...)
			h, ok := parsePAX([]byte(body))
			if got := ok && len(body) <= blockSize; got != tt.plain {
				t.Errorf("parsePAX = %+v, %v; plain is %v, want %v", h, ok, got, tt.plain)
			}
			for _, typ := range []byte{tar.TypeReg, 0, tar.TypeDir, tar.TypeLink, tar.TypeSymlink} {
				data, stored := "abcd", int64(4)
				if headerOnly(typ) || strings.HasSuffix(tt.want, "d") {
					data, stored = "", 0
				}
				if data == "" && tt.name == "a size" {
					continue
				}
				ix := index(t, blocks(pax(tt.records...), header("n", typ, stored, nil), data, header("after", '0', 4, nil), "next", endBlocks))
				if ix.Len() != 2 || ix.Entry(0).Path != tt.want || readMember(t, ix, 1) != "next" {
					t.Fatalf("type %q: %d members, %+v, want path %s", typ, ix.Len(), ix.Entry(0), tt.want)
				}
				checkTree(t, ix)
			}
		})
	}
}

// TestPAXLink makes hard links by the records of an extended header.
func TestPAXLink(t *testing.T) {
	ix := index(t, blocks(header("t", '0', 4, nil), "data", pax("linkpath", "t"), header("l", tar.TypeLink, 0, nil), endBlocks))
	if got := readMember(t, ix, 1); got != "data" {
		t.Errorf("the link reads %q", got)
	}
}

// TestOddPAX damages the body of an extended header, byte by byte, and cuts the
// archive off everywhere: what comes out is what archive/tar says.
func TestOddPAX(t *testing.T) {
	sound := blocks(pax("path", "db/é", "mtime", "1.25", "size", "4"), header("n", 0, 4, nil), "abcd", endBlocks)
	body := len(records("path", "db/é", "mtime", "1.25", "size", "4"))
	for at := blockSize; at < blockSize+body; at++ {
		for _, c := range []byte{0, ' ', '\n', '=', '-', '.', '0', '9', 'x'} {
			data := append([]byte{}, sound...)
			data[at] = c
			compare(t, data)
		}
	}
	for size := range len(sound) / 64 {
		compare(t, sound[:size*64])
	}
	for n := range body + 2 {
		data := append([]byte{}, sound...)
		copy(data[offSize:], "00000000000"[:11-len(strconv.FormatInt(int64(n), 8))]+strconv.FormatInt(int64(n), 8))
		resum(data[:blockSize])
		compare(t, data)
	}
}
