package tarindex

import (
	"archive/tar"
	"bytes"
	"compress/bzip2"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// seen is what archive/tar says of one member.
type seen struct {
	hdr  *tar.Header
	data []byte // no more than maxData
	err  error  // of reading the data
}

// maxData bounds how much of one member tests read: sparse ones claim more
// than there is memory.
const maxData = 256 << 10

// sequential reads an archive as archive/tar does: from front to back. err is
// nil if it came to the end. PAX records for the whole archive, which are no
// members here, are left out.
func sequential(data []byte) (members []seen, err error) {
	tr := tar.NewReader(bytes.NewReader(data))
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			return members, nil
		}
		if hdr == nil {
			return members, err
		}
		if hdr.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		s := seen{hdr: hdr}
		s.data, s.err = io.ReadAll(io.LimitReader(tr, maxData))
		members = append(members, s)
		if s.err != nil {
			// The error sticks to the reader, although headers might follow.
			return members, s.err
		}
	}
}

// compare holds an index of data against archive/tar. It reports whether there
// was an index.
func compare(t *testing.T, data []byte) *Index {
	t.Helper()
	ix, err := Build(bytes.NewReader(data), int64(len(data)), Options{})
	want, wantErr := sequential(data)
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("Build: %v is no *Error", err)
	}
	if ix == nil {
		if err == nil {
			t.Fatalf("Build: neither index nor error")
		}
		if len(want) > 0 {
			t.Fatalf("Build: %v, but archive/tar finds %d members", err, len(want))
		}
		if wantErr == nil && len(data) > 0 && !errors.Is(err, ErrTruncated) {
			t.Fatalf("Build: %v, but archive/tar has no objection", err)
		}
		return nil
	}
	if ix.Len() < len(want) {
		t.Fatalf("%d members, archive/tar finds %d; Build: %v", ix.Len(), len(want), err)
	}
	sticky := len(want) > 0 && want[len(want)-1].err != nil
	if ix.Len() > len(want) && !sticky {
		t.Fatalf("%d members, archive/tar finds %d and %v; Build: %v", ix.Len(), len(want), wantErr, err)
	}
	switch {
	case sticky:
	case wantErr != nil && err == nil:
		t.Fatalf("Build accepts what archive/tar does not: %v", wantErr)
	case wantErr == nil && err != nil && !(errors.Is(err, ErrTruncated) && e.Offset == int64(len(data)) && e.Name == ""):
		// archive/tar takes an end behind an extended header for the end.
		t.Fatalf("Build: %v, but archive/tar has no objection", err)
	case errors.Is(wantErr, io.ErrUnexpectedEOF) != errors.Is(err, ErrTruncated) && wantErr != nil:
		if !errors.Is(err, ErrFormat) { // a map that ends before its numbers
			t.Fatalf("Build: %v, archive/tar: %v", err, wantErr)
		}
	}
	for i, w := range want {
		same(t, ix, i, w, sticky && i == len(want)-1 && errors.Is(w.err, io.ErrUnexpectedEOF))
	}
	return ix
}

// same compares member i with what archive/tar says of it.
func same(t *testing.T, ix *Index, i int, w seen, cut bool) {
	t.Helper()
	e := ix.Entry(i)
	if e.Name != w.hdr.Name || e.Size != w.hdr.Size || e.Type != w.hdr.Typeflag || !e.ModTime.Equal(w.hdr.ModTime) {
		t.Fatalf("member %d: %q, %d bytes, type %q, %v; archive/tar: %q, %d bytes, type %q, %v", i,
			e.Name, e.Size, e.Type, e.ModTime, w.hdr.Name, w.hdr.Size, w.hdr.Typeflag, w.hdr.ModTime)
	}
	if got, want := e.Mode&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky), w.hdr.FileInfo().Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky); got != want {
		t.Fatalf("member %d: mode %v, archive/tar: %v", i, got, want)
	}
	if !fs.ValidPath(e.Path) {
		t.Fatalf("member %d: path %q is not valid", i, e.Path)
	}
	hdr, err := ix.Header(i)
	if err != nil || hdr.Name != w.hdr.Name || hdr.Uname != w.hdr.Uname || hdr.Linkname != w.hdr.Linkname || len(hdr.PAXRecords) != len(w.hdr.PAXRecords) {
		t.Fatalf("Header(%d) = %+v, %v; archive/tar: %+v", i, hdr, err, w.hdr)
	}
	if headerOnly(e.Type) || e.Mode.IsDir() {
		if len(w.data) > 0 && headerOnly(e.Type) {
			t.Fatalf("member %d: type %q has data", i, e.Type)
		}
		if _, err := ix.Content(i); e.Type != tar.TypeLink && !errors.Is(err, ErrNoContent) {
			t.Fatalf("Content(%d) of type %q: %v", i, e.Type, err)
		}
		return
	}
	r, err := ix.Content(i)
	if err != nil {
		// A sparse member whose data is not what its map says fails at once,
		// that of archive/tar at the end.
		if w.err == nil && int64(len(w.data)) == e.Size {
			t.Fatalf("Content(%d): %v, but archive/tar reads it", i, err)
		}
		return
	}
	got, err := io.ReadAll(io.NewSectionReader(r, 0, min(e.Size, maxData)))
	if !bytes.Equal(got, w.data) {
		t.Fatalf("member %d, %q: %d bytes differ from the %d of archive/tar; errors %v, %v", i, e.Name, len(got), len(w.data), err, w.err)
	}
	if (err != nil) != (w.err != nil) {
		t.Fatalf("member %d, %q: read: %v; archive/tar: %v", i, e.Name, err, w.err)
	}
	if cut != errors.Is(err, ErrTruncated) || errors.Is(err, io.EOF) {
		t.Fatalf("member %d, %q: read: %v; archive/tar: %v", i, e.Name, err, w.err)
	}
	// Any piece is the same as in the whole.
	for _, p := range []struct{ off, n int }{{0, 1}, {len(got) / 3, len(got) / 2}, {len(got) - 1, 1}, {len(got) / 2, 0}} {
		if p.off < 0 || p.n == 0 || len(got) == 0 {
			continue
		}
		piece := make([]byte, p.n)
		if n, err := r.ReadAt(piece, int64(p.off)); n != p.n || err != nil || !bytes.Equal(piece, got[p.off:p.off+p.n]) {
			t.Fatalf("member %d: ReadAt(%d bytes, %d) = %d, %v", i, p.n, p.off, n, err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 1), e.Size); n != 0 || err != io.EOF {
		t.Fatalf("member %d: ReadAt at the end = %d, %v", i, n, err)
	}
}

// goTestdata returns the archives that archive/tar is tested with and that
// match pattern, unpacked. It skips the test if the sources of Go are not
// installed.
func goTestdata(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("go env GOROOT: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(root)), "src", "archive", "tar", "testdata")
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Skipf("no archives in %s", dir)
	}
	out := make(map[string][]byte)
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = f
		switch filepath.Ext(file) {
		case ".bz2":
			r = bzip2.NewReader(f)
		case ".base64":
			r = base64.NewDecoder(base64.StdEncoding, f)
		}
		data, err := io.ReadAll(r)
		f.Close()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[filepath.Base(file)] = data
	}
	return out
}

func TestConformance(t *testing.T) {
	for name, data := range goTestdata(t, "*.tar*") {
		t.Run(name, func(t *testing.T) {
			ix := compare(t, data)
			if ix == nil {
				return
			}
			for w := range ix.Warnings() {
				t.Log(w.Kind, w.Offset, w.Text)
			}
		})
	}
}
