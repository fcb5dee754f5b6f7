package snaptar_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/snapfs/snapfs/internal/copyrange"
	"github.com/snapfs/snapfs/snaptar"
)

// source writes a tar of members to copy from.
func source(t *testing.T, sizes map[string]int64) *os.File {
	t.Helper()
	f := create(t, "source")
	w := snaptar.NewWriter(f)
	if err := w.Manifest(list(sizes), when); err != nil {
		t.Fatal(err)
	}
	for _, m := range list(sizes).Files {
		if err := w.Next(m.Name, m.Size, when); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(pattern(m.Name, m.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestCopy copies members into a file, which the kernel does, into one that can
// only be appended to, where it refuses, and through memory. All are the same.
func TestCopy(t *testing.T) {
	sizes := map[string]int64{"a": 0, "b": 100, "c": 64 << 10, "d/large": copyrange.Step + 513, "e": 1 << 20}
	src := source(t, sizes)
	ix := open(t, src.Name())
	want, err := os.ReadFile(src.Name())
	if err != nil {
		t.Fatal(err)
	}
	appended, err := os.OpenFile(create(t, "appended").Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { appended.Close() })
	var buf bytes.Buffer
	plain := create(t, "plain")
	for name, out := range map[string]io.Writer{"file": plain, "append": appended, "memory": &buf} {
		w := snaptar.NewWriter(out)
		if err := w.Manifest(list(sizes), when); err != nil {
			t.Fatal(err)
		}
		for i, e := range ix.All() {
			if i == 0 {
				continue
			}
			if err := w.Next(e.Name, e.Size, when); err != nil {
				t.Fatal(err)
			}
			content, err := ix.Content(i)
			if err != nil {
				t.Fatal(err)
			}
			var done int64
			// The first bytes by hand: Copy goes on behind them.
			head := min(e.Size, 10)
			if _, err := w.Write(pattern(e.Name, e.Size)[:head]); err != nil {
				t.Fatal(err)
			}
			if err := w.Copy(t.Context(), content, head, func(n int64) { done += n }); err != nil || done != e.Size-head {
				t.Errorf("%s: %s: %d of %d bytes, %v", name, e.Name, done, e.Size-head, err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got := buf.Bytes()
		if f, ok := out.(*os.File); ok {
			if got, err = os.ReadFile(f.Name()); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes are not those of the source, %d", name, len(got), len(want))
		}
	}
}

func TestCopyFails(t *testing.T) {
	src := source(t, map[string]int64{"large": 3 * copyrange.Step})
	content, err := open(t, src.Name()).Content(1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := snaptar.NewWriter(create(t, "out"))
	if err := w.Next("large", 3*copyrange.Step, when); err != nil {
		t.Fatal(err)
	}
	if err := w.Copy(ctx, content, 0, func(int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := w.Close(); !errors.Is(err, context.Canceled) {
		t.Errorf("closed after that: %v", err)
	}

	// The source was cut since it was opened.
	if err := os.Truncate(src.Name(), copyrange.Step); err != nil {
		t.Fatal(err)
	}
	for _, out := range []io.Writer{create(t, "out"), io.Discard} {
		w = snaptar.NewWriter(out)
		if err := w.Next("large", 3*copyrange.Step, when); err != nil {
			t.Fatal(err)
		}
		if err := w.Copy(t.Context(), content, 0, func(int64) {}); err == nil {
			t.Error("a source that was cut copied without an error")
		}
	}
	w = snaptar.NewWriter(io.Discard)
	if err := w.Next("short", 10, when); err != nil {
		t.Fatal(err)
	}
	if err := w.Copy(t.Context(), bytes.NewReader([]byte("nine....9")), 0, func(int64) {}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short source: %v", err)
	}
}
