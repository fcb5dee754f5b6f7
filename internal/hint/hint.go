// Package hint lets an error carry what its reader can do about it.
//
// The text of an error says what happened; the hint says what to type next. A
// library adds it where it knows it, and the command prints it on a line of
// its own.
package hint

import (
	"errors"
	"fmt"
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
