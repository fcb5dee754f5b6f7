package boltview_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
)

// twoCommits returns a file whose newest commit, by meta 1 or 0, has the key
// "b/new", and the older has not.
func twoCommits(t *testing.T, pageSize int) []byte {
	t.Helper()
	oracle := create(t, pageSize)
	for _, key := range []string{"old", "new"} {
		update(t, oracle, func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("b"))
			if err != nil {
				return err
			}
			return b.Put([]byte(key), nil)
		})
	}
	return contents(t, oracle)
}

// TestMetas damages one meta or the other, for each size of a page.
func TestMetas(t *testing.T) {
	for pageSize := 1024; pageSize <= 65536; pageSize *= 2 {
		sound := twoCommits(t, pageSize)
		newest := openBytes(t, sound).Info().Meta
		for _, tt := range []struct {
			name   string
			damage func(meta []byte)
			state  string
		}{
			{"magic", func(m []byte) { m[0]++ }, "no magic"},
			{"version", func(m []byte) { m[4]++ }, "version 3, want 2"},
			{"checksum", func(m []byte) { m[63]++ }, "wrong checksum"},
			{"body", func(m []byte) { m[50] ^= 0x80 }, "wrong checksum"},
			{"zeros", func(m []byte) { clear(m) }, "no magic"},
		} {
			for _, which := range []int{newest, 1 - newest} {
				t.Run(fmt.Sprintf("%d/%s/%d", pageSize, tt.name, which), func(t *testing.T) {
					b := bytes.Clone(sound)
					tt.damage(b[which*pageSize+16:][:64])
					db := openBytes(t, b)
					info := db.Info()
					if info.PageSize != pageSize || info.Meta != 1-which || info.Metas[which].State != tt.state || info.Metas[1-which].State != "ok" {
						t.Errorf("%+v", info)
					}
					if len(info.Damage) != 1 || !strings.Contains(info.Damage[0], tt.state) {
						t.Errorf("damage %q", info.Damage)
					}
					bucket, err := db.Root().Bucket([]byte("b"))
					if err != nil {
						t.Fatal(err)
					}
					_, err = bucket.Get([]byte("new"))
					if isNewest := which != newest; (err == nil) != isNewest {
						t.Errorf("Get(new): %v", err)
					}
					if _, err := bucket.Get([]byte("old")); err != nil {
						t.Error(err)
					}
					var pe *boltview.PageError
					meta := boltview.Meta0 + boltview.Meta(which)
					_, err = boltview.Open(newReader(b), int64(len(b)), boltview.Options{Meta: meta})
					if !errors.As(err, &pe) || pe.Page != uint64(which) {
						t.Errorf("Open by meta %d: %v", which, err)
					}
				})
			}
		}
	}
}

func TestNotBolt(t *testing.T) {
	sound := twoCommits(t, 1024)
	swapped := bytes.Clone(sound)
	for _, m := range []int{16, 1024 + 16} {
		for i := 0; i < 16; i += 4 {
			binary.BigEndian.PutUint32(swapped[m+i:], binary.LittleEndian.Uint32(sound[m+i:]))
		}
		for i := 16; i < 64; i += 8 {
			binary.BigEndian.PutUint64(swapped[m+i:], binary.LittleEndian.Uint64(sound[m+i:]))
		}
	}
	for _, tt := range []struct {
		name string
		data []byte
		text string
		hint bool
	}{
		{"empty", nil, "meta 0: past the end of the file", false},
		{"short", sound[:79], "past the end of the file", false},
		{"text", bytes.Repeat([]byte("not a database\n"), 10000), "meta 0: no magic", false},
		{"zeros", make([]byte, 1<<20), "no magic", false},
		{"big-endian", swapped, "big-endian", true},
	} {
		_, err := boltview.Open(newReader(tt.data), int64(len(tt.data)), boltview.Options{})
		if !errors.Is(err, boltview.ErrNotBolt) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if (hint.Of(err) != "") != tt.hint {
			t.Errorf("%s: hint %q", tt.name, hint.Of(err))
		}
	}
	if _, err := boltview.Open(failing{}, 1<<20, boltview.Options{}); !errors.Is(err, errDisk) {
		t.Errorf("a disk that fails: %v", err)
	}
}

var errDisk = errors.New("disk fails")

// failing is a source of which nothing can be read.
type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

// failAt fails from an offset on, up to another.
type failAt struct {
	r        io.ReaderAt
	from, to int64
}

func (f failAt) ReadAt(b []byte, off int64) (int, error) {
	if off < f.to && off+int64(len(b)) > f.from {
		return 0, errDisk
	}
	return f.r.ReadAt(b, off)
}

// TestReadErrors holds that a disk that fails is not called damage of the file.
func TestReadErrors(t *testing.T) {
	d := newDamaged(t)
	r := failAt{newReader(d.data), int64(d.leaves[1]), int64(d.leaves[1]) + 1024}
	db, err := boltview.Open(r, int64(len(d.data)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := db.Root().Bucket([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	n, failed := 0, 0
	for _, err := range b.All() {
		if err == nil {
			n++
			continue
		}
		failed++
		if !errors.Is(err, errDisk) || errors.Is(err, boltview.ErrCorrupt) {
			t.Error(err)
		}
	}
	if failed != 1 || n == 0 {
		t.Errorf("%d keys, %d errors", n, failed)
	}
	if got := faults(db); len(got) != 1 || got[0].Kind != boltview.KindRead || got[0].Lost == nil {
		t.Errorf("faults %v", got)
	}
	if _, err := db.FS(boltview.FSOptions{}).ReadDir("b"); !errors.Is(err, errDisk) {
		t.Errorf("ReadDir: %v", err)
	}
}

// TestTrailing takes files that are longer than their pages, or shorter.
func TestTrailing(t *testing.T) {
	sound := twoCommits(t, 4096)
	info := openBytes(t, append(bytes.Clone(sound), 1, 2, 3)).Info()
	if info.Trailing != 3 || len(info.Damage) != 0 {
		t.Errorf("with 3 bytes behind: %+v", info)
	}
	used := int64(openBytes(t, sound).Info().HighWater) * 4096
	if got := faults(openBytes(t, sound[:used])); len(got) != 0 {
		t.Errorf("cut at the high-water mark: %v", got)
	}
	db := openBytes(t, sound[:used-1])
	info = db.Info()
	if info.Trailing != 4095 || info.Pages != info.HighWater-1 && info.Meta >= 0 || len(info.Damage) == 0 || info.Class == boltview.ClassA {
		t.Errorf("cut within the last page: %+v", info)
	}
}

func TestMetaText(t *testing.T) {
	for m := boltview.MetaAuto; m <= boltview.MetaSalvage; m++ {
		text, err := m.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got boltview.Meta
		if err := got.UnmarshalText(text); err != nil || got != m {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	var m boltview.Meta
	if err := m.UnmarshalText([]byte("2")); err == nil {
		t.Error("2 is a meta")
	}
}

// TestInfoJSON holds that what is said of a torn file can be written as JSON,
// and read.
func TestInfoJSON(t *testing.T) {
	db := openBytes(t, tornE(t, newRand(t, 0)))
	data, err := json.Marshal(db.Info())
	if err != nil {
		t.Fatal(err)
	}
	var got boltview.Info
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Class != boltview.ClassE || len(got.Candidates) != len(db.Info().Candidates) || got.Candidates[0].Points == 0 {
		t.Errorf("%s", data)
	}
}
