package fs

import (
	"errors"
	"os"

	"github.com/snapfs/snapfs/internal/hint"
)

// Run serves until the tree is unmounted, by whomever, and no longer used. The
// first signal unmounts. If files are in use, that is logged, with the
// processes that may hold them, and serving goes on; the second signal then
// detaches the mount, and serving goes on until the files are closed. One more
// signal makes Run return at once with [ErrBusy]: when the process ends, the
// files still open fail with ENOTCONN. A nil channel sends no signals. The mount
// of an image beside it, see [ImageSource], is unmounted by signals before it.
func (s *Server) Run(signals <-chan os.Signal) error {
	unmounted, tries := false, 0
	for {
		select {
		case <-s.done:
			return nil
		case sig := <-signals:
			s.log.Info("signal", "signal", sig.String())
		}
		if unmounted {
			return &mountError{"serve", s.dir, ErrBusy, []error{ErrMountPoint}}
		}
		tries++
		err := s.end(tries > 1)
		unmounted = err == nil
		switch {
		case err == nil && tries > 1:
			s.log.Warn("detached; serving the files that are open until they are closed", "dir", s.dir)
		case errors.Is(err, ErrBusy):
			s.log.Warn("still serving; the next signal detaches", "cause", err, "hint", hint.Of(err))
		case err != nil:
			s.log.Error("cannot unmount", "cause", err, "hint", hint.Of(err))
			if tries > 2 {
				return err
			}
		}
	}
}

// end unmounts, and the mount of an image beside it as well.
func (s *Server) end(lazy bool) error {
	image, err := besideServed(s.id)
	if err != nil {
		return err
	}
	if image != nil {
		if err := Unmount(image.Mountpoint, lazy); err != nil {
			return err
		}
	}
	return s.unmount(lazy)
}
