package fs

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// TestGuard calls every method of the file system with nothing behind it, so
// that each one that goes there panics.
func TestGuard(t *testing.T) {
	writes := map[string]bool{}
	for name := range strings.FieldsSeq(`SetAttr Mknod Mkdir Unlink Rmdir Rename Link Symlink SetXAttr RemoveXAttr
		Create Tmpfile Write Writev CopyFileRange Fallocate`) {
		writes[name] = true
	}
	never := map[string]bool{}
	for name := range strings.FieldsSeq(`Access Lseek Statx Flush Fsync FsyncDir GetLk SetLk SetLkw`) {
		never[name] = true
	}
	iface := reflect.TypeFor[fuse.RawFileSystem]()
	for m := range iface.Methods() {
		switch m.Name {
		case "String", "SetDebug", "Init", "OnUnmount": // not for requests
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			var log logBuffer
			g := &guard{log: log.logger()}
			var args []reflect.Value
			for in := range m.Type.Ins() {
				arg := reflect.Zero(in)
				if in.Kind() == reflect.Pointer {
					arg = reflect.New(in.Elem())
				}
				args = append(args, arg)
			}
			st := fuse.OK
			out := reflect.ValueOf(g).MethodByName(m.Name).Call(args)
			for _, v := range out {
				if s, ok := v.Interface().(fuse.Status); ok {
					st = s
				}
			}
			want, panics := fuse.EIO, true
			switch {
			case writes[m.Name]:
				want, panics = fuse.EROFS, false
			case never[m.Name]:
				want, panics = fuse.ENOSYS, false
			case len(out) == 0:
				want = fuse.OK // there is no answer
			}
			if st != want {
				t.Errorf("got %v, want %v", st, want)
			}
			if got := log.String(); strings.Contains(got, "guard.go") != panics {
				t.Errorf("log: %q", got)
			}
			var count, errors uint64
			for _, c := range g.counters.snapshot() {
				count, errors = count+c.Count, errors+c.Errors
			}
			wantErrors := uint64(1)
			if never[m.Name] {
				wantErrors = 0
			}
			if count != 1 || errors != wantErrors {
				t.Errorf("counted %d with %d errors", count, errors)
			}
		})
	}
}

func BenchmarkGuard(b *testing.B) {
	g := &guard{log: slog.New(slog.DiscardHandler), fs: fuse.NewDefaultRawFileSystem()}
	in := &fuse.ReadIn{}
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = g.fs.Read(nil, in, nil)
		}
	})
	b.Run("guarded", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = g.Read(nil, in, nil)
		}
	})
}
