// Package hint lets an error carry what its reader can do about it.
//
// The text of an error says what happened; the hint says what to type next. A
// library adds it where it knows it, and the command prints it on a line of
// its own. Paths in it are for a shell: see [Quote].
package hint

import (
	"errors"
	"fmt"
	"strings"
)

type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// Wrap returns err with a hint, made as by [fmt.Sprintf]. The text of the
// error and what it unwraps to stay the same. A nil err stays nil.
func Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// Of returns the outermost hint in err's chain, or "".
func Of(err error) string {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}

// Quote returns a path as a word for a POSIX shell, as it is where nothing in it
// means something there. A path that would pass for an option begins with "./".
func Quote(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%", r)
	}
	if path != "" && strings.TrimLeftFunc(path, plain) == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
