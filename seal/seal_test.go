package seal_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/seal"
)

// sealed writes the sample chain and seals it.
func sealed(t *testing.T) (path string, text []byte) {
	t.Helper()
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path, sealOf(t, path)
}

// sealOf returns the seal of a chain.
func sealOf(t *testing.T, path string) (text []byte) {
	t.Helper()
	c, err := chain.Open(path, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := seal.Make(t.Context(), c, seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func parse(t *testing.T, text []byte) *seal.Seal {
	t.Helper()
	s, err := seal.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestHashes compares with hashes made the plain way, and looks that every byte
// of each tar is in one of them.
func TestHashes(t *testing.T) {
	path, text := sealed(t)
	if _, again := sealed(t); !bytes.Equal(text, again) {
		t.Error("two seals of the same bytes differ")
	}
	s := parse(t, text)
	if len(s.Layers) != 4 || s.Snapshot != "snap" {
		t.Fatalf("%d layers of %q", len(s.Layers), s.Snapshot)
	}
	hex256 := func(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
	for _, l := range s.Layers {
		tar, err := os.ReadFile(seal.LayerPath(path, l.Name))
		if err != nil {
			t.Fatal(err)
		}
		var frame []byte
		at := int64(0)
		for _, m := range l.Members {
			frame = append(frame, tar[at:m.Offset]...)
			at = m.Offset + m.Size
			if got := hex256(tar[m.Offset:at]); got != m.SHA256 {
				t.Errorf("%s %s: %s, want %s", l.Name, m.Path, m.SHA256, got)
			}
		}
		frame = append(frame, tar[at:]...)
		if got := hex256(frame); got != l.Frame || len(l.Members) < 3 {
			t.Errorf("%s: frame %s, want %s; %d members", l.Name, l.Frame, got, len(l.Members))
		}
	}
}

// TestRot changes one byte at a time, anywhere, and wants it found in its place.
func TestRot(t *testing.T) {
	path, text := sealed(t)
	s := parse(t, text)
	if rot, err := s.Compare(t.Context(), path, seal.Options{}); err != nil || len(rot) > 0 {
		t.Fatalf("nothing has changed: %v, %v", rot, err)
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	held := 0
	for range 60 {
		l := s.Layers[r.IntN(len(s.Layers))]
		off := r.Int64N(l.Size)
		file := seal.LayerPath(path, l.Name)
		flip := func() {
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var b [1]byte
			if _, err := f.ReadAt(b[:], off); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 1
			if _, err := f.WriteAt(b[:], off); err != nil {
				t.Fatal(err)
			}
		}
		flip()
		rot, err := s.Compare(t.Context(), path, seal.Options{})
		flip()
		if err != nil || len(rot) != 1 || rot[0].Layer != l.Name {
			t.Fatalf("seed %d: byte %d of layer %s: %+v, %v", seed, off, l.Name, rot, err)
		}
		i := slices.IndexFunc(l.Members, func(m seal.Member) bool { return off >= m.Offset && off < m.Offset+m.Size })
		switch got := rot[0]; {
		case i < 0 && got.Member != nil:
			t.Errorf("seed %d: byte %d is of the frame, not of %s", seed, off, got.Member.Path)
		case i < 0:
		case got.Member == nil || got.Member.Path != l.Members[i].Path || got.Pages != 1 || got.Page != (off-l.Members[i].Offset)/l.Members[i].Page:
			t.Errorf("seed %d: byte %d is in page %d of %s: %+v", seed, off, (off-l.Members[i].Offset)/4096, l.Members[i].Path, got)
		default:
			held += len(got.Held)
		}
	}
	if held == 0 {
		t.Errorf("seed %d: no page held anything", seed)
	}
}

// TestGone is about layers that are not there, or have another size.
func TestGone(t *testing.T) {
	path, text := sealed(t)
	s := parse(t, text)
	if err := os.Remove(path + ".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path+".0", 1000); err != nil {
		t.Fatal(err)
	}
	rot, err := s.Compare(t.Context(), path, seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	missing, shorter := false, false
	for _, r := range rot {
		missing = missing || r.Layer == "1" && r.Missing
		shorter = shorter || r.Layer == "0" && r.Member == nil && r.Size == 1000
		if r.Layer != "0" && r.Layer != "1" {
			t.Errorf("rot in layer %s", r.Layer)
		}
	}
	if !missing || !shorter {
		t.Errorf("%+v", rot)
	}
}

// TestRead refuses what is no whole seal.
func TestRead(t *testing.T) {
	_, text := sealed(t)
	lines := strings.SplitAfter(string(text), "\n")
	for name, bad := range map[string]string{
		"empty":        "",
		"no JSON":      "seal\n",
		"other JSON":   "{}\n",
		"version":      strings.Replace(string(text), `"snapfs_seal":1`, `"snapfs_seal":2`, 1),
		"cut":          strings.Join(lines[:len(lines)-2], ""),
		"line gone":    strings.Join(append(slices.Clone(lines[:3]), lines[4:]...), ""),
		"changed":      strings.Replace(string(text), `"size":`, `"size":1`, 1),
		"more":         string(text) + "{}\n",
		"outside":      lines[0] + `{"layer":"../x","file":"x","size":1,"members":0,"frame":""}` + "\n",
		"lone member":  lines[0] + lines[2],
		"huge member":  lines[0] + lines[1] + `{"layer":"full","path":"x","offset":9000000000000000000,"size":9000000000000000000,"page":4096,"group":1}` + "\n",
		"few CRCs":     lines[0] + lines[1] + `{"layer":"full","path":"x","offset":512,"size":5000,"page":4096,"group":1,"crcs":"AAAA"}` + "\n",
		"page of zero": lines[0] + lines[1] + `{"layer":"full","path":"x","offset":512,"size":5000,"page":0,"group":0}` + "\n",
	} {
		if _, err := seal.Read(strings.NewReader(bad)); !errors.Is(err, seal.ErrSeal) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestCanceled(t *testing.T) {
	path, text := sealed(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := parse(t, text)
	_, err := s.Compare(ctx, path, seal.Options{Progress: func(done, total int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestHugeMember is about a size for which four times the number of groups is no
// number any more: whoever believed it would compare groups for years.
func TestHugeMember(t *testing.T) {
	var b bytes.Buffer
	huge := seal.Member{Layer: "full", Path: "meta", Size: 1 << 62, Page: 1, Group: 1}
	s := seal.Seal{Snapshot: "snap", Layers: []seal.Layer{{Name: "full", Size: 1 << 62, Count: 1, Members: []seal.Member{huge}}}}
	if _, err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Read(&b); !errors.Is(err, seal.ErrSeal) {
		t.Errorf("error %v", err)
	}
}

// TestMakeChanged: a tar that is written to while it is sealed gives no seal. One
// that is replaced is sealed as it was.
func TestMakeChanged(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"cut":     func(path string) error { return os.Truncate(path, 1000) },
		"touched": func(path string) error { return os.Chtimes(path, time.Time{}, sample.Start) },
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", make([]byte, 1024), 0o600), os.Rename(path+".new", path))
		},
	} {
		path, text := sealed(t)
		c, err := chain.Open(path, chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		last := c.Layers()[len(c.Layers())-1].Path
		var once sync.Once
		s, err := seal.Make(t.Context(), c, seal.Options{Workers: 1, Progress: func(int64, int64) {
			once.Do(func() {
				if err := change(last); err != nil {
					t.Error(err)
				}
			})
		}})
		switch name {
		case "replaced":
			var b bytes.Buffer
			if _, werr := s.Write(&b); err != nil || werr != nil || !bytes.Equal(b.Bytes(), text) {
				t.Errorf("%s: another seal, %v, %v", name, err, werr)
			}
		default:
			if !errors.Is(err, chain.ErrChanged) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestCompareOdd: what cannot be looked at is not said to be gone, and nobody
// waits for a pipe.
func TestCompareOdd(t *testing.T) {
	path, text := sealed(t)
	s := parse(t, text)
	for name, put := range map[string]func(path string) error{
		"link round": func(path string) error { return os.Symlink(path, path) },
		"pipe":       func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory":  func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		if err := errors.Join(os.Remove(path+".1"), put(path+".1")); err != nil {
			t.Fatal(err)
		}
		if rot, err := s.Compare(t.Context(), path, seal.Options{}); err == nil || !strings.Contains(err.Error(), path+".1") {
			t.Errorf("%s: %+v, %v", name, rot, err)
		}
	}
}

// TestLongName seals a member with the longest name that a tar can give it, each
// byte of which is escaped, and reads the seal.
func TestLongName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	long := strings.Repeat(strings.Repeat("\x01", 80)+"/", 1<<20/81-1) + "x"
	if err := w.WriteHeader(&tar.Header{Name: long, Size: 1, Mode: 0o600, Format: tar.FormatPAX}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again := parse(t, sealOf(t, path))
	if m := again.Layers[0].Members; len(m) != 1 || len(m[0].Path) < 2<<20 {
		t.Errorf("%d members", len(m))
	}
}
