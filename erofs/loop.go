package erofs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxLoops is how many loop devices one mount takes. Each is a device for all to
// see, and machines have been set up with fewer.
const maxLoops = 64

// loopAll makes a loop device of each file, for kernels that mount only those.
// The devices are gone when they are closed and not mounted, whether by this
// process or by its end.
func loopAll(files []*os.File) (devices []*os.File, err error) {
	if len(files) > maxLoops {
		return nil, fmt.Errorf("it would take %d loop devices, and at most %d are used", len(files), maxLoops)
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("loop devices: %w", err)
	}
	defer control.Close()
	for _, f := range files {
		d, err := loop(control, f)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("loop device of %s: %w", f.Name(), err), closeAll(devices))
		}
		devices = append(devices, d)
	}
	return devices, nil
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// loop makes a loop device of a file, which cannot be written to through it.
func loop(control, f *os.File) (*os.File, error) {
	const tries = 100 // others may be quicker
	for range tries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, os.NewSyscallError("LOOP_CTL_GET_FREE", err)
		}
		d, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDONLY, 0)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(d.Fd()), &unix.LoopConfig{
			Fd: uint32(f.Fd()), Size: BlockSize,
			Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR},
		})
		if err == nil {
			return d, nil
		}
		d.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, os.NewSyscallError("LOOP_CONFIGURE", err)
		}
	}
	return nil, unix.EBUSY
}
