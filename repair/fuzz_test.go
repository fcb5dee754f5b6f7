package repair_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/repair"
)

// FuzzBolt changes bytes of a small file, each three bytes of edits being an
// offset and a byte, and cuts it: whatever comes of it is either an error, and
// no file, or a file that bbolt and boltview find sound.
func FuzzBolt(f *testing.F) {
	data, _, err := sample.Torn(f.TempDir(), 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, 0)
	f.Add([]byte{0x20, 0x10, 1}, 0)
	f.Add([]byte{0x20, 0x10, 1, 0x20, 0x18, 7, 0x30, 0, 0xff}, 4096)
	f.Add(bytes.Repeat([]byte{0x50, 0x08, 2}, 9), 100)
	f.Fuzz(func(t *testing.T, edits []byte, cut int) {
		bad := bytes.Clone(data)
		for ; len(edits) >= 3; edits = edits[3:] {
			// Half of the offsets are in headers of pages.
			at := int(edits[0])<<8 | int(edits[1])
			if at&1 == 0 {
				at = at>>6<<12&(1<<20-1) | at>>1&31
			}
			bad[at%len(bad)] = edits[2]
		}
		if cut > 0 && cut < len(bad) {
			bad = bad[:len(bad)-cut]
		}
		db, _, err := repair.Source(bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			if !errors.Is(err, boltview.ErrNotBolt) && !errors.Is(err, boltview.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		name := filepath.Join(t.TempDir(), "new")
		r, err := repair.Bolt(t.Context(), name, db, repair.Options{})
		if err != nil {
			t.Fatal(err)
		}
		checked(t, name)
		if r.Keys < 0 || r.Size < 4*4096 {
			t.Errorf("%+v", r)
		}
	})
}
