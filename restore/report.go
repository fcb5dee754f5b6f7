package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/snapfs/snapfs/internal/hint"
)

var (
	// ErrConflict is returned when something in the target is in the way.
	// Nothing has been written.
	ErrConflict = errors.New("conflict with existing files")

	// ErrSpace is returned when the target's file system clearly has too
	// little room. Nothing has been written.
	ErrSpace = errors.New("not enough space")

	// ErrIncomplete is returned when some files could not be restored. What is
	// there under its final name is whole.
	ErrIncomplete = errors.New("restore incomplete")

	// ErrVerify is returned when a file that was written reads back differently.
	ErrVerify = errors.New("what was written reads back differently")

	// ErrBudget is returned when the tree holds more names than
	// [Options.MaxEntries].
	ErrBudget = errors.New("too many entries")

	// ErrBusy is returned when another restore is writing to the target.
	ErrBusy = errors.New("another restore is running")
)

// Report tells what a restore did, or, from [Plan.Report], would do. Files are
// regular files and symbolic links.
type Report struct {
	Target      string        `json:"target"`
	Files       int           `json:"files"` // written: Created + Overwritten
	Bytes       int64         `json:"bytes"` // of content, in those files
	Dirs        int           `json:"dirs"`  // directories made
	Created     int           `json:"created"`
	Overwritten int           `json:"overwritten"`
	Kept        int           `json:"kept"`      // existing files left as they are
	Conflicts   int           `json:"conflicts"` // if not 0, nothing was written
	Remaining   int           `json:"remaining"` // files not reached before the end
	Skipped     []Skipped     `json:"skipped,omitempty"`
	Outside     []string      `json:"outside,omitempty"`   // links that point out of the target
	Failed      []Failure     `json:"failed,omitempty"`    // by path
	Aside       string        `json:"aside,omitempty"`     // where a replaced directory is kept
	Discarded   bool          `json:"discarded,omitempty"` // a replaced directory was removed
	Duration    time.Duration `json:"duration_ns"`
}

// Skipped is a path that is neither file, directory nor symbolic link.
type Skipped struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Failure is a path that could not be restored, and why.
type Failure struct {
	Path string
	Err  error

	target bool // it was the target that could not be written
}

// MarshalJSON writes {"path": …, "error": …}.
func (f Failure) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Path  string `json:"path"`
		Error string `json:"error"`
	}{f.Path, cause(f.Err).Error()})
}

// String returns the path and the cause, fit for a terminal.
func (f Failure) String() string { return printable(f.Path) + ": " + cause(f.Err).Error() }

// printable quotes a path that a terminal would take for commands.
func printable(p string) string {
	if !utf8.ValidString(p) || strings.ContainsFunc(p, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(p)
	}
	return p
}

// cause strips the operation and paths from an error that is shown behind its
// path anyway.
func cause(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return e.Err
	case *os.LinkError:
		return e.Err
	}
	return err
}

// shown is the number of paths that the text of an error lists.
const shown = 3

func list(paths []string, total int) string {
	s := strings.Join(paths, "; ")
	if more := total - len(paths); more > 0 {
		s += fmt.Sprintf("; and %d more", more)
	}
	return s
}

// onlyUnread reports whether all failures are of the tree.
func (r *Report) onlyUnread() bool {
	return !slices.ContainsFunc(r.Failed, func(f Failure) bool { return f.target })
}

func incomplete(r *Report, stopped error, staged bool) error {
	var lines []string
	for _, f := range r.Failed[:min(shown, len(r.Failed))] {
		lines = append(lines, f.String())
	}
	missing := len(r.Failed) + r.Remaining
	var err error
	switch {
	case staged:
		if len(lines) == 0 && stopped != nil {
			lines = []string{stopped.Error()}
		}
		err = fmt.Errorf("restore %s: %w: %s", r.Target, ErrIncomplete, list(lines, max(len(lines), len(r.Failed))))
		if stopped != nil {
			err = &caused{err, stopped}
		}
		return err
	case stopped != nil:
		err = fmt.Errorf("restore %s: %w: %d not restored: %w", r.Target, ErrIncomplete, missing, stopped)
	default:
		err = fmt.Errorf("restore %s: %w: %d not restored: %s", r.Target, ErrIncomplete, missing, list(lines, len(r.Failed)))
	}
	return hint.Wrap(err, "run the same command again when the cause is gone: files already restored are kept")
}

// caused is an error whose text tells its cause already.
type caused struct{ err, cause error }

func (c *caused) Error() string   { return c.err.Error() }
func (c *caused) Unwrap() []error { return []error{c.err, c.cause} }
