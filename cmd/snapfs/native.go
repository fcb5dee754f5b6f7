package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/snapfs/snapfs/erofs"
	"github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

// native has the kernel serve the files of the snapshot, with no process behind
// them.
func (c *mountCmd) native(a *App) error {
	if err := c.checkNative(); err != nil {
		return usageError(err)
	}
	source, err := filepath.Abs(c.Snap)
	if err != nil {
		return err
	}
	opts := c.options(source)
	if err := fs.CheckMountPoint(c.Dir, opts.SourceDirs...); err != nil {
		return err
	}
	t, err := snapArg{c.Snap}.open(space.Options{At: c.At, Ghosts: c.Ghosts})
	if err != nil {
		return err
	}
	defer t.Close()
	counts, err := erofs.MountTree(c.Dir, t, erofs.TreeOptions{
		Source: fs.ImagePrefix + "/" + filepath.Base(source),
		UID:    owner(c.UID, os.Getuid()), GID: owner(c.GID, os.Getgid()),
		Perm: opts.Perms(), Private: !c.AllowOther,
	})
	if err != nil {
		return noKernel(err)
	}
	if c.Verbose {
		fmt.Fprintf(a.Stderr, "mounted %s on %s, served by no process\nengine: kernel, %d files are read where they lie, %d copied (%d bytes); there is no %s\n",
			printable(c.Snap), printable(c.Dir), counts.Files, counts.Copied, counts.Bytes, space.Control)
	}
	return nil
}

// checkNative returns an error if there are flags that need a process.
func (c *mountCmd) checkNative() error {
	var wrong []string
	for _, f := range []struct {
		flag string
		on   bool
	}{
		{"--foreground", c.Foreground}, {"--mkdir", c.Mkdir}, {"--show-control", c.ShowControl}, {"--log-file", c.LogFile != ""},
	} {
		if f.on {
			wrong = append(wrong, f.flag)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("--engine kernel leaves no process behind, which it takes for %s", strings.Join(wrong, ", "))
}

// owner returns the id that files have.
func owner(flag *uint32, own int) uint32 {
	if flag != nil {
		return *flag
	}
	return uint32(own)
}

func noKernel(err error) error {
	var unserved *erofs.UnservedError
	h := "it takes root, Linux 6.12 or later, and a TMPDIR on a disk, not tmpfs or overlayfs; without --engine, mount takes what there is"
	if errors.As(err, &unserved) {
		h = "mount with --engine passthrough, or without --engine: then only these files fail"
	}
	return hint.Wrap(&codeError{fmt.Errorf("--engine kernel: %w", err), exitMountPoint}, "%s", h)
}
