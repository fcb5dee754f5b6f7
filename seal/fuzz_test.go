package seal_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/snapfs/snapfs/seal"
)

const (
	head   = `{"snapfs_seal":1,"snapshot":"snap","hash":"sha256","groups":"crc32c"}` + "\n"
	layer  = `{"layer":"full","file":"snap","size":20480,"members":1,"frame":""}` + "\n"
	member = `{"layer":"full","path":"meta","offset":512,"size":12,"sha256":"","page":4096,"group":1,"crcs":"AAAAAA=="}` + "\n"
	large  = `{"layer":"full","path":"db/rp/1","offset":1024,"size":9000,"sha256":"","page":4096,"group":2,"crcs":"AAAAAAAAAAA="}` + "\n"
)

func FuzzRead(f *testing.F) {
	f.Add([]byte(head))
	f.Add([]byte(head + layer + member))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := seal.Read(bytes.NewReader(b))
		if (s == nil) == (err == nil) {
			t.Errorf("%v, %v", s, err)
		}
	})
}

// end returns the last line of a seal that has the given ones.
func end(lines []byte) []byte {
	t := seal.Totals{}
	for line := range bytes.Lines(lines) {
		var kind struct{ Frame, Path *string }
		if err := json.Unmarshal(line, &kind); err != nil {
			continue
		}
		if kind.Frame != nil {
			t.Layers++
		} else if kind.Path != nil {
			t.Members++
		}
	}
	sum := sha256.Sum256(lines)
	t.SHA256 = hex.EncodeToString(sum[:])
	b, err := json.Marshal(t)
	if err != nil {
		panic(err)
	}
	return b
}

// FuzzCompare compares a snapshot with whatever passes for a seal. What changed
// lies in what was sealed.
func FuzzCompare(f *testing.F) {
	path := filepath.Join(f.TempDir(), "snap")
	for _, p := range []string{path, path + ".0"} {
		if err := os.WriteFile(p, bytes.Repeat([]byte("0123456789abcdef"), 1<<10), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	f.Add([]byte(head))
	f.Add([]byte(head + layer + member + large + `{"layer":"0","file":"x","size":-1,"members":0,"frame":"00"}` + "\n" + `{"layer":"1","file":"","size":1,"members":0,"frame":""}` + "\n"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		s, err := seal.Read(bytes.NewReader(slices.Concat(lines, end(lines))))
		if err != nil {
			if !errors.Is(err, seal.ErrSeal) && !errors.Is(err, bufio.ErrTooLong) {
				t.Error(err)
			}
			return
		}
		rot, err := s.Compare(t.Context(), path, seal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		most := 0
		for _, l := range s.Layers {
			most++
			for _, m := range l.Members {
				most += max(1, len(m.CRCs)/4)
			}
		}
		if len(rot) > most {
			t.Errorf("%d changes of %d things", len(rot), most)
		}
		for _, r := range rot {
			if !slices.ContainsFunc(s.Layers, func(l seal.Layer) bool { return l.Name == r.Layer }) {
				t.Errorf("%+v: of no layer", r)
			}
			if m := r.Member; m != nil && (r.Page < 0 || r.Pages < 0 || (r.Page+r.Pages-1)*m.Page >= m.Size && r.Pages > 0) {
				t.Errorf("%+v: not in %+v", r, m)
			}
		}
		var again bytes.Buffer
		if _, err := s.Write(&again); err != nil {
			t.Error(err)
		} else if _, err := seal.Read(&again); err != nil {
			t.Errorf("written again: %v", err)
		}
	})
}
