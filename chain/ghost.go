package chain

import (
	"fmt"
	"sync"

	"github.com/snapfs/snapfs/internal/dirtree"
)

// Ghosts says what a view does with ghosts: shards that are in the chain, since
// no layer records a deletion, but that the server had dropped by then. It is
// written as show, hide or only.
type Ghosts uint8

const (
	Show Ghosts = iota // with all others, marked
	Hide
	Only // and nothing else
)

var ghostNames = [...]string{"show", "hide", "only"}

func (g Ghosts) String() string {
	if int(g) < len(ghostNames) {
		return ghostNames[g]
	}
	return fmt.Sprintf("Ghosts(%d)", uint8(g))
}

// MarshalText implements [encoding.TextMarshaler].
func (g Ghosts) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (g *Ghosts) UnmarshalText(text []byte) error {
	for i, name := range ghostNames {
		if string(text) == name {
			*g = Ghosts(i)
			return nil
		}
	}
	return fmt.Errorf("ghosts: %q is none of show, hide, only", text)
}

// WithGhosts returns the view with its ghosts marked, and shown or hidden as g
// says. reason is asked once for each file and returns why it is a ghost, or ""
// if it is none: what a server still knew is in its meta, which this package
// does not read. The reason is [File.Ghost], and the attribute "ghost".
func (v *View) WithGhosts(g Ghosts, reason func(File) string) *View {
	records := v.records
	if g != Show {
		records = nil
	}
	ghosts := map[uint32]string{}
	for i, r := range v.records {
		why := reason(v.file(r))
		if g == Hide && why != "" || g == Only && why == "" {
			continue
		}
		at := i
		if g != Show {
			at = len(records)
			records = append(records, r)
		}
		if why != "" {
			ghosts[uint32(at)] = why
		}
	}
	out := newView(v.chain, v.point.Layer.number, records)
	out.merged, out.ghosts = v.merged, ghosts
	if g == Show { // the same files, of which some say more
		out.tree = sync.OnceValue(func() *dirtree.FS { return v.tree().With((*source)(out)) })
	}
	return out
}
