package tarindex

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"
	"time"
)

// TestTraits: members keep their own modes and nanoseconds, of which there may be
// as many as there are members, or a few that come again.
func TestTraits(t *testing.T) {
	for _, kinds := range []int{1, recent, recent + 1, 1000} {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		var want []tar.Header
		for i := range 1000 {
			k := i % kinds
			hdr := tar.Header{Name: fmt.Sprint(i), Mode: int64(0o400 + k%8), Format: tar.FormatPAX, ModTime: time.Unix(1446433445, int64(k)*1000)}
			if err := w.WriteHeader(&hdr); err != nil {
				t.Fatal(err)
			}
			want = append(want, hdr)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		ix := index(t, buf.Bytes())
		if ix.Len() != len(want) {
			t.Fatalf("%d members", ix.Len())
		}
		for i, hdr := range want {
			if e := ix.Entry(i); e.Mode != hdr.FileInfo().Mode() || !e.ModTime.Equal(hdr.ModTime) || e.Name != hdr.Name {
				t.Fatalf("%d kinds: member %d is %+v, want %v %v", kinds, i, e, hdr.FileInfo().Mode(), hdr.ModTime)
			}
		}
		if kinds <= recent && len(ix.traits) > recent {
			t.Errorf("%d kinds are kept as %d", kinds, len(ix.traits))
		}
	}
}
