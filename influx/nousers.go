package influx

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/boltview"
)

// WithoutUsers returns the metadata of size bytes in r without users, their
// hashes and privileges, and how many users that were. All else is the same to
// the byte. The error is one of [OpenMeta], or a [*MetaError] for those of a
// release candidate, which are a Bolt file, see [IsUser].
func WithoutUsers(r io.ReaderAt, size int64) ([]byte, int, error) {
	m, err := OpenMeta(r, size)
	if err != nil {
		return nil, 0, err
	}
	if m.Format != MetaProtobuf {
		return nil, 0, &MetaError{0, "Data", "a Bolt file, not protobuf"}
	}
	b := make([]byte, size)
	if n, err := r.ReadAt(b, 0); n < len(b) {
		return nil, 0, fmt.Errorf("read metadata: %w", err)
	}
	const users protowire.Number = 6
	out := make([]byte, 0, len(b))
	err = message{b: b, name: "Data"}.fields(func(x field) error {
		if x.num != users {
			out = append(out, x.raw...)
		}
		return nil
	})
	return out, len(m.Users), err
}

// IsUser reports whether a key of metadata in the Bolt format is a user.
func IsUser(n boltview.Node) bool {
	in := n.In.Path()
	return len(in) > 0 && string(in[0]) == "Users"
}
