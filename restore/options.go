package restore

import (
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// Options says what to copy and how. The zero value copies everything and
// overwrites nothing.
type Options struct {
	// Include and Exclude select paths by glob; see the package documentation.
	// Without Include everything is selected. Exclude wins.
	Include, Exclude []string

	// NewerThan, unless zero, leaves out files and links that were not modified
	// after it, and directories that hold nothing else.
	NewerThan time.Time

	// Filter, if set, is asked for each listed path that the globs leave in.
	// False leaves out the path and all below it.
	Filter func(path string, d fs.DirEntry) bool

	// Overwrite says what happens to files that are already there.
	Overwrite Overwrite

	// FileMode and DirMode, if not 0, are the exact permission bits for each
	// file written and each directory made, whatever the tree and the umask
	// say. Owner read and write (and search) are always added.
	FileMode, DirMode fs.FileMode

	// Owner, if set, is whom files, links and directories that are written will
	// belong to. Only root may give files away.
	Owner *Owner

	// Workers is the number of files that are copied at a time; 0 means 8,
	// since one that waits for its fsync leaves the processor to others.
	Workers int

	// MaxEntries bounds the names read from the tree; 0 means 10 million.
	// Beyond it [NewPlan] returns [ErrBudget].
	MaxEntries int

	// Progress, if set, is called after every piece of work, at most once per
	// MiB or file, and never by two goroutines at once. It should return soon.
	Progress func(Progress)

	// Hash has each regular file that is written, or compared with one that is
	// there, hashed: see [Step.SHA256].
	Hash bool

	// Verify reads each file back after it was written and synced, from the disk
	// where the system lets go of what it has in memory, and compares its hash
	// with that of what was read from the tree. It implies Hash. If they differ,
	// [ErrVerify] ends the restore.
	Verify bool

	// NoSync leaves it to the system when what is written gets to the disk: after
	// a power failure files may be empty, or not there.
	NoSync bool

	staged bool // the target is the staged tree of a swap: nobody sees it yet
	probe  bool // do not compare contents if names, sizes or times differ
	step   func(string)
}

func (o *Options) at(what string) {
	if o.step != nil {
		o.step(what)
	}
}

// filePerm returns the permissions of a file that has a mode in the tree. It is
// made with them, so that nobody gets at it who must not in the end.
func (o *Options) filePerm(mode fs.FileMode) fs.FileMode {
	if o.FileMode != 0 {
		mode = o.FileMode
	}
	return mode.Perm() | 0o600
}

// dirPerm is filePerm for directories.
func (o *Options) dirPerm(mode fs.FileMode) fs.FileMode {
	if o.DirMode != 0 {
		mode = o.DirMode
	}
	return mode.Perm() | 0o700
}

// dressed reports whether a file or directory has the mode and the owner that
// are asked for, if any are.
func (o *Options) dressed(st fs.FileInfo) bool {
	mode, least := o.FileMode, fs.FileMode(0o600)
	if st.IsDir() {
		mode, least = o.DirMode, 0o700
	}
	if mode != 0 && st.Mode().Type() != fs.ModeSymlink && st.Mode().Perm() != mode.Perm()|least {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return !ok || o.Owner == nil ||
		(o.Owner.UID < 0 || int(sys.Uid) == o.Owner.UID) && (o.Owner.GID < 0 || int(sys.Gid) == o.Owner.GID)
}

// Owner is a user and a group by their numbers; -1 leaves one as it is.
type Owner struct{ UID, GID int }

const (
	defaultWorkers = 8
	defaultEntries = 10_000_000
	maxDepth       = 256 // directories below each other
)

// Phase is what a [Progress] is about.
type Phase string

const (
	PhaseCheck Phase = "check" // comparing existing files with the tree
	PhaseCopy  Phase = "copy"  // writing
)

// Progress tells how far a restore is. Files and Bytes grow to TotalFiles and
// TotalBytes within a phase, unless files fail.
type Progress struct {
	Phase      Phase
	Path       string // the file that was worked on last
	Files      int
	TotalFiles int
	Bytes      int64
	TotalBytes int64
}

// Overwrite says what happens to a file that is already in the target. It is
// written as never, if-changed, if-newer or always.
type Overwrite uint8

const (
	// Never makes any existing file that is not equal to the tree's a conflict.
	// Equal is: the same size, time of modification and content.
	Never Overwrite = iota
	// IfChanged keeps files of the same size and time, and replaces others.
	IfChanged
	// IfNewer replaces a file if the tree's was modified later.
	IfNewer
	// Always replaces.
	Always

	// mirror makes the target equal to the tree. What differs in type, size, time,
	// mode, owner or content is replaced, what the tree does not have is removed.
	mirror
)

var overwriteNames = [...]string{"never", "if-changed", "if-newer", "always"}

func (o Overwrite) String() string {
	if int(o) < len(overwriteNames) {
		return overwriteNames[o]
	}
	return fmt.Sprintf("Overwrite(%d)", uint8(o))
}

// MarshalText implements [encoding.TextMarshaler].
func (o Overwrite) MarshalText() ([]byte, error) {
	if int(o) >= len(overwriteNames) {
		return nil, fmt.Errorf("overwrite: no policy has number %d", uint8(o))
	}
	return []byte(o.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *Overwrite) UnmarshalText(text []byte) error {
	for i, name := range overwriteNames {
		if string(text) == name {
			*o = Overwrite(i)
			return nil
		}
	}
	return fmt.Errorf("overwrite: %q is none of never, if-changed, if-newer, always", text)
}
