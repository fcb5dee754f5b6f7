package chain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrReplaced is what [Chain.Watch] tells of a tar that was removed or renamed, or
// had another file moved to its place. The chain has the old one open and reads
// it as it was, until it is closed.
var ErrReplaced = errors.New("not in its place any more")

// Watch calls changed for each layer whose tar is written to, as soon as the
// kernel tells, with an error that matches [ErrChanged], and for each whose tar is
// not at its path any more, with one that matches [ErrReplaced]: once each. It
// returns when ctx is done, or when the kernel cannot tell; reads notice that a
// tar was written to by themselves, without Watch. That a directory above was
// renamed, or a symbolic link changed, the kernel does not tell.
func (c *Chain) Watch(ctx context.Context, changed func(l *Layer, err error)) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("inotify_init1", err)
	}
	events := os.NewFile(uintptr(fd), "inotify") // waits in the runtime, as it does not block
	defer events.Close()
	defer context.AfterFunc(ctx, func() { events.Close() })()
	for _, l := range c.layers {
		if l.file == nil {
			continue
		}
		// By descriptor: the file that is open, whatever has its name.
		if _, err := unix.InotifyAddWatch(fd, fmt.Sprintf("/proc/self/fd/%d", l.file.Fd()), unix.IN_MODIFY|unix.IN_ATTRIB|unix.IN_MOVE_SELF); err != nil {
			return fmt.Errorf("watch %s: %w", l.Path, err)
		}
	}
	written, replaced := map[*Layer]bool{}, map[*Layer]bool{}
	buf := make([]byte, 4096)
	for {
		// Which file an event is about is not worth the trouble: to look at
		// all costs as much as to read the event.
		for _, l := range c.layers {
			if err := l.Changed(); err != nil && !written[l] {
				written[l] = true
				changed(l, err)
			}
			if err := l.replaced(); err != nil && !replaced[l] {
				replaced[l] = true
				changed(l, err)
			}
		}
		if _, err := events.Read(buf); errors.Is(err, fs.ErrClosed) && ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// replaced returns ErrReplaced if another file has the path of the tar, or none.
func (l *Layer) replaced() error {
	if l.file == nil {
		return nil
	}
	mine, err := l.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(l.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: it was removed or renamed", l.Path, ErrReplaced)
	case err == nil && !os.SameFile(mine, there):
		return fmt.Errorf("%s: %w: another file is there", l.Path, ErrReplaced)
	}
	return nil // a path that cannot be looked at tells nothing of the file
}

// File returns the open file that the layer is, nil if it could not be opened
// ([Options.Keep]). It is only borrowed.
func (l *Layer) File() *os.File { return l.file }
