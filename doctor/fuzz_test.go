package doctor_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/doctor"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

// names of the layers that the fuzzers write.
var layerNames = []string{"snap", "snap.0", "snap.1", "snap.2", "snap.3", "snap.1.pending"}

// fuzzChain returns the layers of a small chain with a shard of b1, with a log,
// and one of bz1, of which one point has a field that is not defined.
func fuzzChain(f *testing.F) [][]byte {
	at := sample.Start
	point := func(series string, i int, fields map[string]any) sample.Point {
		return sample.Point{Series: series, Time: at.Add(time.Duration(i) * time.Minute), Fields: fields}
	}
	a := []sample.Point{point("cpu,host=a", 1, map[string]any{"load": 1.5, "up": true}), point("cpu,host=a", 2, map[string]any{"load": 2.5}), point("log", 3, map[string]any{"text": "ä", "n": int64(-1)})}
	shard := func(s sample.Shard) []byte {
		b, err := s.Bytes(f.TempDir())
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	meta := sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{{Name: "rp", GroupDuration: time.Hour, Groups: []sample.Group{
		{ID: 1, Start: at.Add(-time.Hour), End: at}, {ID: 2, Start: at, End: at.Add(time.Hour)},
	}}}}}}.Bytes()
	later := at.Add(time.Hour)
	var out [][]byte
	for _, l := range []sample.Layer{
		{Time: at, Files: []sample.File{{Name: "meta", Data: meta, Modified: at}, {Name: "db/rp/1", Data: shard(sample.Shard{Flushed: a, WAL: a[1:]}), Modified: at}}},
		{Time: later, Files: []sample.File{{Name: "meta", Data: meta, Modified: later}, {Name: "db/rp/2", Data: shard(sample.Shard{Flushed: a, Compressed: true, Late: []string{"up"}}), Modified: at}}},
	} {
		var b bytes.Buffer
		if _, err := l.WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		out = append(out, b.Bytes())
	}
	return out
}

// damage returns the layers with the changes that edits ask for, in runs of 6
// bytes: what, in which layer, where, and a value. Sums are made right after it,
// unless the first byte says otherwise, since nothing gets past them else.
func damage(sound [][]byte, edits []byte) [][]byte {
	const block, page = 512, 4096
	layers := make([][]byte, len(layerNames))
	for i, b := range sound {
		layers[i] = bytes.Clone(b)
	}
	mode := byte(0)
	if len(edits) > 0 {
		mode, edits = edits[0], edits[1:]
	}
	for ; len(edits) >= 6; edits = edits[6:] {
		op, v := edits[0], edits[5]
		n := int(edits[1]) % len(layers)
		to := int(v) % len(layers)
		b := layers[n]
		if len(b) == 0 && op%16 < 9 {
			continue
		}
		at := int(binary.LittleEndian.Uint32(edits[1:])>>8) % max(len(b), 1)
		start := at / block * block
		switch op % 16 {
		case 0:
			b[at] = v
		case 1:
			b[at] ^= 1 << (v & 7)
		case 2: // a number as Bolt has them
			if at &^= 7; at+8 <= len(b) {
				binary.LittleEndian.PutUint64(b[at:], uint64(v))
			}
		case 3:
			layers[n] = b[:at]
		case 4:
			clear(b[start:min(start+int(v)*block, len(b))])
		case 5: // blocks again
			layers[n] = append(bytes.Clone(b[:min(start+int(v)*block, len(b))]), b[start:]...)
		case 6: // blocks less
			layers[n] = append(bytes.Clone(b[:start]), b[min(start+int(v)*block, len(b)):]...)
		case 7: // a page over another
			from := int(v) * page % len(b)
			copy(b[start:], bytes.Clone(b[from:min(from+page, len(b))]))
		case 8: // in the manifest, which comes first
			b[min(block+at%block, len(b)-1)] = v
		case 9, 10:
			layers[n], layers[to] = layers[to], layers[n]
		case 11:
			layers[to] = bytes.Clone(b)
		case 12:
			layers[n] = nil
		case 13:
			layers[n] = append(bytes.Clone(b), bytes.Repeat([]byte{v}, at%4096)...)
		case 14:
			layers[n] = []byte{}
		case 15:
			layers[n] = append(bytes.Clone(b), layers[to]...)
		}
		total := 0
		for _, b := range layers {
			total += len(b)
		}
		if total > 4<<20 {
			break
		}
	}
	for _, b := range layers {
		if mode&1 == 0 {
			sumHeaders(b)
		}
		if mode&2 == 0 {
			sumMetas(b)
		}
	}
	return layers
}

// sumHeaders makes the sums of all headers of a tar right.
func sumHeaders(b []byte) {
	for ; len(b) >= 512; b = b[512:] {
		if string(b[257:262]) != "ustar" {
			continue
		}
		copy(b[148:156], "        ")
		sum := 0
		for _, c := range b[:512] {
			sum += int(c)
		}
		copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	}
}

// sumMetas makes the sums of all metas of Bolt files right.
func sumMetas(b []byte) {
	for ; len(b) >= 512; b = b[512:] {
		if m := b[16:80]; binary.LittleEndian.Uint32(m) == 0xED0CDAED {
			h := fnv.New64a()
			h.Write(m[:56])
			binary.LittleEndian.PutUint64(m[56:], h.Sum64())
		}
	}
}

