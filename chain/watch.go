package chain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Watch calls changed for each layer whose tar is written to, once, as soon as
// the kernel tells, with an error that matches [ErrChanged]. It returns when ctx
// is done, or when the kernel cannot tell; reads notice a change by themselves,
// without Watch.
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
		if _, err := unix.InotifyAddWatch(fd, fmt.Sprintf("/proc/self/fd/%d", l.file.Fd()), unix.IN_MODIFY|unix.IN_ATTRIB); err != nil {
			return fmt.Errorf("watch %s: %w", l.Path, err)
		}
	}
	told := map[*Layer]bool{}
	buf := make([]byte, 4096)
	for {
		// Which file an event is about is not worth the trouble: to look at
		// all costs as much as to read the event.
		for _, l := range c.layers {
			if err := l.changed(); err != nil && !told[l] {
				told[l] = true
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

// File returns the open file that the layer is, nil if it could not be opened
// ([Options.Keep]). It is only borrowed.
func (l *Layer) File() *os.File { return l.file }
