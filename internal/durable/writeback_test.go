package durable

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWriteback writes some steps in pieces that do not divide them.
func TestWriteback(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := &Writeback{File: f}
	piece := bytes.Repeat([]byte("0123456789a"), 100_000)
	for w.at < 4*writebackStep {
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
		if w.asked > w.at || w.done > w.asked || !w.off && (w.at-w.asked >= writebackStep || w.asked-w.done > writebackStep) {
			t.Fatalf("at %d: asked for %d, done %d", w.at, w.asked, w.done)
		}
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil || int64(len(got)) != w.at || len(bytes.ReplaceAll(got, piece, nil)) != 0 {
		t.Errorf("%d bytes of %d, %v", len(got), w.at, err)
	}
}

// TestWritebackFails: an error of a step is not lost, and is the last that
// happens.
func TestWritebackFails(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	w := &Writeback{File: f}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	w.Wrote(writebackStep - 1)
	if w.err != nil {
		t.Errorf("too early: %v", w.err)
	}
	w.Wrote(1)
	if err := w.Sync(); !errors.Is(err, unix.EBADF) {
		t.Errorf("sync: %v", err)
	}
}

// TestWritebackPipe: what has no pages is written all the same.
func TestWritebackPipe(t *testing.T) {
	r, f, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer f.Close()
	w := &Writeback{File: f}
	w.Wrote(writebackStep)
	if n, err := w.Write([]byte("x")); n != 1 || err != nil || !w.off {
		t.Errorf("%d, %v, off is %v", n, err, w.off)
	}
}

// asked is a context whose end is what a function says.
type asked struct {
	context.Context
	err func() error
}

func (c asked) Err() error { return c.err() }

// TestSync ends the context at each moment at which it is looked at: before each
// step and before the sync.
func TestSync(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 3*writebackStep + 1
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	const all = 4 + 1
	for end := range all + 1 {
		n := 0
		err := Sync(asked{t.Context(), func() error {
			if n++; n > end {
				return context.Canceled
			}
			return nil
		}}, f, size)
		if ended := errors.Is(err, context.Canceled); ended != (end < all) || !ended && (err != nil || n != all) {
			t.Errorf("ends after %d looks: %d looks, %v", end, n, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Sync(t.Context(), f, size); err == nil {
		t.Error("a closed file is synced")
	}
}
