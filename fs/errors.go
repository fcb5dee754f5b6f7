package fs

import "errors"

var (
	// ErrMountPoint is returned when a directory cannot be mounted on, or
	// unmounted, as it is: it is missing, not empty, in the way of the
	// source, in use, or not mounted at all.
	ErrMountPoint = errors.New("bad mount point")

	// ErrNotMounted is returned when a directory to unmount is no mount of
	// snapfs. Such an error is also ErrMountPoint.
	ErrNotMounted = errors.New("not a snapfs mount")

	// ErrBusy is returned when a mount point cannot be unmounted since files
	// in it are in use. Such an error is also ErrMountPoint. Its hint names
	// the processes as far as they can be seen.
	ErrBusy = errors.New("in use")

	// ErrAllowOther is returned when an ordinary user asks for
	// [Options.AllowOther] and the machine does not let ordinary users.
	ErrAllowOther = errors.New("allow_other is not allowed to ordinary users on this machine")

	// ErrUnavailable is returned when this user on this machine can mount
	// nothing through FUSE, whatever the directory. Its hint says what is
	// missing.
	ErrUnavailable = errors.New("FUSE is not available")
)

// mountError is an error with a mount point. It is of all the classes, none of
// which is part of the text.
type mountError struct {
	op, dir string
	err     error
	classes []error
}

func (e *mountError) Error() string   { return e.op + " " + e.dir + ": " + e.err.Error() }
func (e *mountError) Unwrap() []error { return append([]error{e.err}, e.classes...) }
