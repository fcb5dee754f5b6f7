package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/backup"
	"github.com/snapfs/snapfs/backup/origin"
	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/snaptar"
)

// TestChanging takes a full snapshot and three incrementals of a directory that
// changes in between, by each way, and compares each point with the directory as
// it was.
func TestChanging(t *testing.T) {
	dir := t.TempDir()
	d := open(t, origin.Dir{Path: dir}, Options{})
	sources := map[string]backup.Source{
		"local": origin.Source{Origin: origin.Dir{Path: dir}},
		"tcp":   backup.TCP{Addr: d.tcp},
		"http":  backup.HTTP{URL: d.url},
	}
	chains := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	meta := func(when time.Time, text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file("meta"), []byte(text), 0o600), os.Chtimes(file("meta"), when, when)); err != nil {
			t.Fatal(err)
		}
	}
	var moments []map[string][]byte
	for i, change := range []func(when time.Time){
		func(when time.Time) {
			put(t, file("db/rp/1"), when, "k", "1")
			put(t, file("db/rp/2"), when, "k", "2")
			put(t, file("other/rp/10"), when, "k", "10")
			meta(when, "")
		},
		func(when time.Time) { // one changes, one is new
			put(t, file("db/rp/2"), when, "k", strings.Repeat("2", 9000))
			put(t, file("db/rp/3"), when, "k", "3")
			meta(when, "\x08\x01")
		},
		func(time.Time) {}, // nothing
		func(when time.Time) {
			put(t, file("db/rp/1"), when, "k", "another 1")
			put(t, file("other/rp/9"), when.Add(-time.Hour), "k", "9")
		},
	} {
		change(monday.Add(time.Duration(i) * time.Hour))
		moments = append(moments, directory(t, dir))
		for name, src := range sources {
			r, err := backup.Take(t.Context(), filepath.Join(chains, name), src, backup.Options{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(r.Torn) > 0 || r.Files != []int{4, 3, 0, 2}[i] {
				t.Errorf("%s, %d: %+v", name, i, r)
			}
		}
	}
	for name := range sources {
		c, err := chain.Open(filepath.Join(chains, name), chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if w := c.Warnings(); len(w) > 0 || len(c.Layers()) != 4 {
			t.Errorf("%s: %d layers, %v", name, len(c.Layers()), w)
		}
		i := 0
		for p := range c.Points() {
			same(t, fmt.Sprint(name, " at ", p.Name), c, p.Name, moments[i])
			i++
		}
	}
	if log := d.log.String(); strings.Count(log, `msg="snapshot sent"`) != 8 || strings.Contains(log, "level=ERROR") {
		t.Errorf("%s", log)
	}
}

// directory returns the contents of its files.
func directory(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(rel)], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// same compares a point with a directory. Of a Bolt file, bytes that its newest
// transaction does not use may be missing at its end.
func same(t *testing.T, name string, c *chain.Chain, point string, want map[string][]byte) {
	t.Helper()
	v, err := c.At(point)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for f := range v.Files() {
		n++
		content, err := f.Content()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, f.Size)
		if _, err := content.ReadAt(got, 0); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		size := int64(len(want[f.Name]))
		if db, err := boltview.Open(bytes.NewReader(want[f.Name]), size, boltview.Options{}); err == nil {
			size = int64(db.Info().HighWater) * int64(db.Info().PageSize)
		}
		if f.Size != size || !bytes.HasPrefix(want[f.Name], got) {
			t.Errorf("%s: %s: %d bytes are not the %d of the file", name, f.Name, len(got), size)
		}
	}
	if n != len(want) {
		t.Errorf("%s: %d files, want %d", name, n, len(want))
	}
}

// used returns how many bytes of a Bolt file its newest transaction has.
func used(t testing.TB, path string) (size int64) {
	t.Helper()
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	return size
}

// tapped passes a connection on, and keeps what went over it.
func tapped(t *testing.T, to string) (addr string, sent, received *bytes.Buffer, done chan bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sent, received, done = &bytes.Buffer{}, &bytes.Buffer{}, make(chan bool)
	go func() {
		defer close(done)
		defer l.Close()
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			in.Close()
			return
		}
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(io.MultiWriter(out, sent), in); out.Close() })
		both.Go(func() { _, _ = io.Copy(io.MultiWriter(in, received), out); in.Close() })
		both.Wait()
	}()
	return l.Addr().String(), sent, received, done
}

// TestTranscript compares all bytes on the wire with what FORMAT says: the byte
// 3, the merged manifest or null, a newline; and the layer, to its last byte.
func TestTranscript(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "db/rp/1"), monday, "k", "v")
	put(t, filepath.Join(dir, "db/rp/2"), monday, "k", "v")
	d := open(t, origin.Dir{Path: dir}, Options{})
	path := filepath.Join(t.TempDir(), "snap")
	entry := func(name, when string) string {
		t.Helper()
		return fmt.Sprintf(`{"name":%q,"size":%d,"lastModified":"2015-11-02T%s.0000006Z"}`, name, used(t, filepath.Join(dir, name)), when)
	}
	full := `{"files":[` + entry("db/rp/1", "03:04:05") + "," + entry("db/rp/2", "03:04:05") + `]}`
	for i, tt := range []struct{ request, manifest string }{
		{"\x03null\n", full},
		{"\x03" + full + "\n", ""},
	} {
		if i == 1 {
			put(t, filepath.Join(dir, "db/rp/2"), monday.Add(time.Hour), "other", strings.Repeat("v", 9000))
			tt.manifest = `{"files":[` + entry("db/rp/2", "04:04:05") + `]}`
		}
		addr, sent, received, done := tapped(t, d.tcp)
		r, err := backup.Take(t.Context(), path, backup.TCP{Addr: addr}, backup.Options{})
		if err != nil {
			t.Fatal(err)
		}
		<-done
		if got := sent.String(); got != tt.request {
			t.Errorf("sent %q, want %q", got, tt.request)
		}
		answer := received.Bytes()
		if onDisk, err := os.ReadFile(r.Path); err != nil || !bytes.Equal(onDisk, answer) {
			t.Errorf("%s is not what was received: %v", r.Path, err)
		}
		// The layer, written again with the same times.
		m, err := chain.ReadManifest(strings.NewReader(tt.manifest))
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		w := snaptar.NewWriter(&want)
		c, err := chain.Open(r.Path, chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Manifest(m, c.Layers()[0].Time); err != nil {
			t.Fatal(err)
		}
		view, err := c.At("full")
		if err != nil {
			t.Fatal(err)
		}
		for f := range view.Files() {
			data, err := os.ReadFile(filepath.Join(dir, f.Name))
			if err == nil {
				err = w.Next(f.Name, f.Size, f.Written)
			}
			if err == nil {
				_, err = w.Write(data[:f.Size])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), c.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(answer, want.Bytes()) {
			t.Errorf("%d bytes received, not the layer of %d bytes", len(answer), want.Len())
		}
		if answer[156] != 0 || string(answer[257:265]) != "ustar\x0000" || len(answer)%512 != 0 {
			t.Errorf("header %q", answer[:512])
		}
	}
}