// FuzzDamage wants of any damage to a chain that its reports are well-formed.
func FuzzDamage(f *testing.F) {
	sound := fuzzChain(f)
	for _, edits := range []string{
		"", "\x00\x03\x00\x00\x06\x00\x00", "\x00\x09\x00\x00\x00\x00\x01", "\x00\x0b\x01\x00\x00\x00\x03", "\x00\x0c\x00\x00\x00\x00\x00",
		"\x00\x00\x01\x00\x30\x00\x07\x02\x00\x00\x20\x00\xff", "\x01\x01\x00\x05\x00\x00\x01", "\x00\x08\x00\x20\x00\x00a", "\x00\x03\x00\x14\x00\x00\x00\x08\x00\xff\x00\x00a", "\x00\x05\x00\x00\x04\x00\x09",
		"\x00\x04\x01\x00\x18\x00\x08", "\x00\x07\x00\x00\x40\x00\x02", "\x00\x0f\x00\x00\x00\x00\x01\x0e\x02\x00\x00\x00\x00\x0d\x05\x00\x01\x00\x00",
	} {
		f.Add([]byte(edits))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, edits []byte) { examineAny(t, dir, damage(sound, edits)) })
}

// FuzzLayers does of any two files.
func FuzzLayers(f *testing.F) {
	at := sample.Start
	layer := func(l sample.Layer) []byte {
		var b bytes.Buffer
		if _, err := l.WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	text := sample.File{Name: "db/rp/1", Data: []byte("text"), Modified: at}
	meta := sample.File{Name: "meta", Data: sample.Meta{}.Bytes(), Modified: at.Add(time.Hour)}
	f.Add(layer(sample.Layer{Time: at, Files: []sample.File{meta, text}}), layer(sample.Layer{Time: at.Add(time.Hour), Files: []sample.File{meta}}))
	f.Add(layer(sample.Layer{Time: at, Dialect: chain.ByIndex, Files: []sample.File{{Name: "shards/1", Data: []byte("text"), Index: 3}}}), []byte{})
	f.Add(layer(sample.Layer{Time: at, NoManifest: true, Files: []sample.File{{Name: "../é", Data: nil}, text}}), []byte("no tar"))
	f.Add(layer(sample.Layer{Time: at}), layer(sample.Layer{Time: at, Files: []sample.File{text}}))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, full, next []byte) {
		full, next = bytes.Clone(full), bytes.Clone(next)
		sumHeaders(full)
		sumHeaders(next)
		examineAny(t, dir, [][]byte{full, next})
	})
}

// examineAny examines layers, which are written into dir, in all depths. A nil
// layer is not there.
func examineAny(t *testing.T, dir string, layers [][]byte) {
	size := 0
	for i, name := range layerNames {
		p := filepath.Join(dir, name)
		if i >= len(layers) || layers[i] == nil {
			if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			continue
		}
		size += len(layers[i])
		if err := os.WriteFile(p, layers[i], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := doctor.Find(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for _, depth := range []doctor.Depth{doctor.Signs, doctor.Trees, doctor.Points} {
		var texts [2]string
		for i, workers := range []int{1, 4} {
			r, err := doctor.Examine(t.Context(), filepath.Join(dir, "snap"), doctor.Options{Depth: depth, Workers: workers})
			if err != nil {
				if r != nil || !errors.Is(err, space.ErrNotSnapshot) && !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("depth %d: %v", depth, err)
				}
				texts[i] = err.Error()
				continue
			}
			checkReport(t, r)
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if texts[i] = string(b); len(b) > 64<<10+64*size {
				t.Errorf("depth %d: a report of %d bytes on layers of %d", depth, len(b), size)
			}
		}
		if texts[0] != texts[1] {
			t.Errorf("depth %d: not the same each time:\n%s\n%s", depth, texts[0], texts[1])
		}
	}
}

// checkReport checks what holds for all reports.
func checkReport(t *testing.T, r *doctor.Report) {
	t.Helper()
	at := map[string]int{"": 0}
	for i, l := range r.Layers {
		at[l.Name] = i + 1
		if l.Whole < 0 || l.Cut < 0 || l.Absent < 0 || l.Seconds < 0 || l.Whole+l.Cut != l.Members {
			t.Errorf("layer %+v", l)
		}
	}
	last := 0
	for _, f := range r.Findings {
		if f.Code == "" || f.Text == "" || strings.HasSuffix(f.Text, ".") && !strings.HasSuffix(f.Text, "..") || f.Level != doctor.Error && f.Level != doctor.Warning && f.Level != doctor.Note {
			t.Errorf("finding %+v", f)
		}
		i, ok := at[f.Layer]
		if !ok || i < last {
			t.Errorf("finding %+v: not in the order of the layers", f)
		}
		last = i
	}
	if r.Kind != "bolt" && len(r.Points) != len(r.Layers) {
		t.Errorf("%d points in %d layers", len(r.Points), len(r.Layers))
	}
	for _, p := range r.Points {
		lost := len(p.Lost) > 0
		switch p.Verdict {
		case doctor.Whole:
			if lost || p.Why != "" {
				t.Errorf("whole: %+v", p)
			}
		case doctor.WithLoss:
			if !lost || p.Why != "" {
				t.Errorf("with loss: %+v", p)
			}
		case doctor.Not:
			if p.Why == "" {
				t.Errorf("not to be had: %+v", p)
			}
		default:
			t.Errorf("verdict %+v", p)
		}
		for _, l := range p.Lost {
			if l.Code == "" || l.Text == "" {
				t.Errorf("loss %+v", l)
			}
		}
	}
	if c := r.Checked; c.Sound > c.Bolt || c.Trees > c.Bolt || c.Bolt > c.Files || c.Shards > c.Bolt || c.Points < 0 {
		t.Errorf("checked %+v", c)
	}
}
