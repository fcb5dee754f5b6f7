package boltview

import "fmt"

// Options says how [Open] reads a file. The zero value is right for most.
type Options struct {
	// Meta says which tree to show.
	Meta Meta
}

// Meta says by which meta page a file is read.
type Meta int

// The ways to choose a tree.
const (
	// MetaAuto takes the newest meta. If there is a sign that the file is torn,
	// it walks the trees, and takes the newest meta whose tree is whole, or else
	// the best of [DB.Candidates].
	MetaAuto Meta = iota
	Meta0         // meta 0, whatever it says
	Meta1         // meta 1, whatever it says
	// MetaSalvage takes the best of [DB.Candidates], whatever the metas say.
	MetaSalvage
)

var metaNames = []string{"auto", "0", "1", "salvage"}

func (m Meta) String() string {
	if m < 0 || int(m) >= len(metaNames) {
		return fmt.Sprintf("Meta(%d)", int(m))
	}
	return metaNames[m]
}

// MarshalText returns auto, 0, 1 or salvage.
func (m Meta) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText takes what MarshalText returns.
func (m *Meta) UnmarshalText(text []byte) error {
	for i, name := range metaNames {
		if name == string(text) {
			*m = Meta(i)
			return nil
		}
	}
	return fmt.Errorf("meta %q is not auto, 0, 1 or salvage", text)
}
