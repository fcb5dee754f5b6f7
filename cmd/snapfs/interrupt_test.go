package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestLeft interrupts something before it begins to write, which is not waited
// for, and after that.
func TestLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := &App{ctx: ctx}
	goOn, late := make(chan struct{}), make(chan error)
	err := a.left(func() error {
		cancel()
		<-goOn
		late <- a.begin()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("before it writes: %v", err)
	}
	close(goOn)
	if err := <-late; !errors.Is(err, context.Canceled) {
		t.Errorf("it begins when nobody waits: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	a = &App{ctx: ctx}
	its := errors.New("its own")
	err = a.left(func() error {
		err := a.begin()
		cancel()
		return errors.Join(err, its)
	})
	if !errors.Is(err, its) || errors.Is(err, context.Canceled) {
		t.Errorf("when it writes: %v", err)
	}
}

// TestRepairBegins: a repair makes no file if it was interrupted while it read.
func TestRepairBegins(t *testing.T) {
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := boltRepairCmd{Output: filepath.Join(t.TempDir(), "new")}
	c.Snap, c.Path, c.Meta = snap, []string{aShard}, boltview.MetaAuto
	a := &App{ctx: ctx, Stdout: io.Discard, Stderr: io.Discard, Getenv: os.Getenv}
	if err := c.Run(a); !errors.Is(err, context.Canceled) {
		t.Errorf("not interrupted: %v", err)
	}
	if _, err := os.Lstat(c.Output); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}
