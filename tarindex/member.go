package tarindex

import (
	"archive/tar"
	"slices"
	"time"
)

// member is what the index knows of a member.
type member struct {
	header int64  // offset
	size   int64  // logical
	mtime  int64  // seconds since 1970
	name   uint32 // offset in the names of the chunk
	traits
}

// traits are what is the same for most members of an archive.
type traits struct {
	nsec  uint32 // added to mtime
	data  uint32 // blocks from header to data
	mode  uint16 // permissions as in Unix
	typ   byte
	flags byte
}

const (
	flagSparse = 1 << iota
	flagDir    // a directory, although its type is another
)

// kept is a member as it is stored: in 32 bytes, and without pointers, so that
// an index of millions costs the garbage collector nothing.
type kept struct {
	header, size, mtime int64
	name                uint32
	traits              uint32 // index in those of the Index
}

// chunk holds up to chunkLen members and their names, one after the other. A
// name has at most 1 MiB, so that the offset of each fits in 32 bits.
type chunk struct {
	members []kept
	names   string
}

const (
	chunkBits = 12
	chunkLen  = 1 << chunkBits
)

// recent is how many of the last traits are looked at for those of a member.
// Where times have nanoseconds, nearly all differ.
const recent = 8

// keep returns m as it is stored.
func (ix *Index) keep(m member) kept {
	from := max(0, len(ix.traits)-recent)
	i := slices.Index(ix.traits[from:], m.traits)
	if i < 0 {
		i = len(ix.traits) - from
		ix.traits = append(ix.traits, m.traits)
	}
	return kept{header: m.header, size: m.size, mtime: m.mtime, name: m.name, traits: uint32(from + i)}
}

func (ix *Index) member(i int) member {
	k := &ix.chunks[i>>chunkBits].members[i&(chunkLen-1)]
	return member{header: k.header, size: k.size, mtime: k.mtime, name: k.name, traits: ix.traits[k.traits]}
}

func (ix *Index) name(i int) string {
	c := &ix.chunks[i>>chunkBits]
	i &= chunkLen - 1
	if i+1 < len(c.members) {
		return c.names[c.members[i].name:c.members[i+1].name]
	}
	return c.names[c.members[i].name:]
}

func (m member) dataOffset() int64  { return m.header + int64(m.data)*blockSize }
func (m member) modTime() time.Time { return time.Unix(m.mtime, int64(m.nsec)).UTC() }

func (m member) isDir() bool { return m.typ == tar.TypeDir || m.flags&flagDir != 0 }
