package chain

import (
	"slices"
	"sort"
	"sync"
	"time"
)

// listing is the manifest of a layer as it is kept. A file takes 16 bytes if its
// name and size are those of a member, as nearly all are. Files have the numbers
// that they have in the manifest; there are fewer than 1<<31, as a manifest has
// no more than maxManifest bytes.
type listing struct {
	dialect Dialect
	null    bool // there is no list, rather than an empty one
	stamps  []packedStamp
	zones   map[int16]*time.Location // but UTC
	odd     []oddFile                // by their numbers
}

// packedStamp is a Stamp without pointers.
type packedStamp struct {
	n    uint64 // the index, or seconds since 1970
	nsec uint32
	zone int16 // minutes east of UTC
}

// oddFile is a file of a manifest that is no member, or has another name or size.
type oddFile struct {
	number int32
	name   string
	size   int64
}

func (m *listing) pack(s Stamp) packedStamp {
	if m.dialect == ByIndex {
		return packedStamp{n: s.Index}
	}
	_, east := s.Time.Zone()
	zone := int16(east / 60) // times in RFC 3339 have whole minutes
	if zone != 0 && m.zones[zone] == nil {
		if m.zones == nil {
			m.zones = map[int16]*time.Location{}
		}
		m.zones[zone] = time.FixedZone("", east) // not that of the stamp, which may be a place
	}
	return packedStamp{uint64(s.Time.Unix()), uint32(s.Time.Nanosecond()), zone}
}

// stamp returns how new file i is.
func (m *listing) stamp(i int32) Stamp {
	p := &m.stamps[i]
	if m.dialect == ByIndex {
		return Stamp{Index: p.n}
	}
	t := time.Unix(int64(p.n), int64(p.nsec))
	if p.zone == 0 {
		return Stamp{Time: t.UTC()}
	}
	return Stamp{Time: t.In(m.zones[p.zone])}
}

// trim gives back what memory was taken for and not needed.
func (m *listing) trim() {
	if cap(m.stamps) > len(m.stamps)+len(m.stamps)/8 {
		m.stamps = slices.Clone(m.stamps)
	}
	m.odd = slices.Clip(m.odd)
}

// oddity returns what is odd about file i, nil if nothing is.
func (m *listing) oddity(i int32) *oddFile {
	at := sort.Search(len(m.odd), func(k int) bool { return m.odd[k].number >= i })
	if at < len(m.odd) && m.odd[at].number == i {
		return &m.odd[at]
	}
	return nil
}

// draft is a manifest that was read, before it is known which of its files are
// which members.
type draft struct {
	listing
	sizes []int64
	names []byte // one after the other
	ends  []int  // of each in there
}

// maxPooled is how many files a draft may have had that is used again: the memory
// of a larger one would stay for long, and it is worth its while to get it anew.
const maxPooled = 10_000

// drafts are used for one layer after the other.
var drafts = sync.Pool{New: func() any { return new(draft) }}

// free gives a draft back. A copy of its listing stays as it is.
func (d *draft) free() {
	d.reset()
	if cap(d.ends) <= maxPooled {
		drafts.Put(d)
	}
}

// reset makes the draft empty.
func (d *draft) reset() {
	d.listing = listing{}
	d.sizes, d.names, d.ends = d.sizes[:0], d.names[:0], d.ends[:0]
}

func (d *draft) len() int { return len(d.stamps) }

// grow makes room for n more files like those that are there.
func (d *draft) grow(n int) {
	d.sizes, d.ends, d.stamps = slices.Grow(d.sizes, n), slices.Grow(d.ends, n), slices.Grow(d.stamps, n)
	d.names = slices.Grow(d.names, n*(len(d.names)/max(1, d.len())+2))
}

// add adds a file, whose stamp is of the dialect.
func (d *draft) add(name []byte, size int64, s Stamp) {
	d.sizes = append(d.sizes, size)
	d.names = append(d.names, name...)
	d.ends = append(d.ends, len(d.names))
	d.stamps = append(d.stamps, d.pack(s))
}

// name returns the name of file i, valid until the draft is free.
func (d *draft) name(i int) []byte {
	start := 0
	if i > 0 {
		start = d.ends[i-1]
	}
	return d.names[start:d.ends[i]]
}

// manifest returns all that was read.
func (d *draft) manifest() Manifest {
	m := Manifest{Dialect: d.dialect}
	if d.null {
		return m
	}
	m.Files = make([]ManifestFile, d.len())
	names, start := string(d.names), 0
	for i, end := range d.ends {
		m.Files[i] = ManifestFile{names[start:end], d.sizes[i], d.stamp(int32(i))}
		start = end
	}
	return m
}
