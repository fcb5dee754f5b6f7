package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/snapfs/snapfs/erofs"
	"github.com/snapfs/snapfs/fs"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

// How the bytes of files get from the tars to who reads the mount.
const (
	engineAuto        = "auto"
	enginePassthrough = "passthrough" // the kernel reads them
	enginePlain       = "plain"       // this process reads them, for each request
	engineKernel      = "kernel"      // the kernel does everything, see native.go
)

type engineFlags struct {
	Engine         string `enum:"auto,passthrough,plain,kernel" default:"auto" env:"SNAPFS_ENGINE" help:"How files are read: passthrough, by the kernel alone, as fast as files on disk (root, Linux 6.12, or loop devices); plain, through this process; auto, the first where it can be had; or kernel, which also does without this process for names, and without .snapfs but for --control."`
	Loop           bool   `name:"loop-devices" env:"SNAPFS_LOOP_DEVICES" hidden:"" help:"Have the kernel read files through loop devices also where it does without."`
	PassthroughMin int64  `name:"passthrough-min" placeholder:"BYTES" env:"SNAPFS_PASSTHROUGH_MIN" hidden:"" help:"Read smaller files through this process all the same."`
}

// Validate returns why the flags make no sense.
func (e *engineFlags) Validate() error {
	if e.PassthroughMin < 0 {
		return errors.New("--passthrough-min is negative")
	}
	return nil
}

// args returns the flags as arguments. The zero value is that of a command
// which no command line was parsed for, such as the demo's.
func (e *engineFlags) args() []string {
	return []string{
		"--engine=" + cmp.Or(e.Engine, engineAuto), fmt.Sprintf("--loop-devices=%v", e.Loop), fmt.Sprintf("--passthrough-min=%d", e.PassthroughMin),
	}
}

// image is what the kernel is to read files from. It must be closed after the
// mount.
type image struct {
	io.Closer
	files int   // in it
	err   error // why there is none
}

// image mounts the image for the files of the tree and adds it to the options
// of the mount.
func (e *engineFlags) image(t *space.Tree, opts *fs.Options) (*image, error) {
	none := func(err error) (*image, error) { return &image{Closer: io.NopCloser(nil), err: err}, nil }
	if e.Engine == enginePlain {
		return none(errors.New("--engine plain"))
	}
	least := cmp.Or(e.PassthroughMin, fs.DefaultMinBacked)
	m, err := erofs.Mount(t.Runs(least), erofs.Options{Loop: e.Loop})
	switch {
	case err != nil && e.Engine != enginePassthrough:
		return none(err)
	case err != nil:
		return nil, noPassthrough(err)
	}
	opts.Backing, opts.MinBacked = m, least
	return &image{Closer: m, files: m.Len()}, nil
}

// check returns an error if the mount cannot do what was asked for.
func (e *engineFlags) check(s *fs.Server) error {
	if err := s.Passthrough(); err != nil && e.Engine == enginePassthrough {
		return noPassthrough(err)
	}
	return nil
}

func noPassthrough(err error) error {
	err = &codeError{fmt.Errorf("--engine passthrough: %w", err), exitMountPoint}
	return hint.Wrap(err, "it takes root, and Linux 6.12 with a TMPDIR on a disk, or loop devices; without --engine, mount takes what there is")
}

// engine is what status.json and mount -v say about how files are read.
type engine struct {
	Engine string `json:"engine"`
	Reason string `json:"engine_reason,omitempty"` // why it is plain
	Files  int    `json:"passthrough_files"`       // that the kernel can read by itself, in all layers
}

func (m *image) engine(s *fs.Server) engine {
	switch {
	case m.err != nil:
		return engine{Engine: enginePlain, Reason: m.err.Error()}
	case s.Passthrough() != nil:
		return engine{Engine: enginePlain, Reason: s.Passthrough().Error()}
	}
	return engine{Engine: enginePassthrough, Files: m.files}
}

// String is for people.
func (e engine) String() string {
	if e.Engine == enginePassthrough {
		return fmt.Sprintf("passthrough, %d files are read by the kernel alone", e.Files)
	}
	return fmt.Sprintf("plain (%s)", e.Reason)
}
