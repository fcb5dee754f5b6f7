package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/erofs"
	"github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

// native has the kernel serve the files of the snapshot, with no process behind
// them.
func (c *mountCmd) native(a *App) error {
	log, closeLog, err := c.logger(a)
	if err != nil {
		return err
	}
	defer closeLog()
	if err := fs.CheckMountPoint(c.Dir, filepath.Dir(c.Snap)); err != nil {
		return err
	}
	defer rarely()()
	t, err := snapArg{c.Snap}.open(space.Options{At: c.At, Ghosts: c.Ghosts})
	if err != nil {
		return err
	}
	defer t.Close()
	counts, err := c.mountTree(a, t, 0)
	if err != nil {
		return err
	}
	warn(t.Chain(), log)
	if c.Verbose {
		fmt.Fprintf(a.Stderr, "mounted %s on %s, served by no process\nengine: %s; there is no %s\n",
			printable(c.Snap), printable(c.Dir), counted(counts), space.Control)
	}
	return nil
}

// beside has the kernel serve the files of the snapshot, beside a mount that
// serves all of it.
func (c *mountCmd) beside(a *App, t *space.Tree, s *fs.Server, log *slog.Logger) error {
	if err := fs.CheckMountPoint(c.Dir, filepath.Dir(c.Snap)); err != nil {
		return err
	}
	counts, err := c.mountTree(a, t, s.ID())
	if err != nil {
		return err
	}
	log.Info("mounted", "source", c.Snap, "dir", c.Dir, "engine", counted(counts))
	return nil
}

// counted is for people.
func counted(n erofs.Counts) string {
	return fmt.Sprintf("kernel, %d files are read where they lie, %d copied (%d bytes)", n.Files, n.Copied, n.Bytes)
}

// mountTree mounts the files of the snapshot, as far as it is not interrupted.
// The mount with the ID belongs to it.
func (c *mountCmd) mountTree(a *App, t *space.Tree, id uint64) (erofs.Counts, error) {
	opts := c.options(c.Snap)
	counts, err := erofs.MountTree(a.ctx, c.Dir, files{t}, erofs.TreeOptions{
		Source: fs.ImageSource(id, filepath.Base(c.Snap)),
		UID:    owner(c.UID, os.Getuid()), GID: owner(c.GID, os.Getgid()),
		Perm: opts.Perms(), Private: !c.AllowOther, Loop: c.Loop,
	})
	return counts, noKernel(err)
}

// files is a tree without its control directory.
type files struct{ *space.Tree }

// ReadDir implements [iofs.ReadDirFS].
func (f files) ReadDir(name string) ([]iofs.DirEntry, error) {
	list, err := f.Tree.ReadDir(name)
	if name == "." {
		list = slices.DeleteFunc(list, func(d iofs.DirEntry) bool { return d.Name() == space.Control })
	}
	return list, err
}

// checkEngine returns an error if flags do not go with the engine.
func (c *mountCmd) checkEngine() error {
	switch {
	case c.Engine != engineKernel && c.Control != "":
		return errors.New("--control is for --engine kernel; other mounts have all of it in " + space.Control)
	case c.Engine != engineKernel:
		return nil
	case c.Mkdir:
		return errors.New("--engine kernel leaves no process behind that could remove what --mkdir makes")
	}
	if c.Control != "" {
		return c.checkControl()
	}
	var wrong []string
	for _, f := range []struct {
		flag string
		on   bool
	}{
		{"--foreground", c.Foreground}, {"--show-control", c.ShowControl},
	} {
		if f.on {
			wrong = append(wrong, f.flag)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("--engine kernel leaves no process behind, which it takes for %s, but for that of --control", strings.Join(wrong, ", "))
	}
	return nil
}

// checkControl returns an error if the two mounts are to be in one directory.
func (c *mountCmd) checkControl() error {
	dir, err := os.Stat(c.Dir)
	if err != nil {
		return nil // for who mounts there
	}
	if control, err := os.Stat(c.Control); err == nil && os.SameFile(dir, control) {
		return errors.New("--control takes a directory of its own")
	}
	return nil
}

// owner returns the id that files have.
func owner(flag *uint32, own int) uint32 {
	if flag != nil {
		return *flag
	}
	return uint32(own)
}

func noKernel(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var unserved *erofs.UnservedError
	h := "it takes root, and Linux 6.12 with a TMPDIR on a disk, or loop devices; without --engine, mount takes what there is"
	if errors.As(err, &unserved) {
		h = "mount with --engine passthrough, or without --engine: then only these files fail"
	}
	return hint.Wrap(&codeError{fmt.Errorf("--engine kernel: %w", err), exitMountPoint}, "%s", h)
}
