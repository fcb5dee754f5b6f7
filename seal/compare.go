package seal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/snapfs/snapfs/boltview"
)

// Rot is something of a layer that is not what it was, or that cannot be read.
type Rot struct {
	Layer  string
	File   string  // on disk
	Member *Member // as it was sealed; nil if it is about the frame or the size
	// Page and Pages say which pages of the member have changed: a whole group
	// each, and the groups behind it that have as well. With Err, they are those
	// that cannot be read as a whole; of others of their groups nothing is known.
	Page, Pages int64
	// Err is why Bytes bytes from Offset in the file on were not read: a page is
	// given up at the first byte of it that cannot be. They are 0 if it is nil.
	Err           error
	Offset, Bytes int64
	// Held is what those pages held, if the member is a Bolt file, and More how
	// many there are that are not in Held, which is bounded.
	Held []Held
	More int
	// Missing says that the file is not there at all. Size is what it has now, if
	// that is another.
	Missing bool
	Size    int64
}

// Compare reads what was sealed of the snapshot whose full snapshot is path, and
// returns what has changed, in the order of the seal. It goes by the seal alone:
// damaged headers do not keep it from finding members. What cannot be read is
// returned as well, and the rest is compared. The error is that of ctx, or of a
// layer that cannot be opened.
func (s *Seal) Compare(ctx context.Context, path string, opts Options) (rot []Rot, err error) {
	h := newHasher(ctx, opts)
	h.skip = true
	now := make([]Layer, len(s.Layers))
	there := make([]bool, len(s.Layers))
	for i, l := range s.Layers {
		now[i] = l.blank()
		st, err := os.Stat(LayerPath(path, l.Name))
		switch {
		case err == nil:
			there[i] = true
			now[i].Size = st.Size()
			h.total += l.Size
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	for i, l := range s.Layers {
		if there[i] {
			h.open(LayerPath(path, l.Name), &now[i])
		}
	}
	if err := h.wait(); err != nil {
		return nil, err
	}
	for i := range s.Layers {
		if file := LayerPath(path, now[i].Name); there[i] {
			rot = append(rot, s.Layers[i].compare(file, &now[i], h.unread)...)
		} else {
			rot = append(rot, Rot{Layer: now[i].Name, File: file, Missing: true})
		}
	}
	return rot, nil
}

// blank returns a layer whose members are those of l, and not hashed.
func (l *Layer) blank() Layer {
	now := Layer{Name: l.Name, Size: l.Size, Members: make([]Member, len(l.Members))}
	for i, m := range l.Members {
		now.Members[i] = Member{Offset: m.Offset, Size: m.Size, Page: m.Page, Group: m.Group}
	}
	return now
}

// compare returns what of a layer is not as in now.
func (l *Layer) compare(file string, now *Layer, unread map[place][]span) (rot []Rot) {
	frame := unread[place{now, nil}]
	switch {
	case now.Size != l.Size:
		rot = append(rot, Rot{Layer: l.Name, File: file, Size: now.Size})
	case len(frame) == 0 && now.Frame != l.Frame:
		rot = append(rot, Rot{Layer: l.Name, File: file, Size: l.Size})
	}
	for _, s := range frame {
		rot = append(rot, Rot{Layer: l.Name, File: file, Size: now.Size, Err: s.err, Offset: s.off, Bytes: s.n})
	}
	for i := range l.Members {
		m := &now.Members[i]
		lost := unread[place{now, m}]
		if len(lost) > 0 || m.SHA256 != l.Members[i].SHA256 {
			rot = append(rot, rotten(file, &l.Members[i], m.CRCs, lost)...)
		}
	}
	return rot
}

// LayerPath returns the path of the layer called name of a snapshot.
func LayerPath(path, name string) string {
	if name == "full" {
		return path
	}
	return path + "." + name
}

// rotten returns the runs of pages of a member that cannot be read, and those of
// groups whose CRCs differ; all of it if there are neither.
func rotten(file string, m *Member, crcs []byte, lost []span) (runs []Rot) {
	n := groups(m.Size, m.Page*m.Group)
	pages := groups(m.Size, m.Page)
	unknown := map[int64]bool{} // groups that were not read as a whole
	for _, s := range lost {
		first, end := (s.off-m.Offset)/m.Page, groups(s.off-m.Offset+s.n, m.Page)
		runs = append(runs, Rot{Layer: m.Layer, File: file, Member: m, Page: first, Pages: end - first, Err: s.err, Offset: s.off, Bytes: s.n})
		for g := first / m.Group; g < groups(end, m.Group); g++ {
			unknown[g] = true
		}
	}
	same := func(g int64) bool {
		return unknown[g] || int64(len(crcs)) >= 4*g+4 && bytes.Equal(crcs[4*g:4*g+4], m.CRCs[4*g:4*g+4])
	}
	for g := int64(0); g < n; g++ {
		if same(g) {
			continue
		}
		from := g
		for g+1 < n && !same(g+1) {
			g++
		}
		first := from * m.Group
		runs = append(runs, Rot{Layer: m.Layer, File: file, Member: m, Page: first, Pages: min((g+1)*m.Group, pages) - first})
	}
	if len(runs) == 0 {
		runs = []Rot{{Layer: m.Layer, File: file, Member: m, Pages: pages}}
	}
	slices.SortFunc(runs, func(a, b Rot) int { return cmp.Compare(a.Page, b.Page) })
	f, err := os.Open(file)
	if err != nil {
		return runs
	}
	defer f.Close()
	db, err := boltview.Open(io.NewSectionReader(f, m.Offset, m.Size), m.Size, boltview.Options{})
	if err != nil || int64(db.Info().PageSize) != m.Page {
		return runs
	}
	held(db, runs)
	return runs
}

// Held is what some pages of a Bolt file held of one bucket.
type Held struct {
	Path [][]byte // keys of the buckets, from the outermost inwards
	Keys int64    // how many; -1 if the page does not say any more
	// From and To bound the keys, To not being one of them; empty if nothing
	// tells.
	From, To []byte
	Branch   bool // a page that leads to others: its keys are lost with it
}

// maxHeld bounds [Rot.Held]: a file that changed as a whole held millions.
const maxHeld = 1000

// hold adds what a run held.
func (r *Rot) hold(h Held) {
	if len(r.Held) == maxHeld {
		r.More++
		return
	}
	r.Held = append(r.Held, h)
}

// held fills in what runs of pages held, by the tree that can be read now. Runs
// are in order.
func held(db *boltview.DB, runs []Rot) {
	for p := range db.TreePages() {
		from, to := int64(p.ID), int64(p.ID+p.Pages)
		i, _ := slices.BinarySearchFunc(runs, from+1, func(r Rot, at int64) int { return cmp.Compare(r.Page+r.Pages, at) })
		for ; i < len(runs) && runs[i].Page < to; i++ {
			h := Held{Path: p.Path, Keys: int64(p.Count), From: bytes.Clone(p.Keys.From), To: bytes.Clone(p.Keys.To), Branch: p.Count >= 0 && !p.Leaf}
			small := inline(db, p)
			if len(small) > 0 {
				h.Keys -= int64(len(small))
			}
			if h.Keys != 0 || len(small) == 0 {
				runs[i].hold(h)
			}
			for _, h := range small {
				runs[i].hold(h)
			}
		}
	}
}

// inline returns the buckets that lie within a leaf, as far as they can be read.
func inline(db *boltview.DB, p boltview.TreePage) (list []Held) {
	if !p.Leaf {
		return nil
	}
	page, err := db.Page(p.ID)
	if err != nil {
		return nil
	}
	for it, err := range page.Items() {
		if err != nil || !it.IsBucket() {
			continue
		}
		sub, err := it.Bucket()
		if err != nil || sub.Page() != 0 {
			continue
		}
		n, err := sub.Count()
		if err != nil {
			n = -1
		}
		list = append(list, Held{Path: append(clonePath(p.Path), bytes.Clone(it.Key)), Keys: n})
	}
	return list
}

func clonePath(p [][]byte) [][]byte { return append([][]byte{}, p...) }
