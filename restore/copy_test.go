package restore

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"
)

func TestCopy(t *testing.T) {
	when := time.Date(2015, 11, 2, 3, 4, 5, 678, time.UTC)
	src := fstest.MapFS{
		"manifest":   {Data: []byte("{}"), ModTime: when, Mode: 0o444},
		"db/rp/1":    {Data: make([]byte, 3<<20+1), ModTime: when, Mode: 0o644},
		"db/rp/link": {Data: []byte("../../../out"), ModTime: when, Mode: os.ModeSymlink | 0o777},
	}
	dst := filepath.Join(t.TempDir(), "a/b")
	for range 2 {
		r, err := Copy(t.Context(), dst, src, Options{})
		t.Logf("%+v %v", r, err)
		if err != nil {
			t.Fatal(err)
		}
	}
}
