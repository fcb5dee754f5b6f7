package doctor_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/doctor"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/seal"
)

// TestVerify finds what only reading every point, or a seal, can.
func TestVerify(t *testing.T) {
	sound := read(t, sampleChain(t))
	sealed := func(dir string) *seal.Seal {
		c, err := chain.Open(dir+"/snap", chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := seal.Make(t.Context(), c, seal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		name            string
		do              func(f files)
		plain, withSeal string // codes
		text            string
	}{
		{"nothing", func(f files) {}, "", "", ""},
		{"value", func(f files) { flipValue(f.data("snap", shard1), 8) }, "", "bit-rot", "of telemetry/default/1 changed since it was sealed: 58 points of cpu,host=alpha"},
		{"number of a field", func(f files) { flipField(f.data("snap", shard1), 8) }, "undecodable", "bit-rot", "1 part of points that cannot be decoded"},
		{"small bucket", func(f files) { d := f.data("snap", shard3); d[bytes.Index(d, []byte("1.280"))] ^= 1 }, "", "bit-rot", "4 points of deploy,app=web"},
		{"log", func(f files) {
			d := f.data("snap.2", shard4)
			d[bytes.Index(d, []byte("\x00\x00\x00\x0ecpu,host=alpha"))+24] ^= 1
		}, "", "bit-rot", "entries of the log"},
		{"padding", func(f files) { e := f.member("snap", "meta"); f.m["snap"][e.DataOffset+e.Size+9] ^= 1 }, "padding", "bit-rot padding", "headers, padding or the end mark"},
		{"header", func(f files) { f.m["snap.2"][f.member("snap.2", shard4).HeaderOffset+8] ^= 1 }, "bad-header", "bad-header bit-rot", ""},
		{"free page", func(f files) { d := f.data("snap", shard1); d[freePage(d)*4096+100] ^= 1 }, "", "bit-rot", ""},
		{"layer gone", func(f files) { delete(f.m, "snap.2") }, "", "seal-missing", "was sealed, and is not there"},
		{"layer new", func(f files) { f.m["snap.3"] = f.m["snap.2"] }, "", "", "newer than the seal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			sound.clone(t).write(dir)
			s := sealed(dir)
			f := sound.clone(t)
			c.do(f)
			dir = t.TempDir()
			f.write(dir)
			r := examine(t, dir+"/snap", doctor.Options{Depth: doctor.Points})
			if got := codes(r); got != c.plain {
				t.Errorf("codes %q, want %q\n%s", got, c.plain, lines(r))
			}
			all := lines(r)
			r = examine(t, dir+"/snap", doctor.Options{Depth: doctor.Signs, Seal: s})
			if got := codes(r); got != c.withSeal {
				t.Errorf("with the seal: codes %q, want %q\n%s", got, c.withSeal, lines(r))
			}
			if all += lines(r); !strings.Contains(all, c.text) {
				t.Errorf("nothing says %q:\n%s", c.text, all)
			}
		})
	}
}

// TestRotMeta: what is in no shard is not said to be points.
func TestRotMeta(t *testing.T) {
	path, err := sample.Candidate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := chain.Open(path, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := seal.Make(t.Context(), c, seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte(`"hash"`))] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r := examine(t, path, doctor.Options{Depth: doctor.Signs, Seal: s})
	if all := lines(r); !strings.Contains(all, "2 keys of Users") || strings.Contains(all, "points of") {
		t.Error(all)
	}
}

// TestChanged: a chain that is written to while it is examined is not said to be
// damaged.
func TestChanged(t *testing.T) {
	f := read(t, sampleChain(t))
	f.m["snap.1"] = f.m["snap.2"]
	delete(f.m, "snap.2") // so that there are lost shards
	dir := t.TempDir()
	f.write(dir)
	var once sync.Once
	r, err := doctor.Examine(t.Context(), dir+"/snap", doctor.Options{Depth: doctor.Points, Workers: 1, Progress: func(int64, int64) {
		once.Do(func() {
			for name := range f.m {
				if err := os.Chtimes(filepath.Join(dir, name), time.Time{}, sample.Start); err != nil {
					t.Error(err)
				}
			}
		})
	}})
	if !errors.Is(err, chain.ErrChanged) {
		t.Errorf("%+v, %v", r, err)
	}
}

// firstValue returns the first value of a leaf.
func firstValue(data []byte, n int) []byte {
	h := data[n*4096+16:]
	le := binary.LittleEndian
	return h[le.Uint32(h[4:])+le.Uint32(h[8:]):][:le.Uint32(h[12:])]
}

// flipValue changes a bit of a float in a page of points.
func flipValue(data []byte, n int) { firstValue(data, n)[5] ^= 1 }

// flipField makes a field in a page of points one that is not defined, and too
// long for its value.
func flipField(data []byte, n int) { firstValue(data, n)[9] = 1 }

// freePage returns a page that the list of free pages has.
func freePage(data []byte) int {
	le := binary.LittleEndian
	m := data[16:]
	if n := data[4096+16:]; le.Uint64(n[48:]) > le.Uint64(m[48:]) {
		m = n
	}
	return int(le.Uint64(data[le.Uint64(m[32:])*4096+16:]))
}
