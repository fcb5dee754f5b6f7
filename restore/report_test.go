package restore

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapfs/snapfs/internal/copyrange"
)

func TestReportJSON(t *testing.T) {
	dst := t.TempDir()
	src := fstest.MapFS{
		"dev/null": {Mode: fs.ModeDevice | fs.ModeCharDevice | 0o666},
		"pipe":     {Mode: fs.ModeNamedPipe},
		"sock":     {Mode: fs.ModeSocket},
		"bad":      {Data: []byte("x")},
		"out":      {Mode: fs.ModeSymlink, Data: []byte("/")},
	}
	r, err := Copy(t.Context(), dst, faulty{src, map[string]fault{"bad": {err: syscall.EIO}}}, Options{})
	if !errors.Is(err, ErrIncomplete) {
		t.Fatal(err)
	}
	r.Duration, r.Target = 5*time.Millisecond, "T"
	b, err := json.Marshal(r)
	const want = `{"target":"T","files":1,"bytes":0,"dirs":1,"created":1,"overwritten":0,"kept":0,"conflicts":0,"remaining":0,` +
		`"skipped":[{"path":"pipe","reason":"a pipe"},{"path":"sock","reason":"a socket"},{"path":"dev/null","reason":"a device"}],` +
		`"outside":["out"],"failed":[{"path":"bad","error":"input/output error"}],"duration_ns":5000000}`
	if string(b) != want {
		t.Errorf("%s, want\n%s, %v", b, want, err)
	}
}

// TestProgress: the last call tells of everything, and no call of less than
// the one before.
func TestProgress(t *testing.T) {
	src := sample()
	dst := t.TempDir()
	for _, phase := range []Phase{PhaseCopy, PhaseCheck} {
		var last Progress
		calls := 0
		_, err := Copy(t.Context(), dst, src, Options{Progress: func(p Progress) {
			if p.Phase != phase || p.Bytes < last.Bytes || p.Files < last.Files || p.Path == "" {
				t.Errorf("%+v after %+v", p, last)
			}
			last = p
			calls++
		}})
		if err != nil {
			t.Fatal(err)
		}
		want := 12
		if phase == PhaseCheck {
			want = 11 // a link needs no reading
		}
		if last.Files != want || last.TotalFiles != want || last.Bytes != last.TotalBytes || last.Bytes < copyrange.Step || calls < 12 {
			t.Errorf("%s: %+v after %d calls", phase, last, calls)
		}
	}
}

// TestVolatile: a file that is made anew for each open is taken as it comes.
func TestVolatile(t *testing.T) {
	dst := t.TempDir()
	src := volatileFS{lines("status.json now\n plain p")}
	if _, err := Copy(t.Context(), dst, src, Options{}); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(dst, "status.json")); string(b) != "now" {
		t.Errorf("content %q", b)
	}
}

// volatileFS says of all its files that they are empty and made on the fly.
type volatileFS struct{ fs.FS }

type volatileInfo struct{ fs.FileInfo }

func (v volatileInfo) Size() int64  { return 0 }
func (v volatileInfo) Sys() any     { return v }
func (volatileInfo) Volatile() bool { return true }

type volatileDir struct{ fs.ReadDirFile }

func (v volatileDir) ReadDir(n int) ([]fs.DirEntry, error) {
	list, err := v.ReadDirFile.ReadDir(n)
	for i, d := range list {
		info, err := d.Info()
		if err != nil {
			return nil, err
		}
		list[i] = fs.FileInfoToDirEntry(volatileInfo{info})
	}
	return list, err
}

func (v volatileFS) Open(name string) (fs.File, error) {
	f, err := v.FS.Open(name)
	if d, ok := f.(fs.ReadDirFile); ok && err == nil {
		return volatileDir{d}, nil
	}
	return f, err
}
