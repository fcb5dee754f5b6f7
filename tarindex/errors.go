package tarindex

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/snapfs/snapfs/internal/hint"
)

var (
	// ErrTruncated is returned when the archive ends in the middle of a header
	// or of a member's data.
	ErrTruncated = errors.New("archive is cut off")

	// ErrFormat is returned when there is something else where a header must
	// be, or the parts of a member contradict each other.
	ErrFormat = errors.New("not a tar header")

	// ErrCompressed is returned when the file is compressed. Members of such
	// archives cannot be reached at random. The error has a hint.
	ErrCompressed = errors.New("archive is compressed")

	// ErrNoContent is returned when content is asked of a member that has
	// none: a directory, a symbolic link, a device, or a hard link to a member
	// that does not exist.
	ErrNoContent = errors.New("member has no content")
)

// Error says where in an archive something is wrong. It wraps one of the
// errors of this package, or the error of a read that failed.
type Error struct {
	Op      string // "index" or "read"
	Name    string // of the member, as in the archive; empty if it is not about one
	Offset  int64  // of the first byte in the archive that is wrong, or missing
	Missing int64  // bytes that the member lacks; 0 if unknown
	Err     error  // what is wrong
	Cause   error  // what archive/tar has to say about it, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(" tar: ")
	if e.Name != "" {
		fmt.Fprintf(&b, "member %q: ", e.Name)
	}
	fmt.Fprintf(&b, "offset %d: %v", e.Offset, e.Err)
	if e.Missing > 0 {
		fmt.Fprintf(&b, ", %d bytes are missing", e.Missing)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// Unwrap returns Err and Cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Cause}
}

// compressors are the programs whose output is known by its first bytes.
var compressors = [...]struct{ magic, command string }{
	{"\x1f\x8b", "gzip"},
	{"\x28\xb5\x2f\xfd", "zstd"},
	{"\xfd7zXZ\x00", "xz"},
	{"BZh", "bzip2"},
	{"\x04\x22\x4d\x18", "lz4"},
	{"LZIP", "lzip"},
}

// compressed returns ErrCompressed, with a hint, if head begins a compressed
// file, and otherwise nil.
func compressed(head []byte, f *os.File) error {
	for _, c := range compressors {
		if !bytes.HasPrefix(head, []byte(c.magic)) {
			continue
		}
		name := "FILE"
		if f != nil {
			name = f.Name()
		}
		err := &Error{Op: "index", Err: fmt.Errorf("%w by %s", ErrCompressed, c.command)}
		return hint.Wrap(err, "decompress it first: %s -d -c %s > %s", c.command, hint.Quote(name), hint.Quote(plainName(name)))
	}
	return nil
}

// plainName returns a name for the decompressed file.
func plainName(name string) string {
	for _, ext := range []string{".gz", ".zst", ".xz", ".bz2", ".lz4", ".lz"} {
		if short, ok := strings.CutSuffix(name, ext); ok && short != "" {
			return short
		}
	}
	return name + ".tar"
}
