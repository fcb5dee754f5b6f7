package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/snapfs/snapfs/backup"
	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/flatten"
	fusefs "github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/restore"
	"github.com/snapfs/snapfs/space"
	"github.com/snapfs/snapfs/tarindex"
)

// Exit codes. Scripts rely on them: they are never given another meaning.
const (
	exitOK          = 0
	exitOther       = 1
	exitUsage       = 2
	exitMountPoint  = 10
	exitOpen        = 11
	exitNotSnapshot = 12
	exitBroken      = 13
	exitDamage      = 14
	exitConflict    = 20
	exitIncomplete  = 21
	exitInterrupted = 130
)

// exitHelp is the list of exit codes for the help text.
func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for _, e := range []struct {
		code int
		text string
	}{
		{exitOK, "ok"},
		{exitOther, "another error"},
		{exitUsage, "wrong use"},
		{exitMountPoint, "the mount point, or mounting at all"},
		{exitOpen, "cannot open the source"},
		{exitNotSnapshot, "not a snapshot, a tar or a Bolt file"},
		{exitBroken, "broken chain, or no such point in it"},
		{exitDamage, "damage found"},
		{exitConflict, "files in the way, or a running server; nothing written"},
		{exitIncomplete, "restore: incomplete, or undone; export: the server refused points; backup: no whole answer"},
		{exitInterrupted, "interrupted"},
	} {
		fmt.Fprintf(&b, "  %3d  %s\n", e.code, e.text)
	}
	return strings.TrimRight(b.String(), "\n")
}

// codeError gives an error an exit code that it does not have by itself. With
// a nil error, all has been said and only the code is left.
type codeError struct {
	error
	code int
}

func (e *codeError) Error() string {
	if e.error == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.error.Error()
}

func (e *codeError) Unwrap() error { return e.error }

// exitCode returns the code for an error, by the most telling of its causes.
func exitCode(err error) int {
	var c *codeError
	if errors.As(err, &c) {
		return c.code
	}
	var shard *dataset.ShardError
	if errors.As(err, &shard) {
		return exitDamage
	}
	for _, m := range []struct {
		target error
		code   int
	}{
		{context.Canceled, exitInterrupted},
		{backup.ErrLocked, exitConflict},
		{backup.ErrGap, exitBroken},
		{backup.ErrDamaged, exitDamage},
		{backup.ErrAnswer, exitIncomplete},
		{restore.ErrConflict, exitConflict},
		{restore.ErrOverlap, exitConflict},
		{restore.ErrIncomplete, exitIncomplete},
		{fusefs.ErrMountPoint, exitMountPoint},
		{fusefs.ErrUnavailable, exitMountPoint},
		{fusefs.ErrAllowOther, exitMountPoint},
		{chain.ErrBroken, exitBroken},
		{chain.ErrNoPoint, exitBroken},
		{space.ErrNotSnapshot, exitNotSnapshot},
		{tarindex.ErrCompressed, exitNotSnapshot},
		{tarindex.ErrFormat, exitNotSnapshot},
		{boltview.ErrNotBolt, exitNotSnapshot},
		{tarindex.ErrTruncated, exitDamage},
		{boltview.ErrCorrupt, exitDamage},
		{chain.ErrMissing, exitDamage},
		{flatten.ErrDamaged, exitDamage},
		{flatten.ErrVerify, exitDamage},
		{flatten.ErrNoSnapshot, exitNotSnapshot},
		{flatten.ErrInChain, exitConflict},
		{fs.ErrExist, exitConflict},
		{chain.ErrChanged, exitDamage},
		{syscall.EIO, exitDamage},
	} {
		if errors.Is(err, m.target) {
			return m.code
		}
	}
	return exitOther
}

// openError gives an error from opening a snapshot its code.
func openError(err error) error {
	if err == nil {
		return nil
	}
	if exitCode(err) == exitOther && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || isPathError(err)) {
		return &codeError{err, exitOpen}
	}
	return err
}

func isPathError(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p)
}
