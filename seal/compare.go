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

// Rot is something of a layer that is not what it was.
type Rot struct {
	Layer  string
	File   string  // on disk
	Member *Member // as it was sealed; nil if it is about the frame or the size
	// Page and Pages say which pages of the member have changed: a whole group
	// each, and the groups behind it that have as well.
	Page, Pages int64
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
// returns what has changed, in the order of the seal, and the layers' names that
// are there. It goes by the seal alone: damaged headers do not keep it from
// finding members. The error is that of ctx, or of a read that failed.
func (s *Seal) Compare(ctx context.Context, path string, opts Options) (rot []Rot, err error) {
	h := newHasher(ctx, opts)
	now := make([]Layer, len(s.Layers))
	there := make([]bool, len(s.Layers))
	for i, l := range s.Layers {
		now[i] = Layer{Name: l.Name, Size: l.Size, Members: make([]Member, len(l.Members))}
		for j, m := range l.Members {
			now[i].Members[j] = Member{Offset: m.Offset, Size: m.Size, Page: m.Page, Group: m.Group}
		}
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
	for i, l := range s.Layers {
		file := LayerPath(path, l.Name)
		switch {
		case !there[i]:
			rot = append(rot, Rot{Layer: l.Name, File: file, Missing: true})
			continue
		case now[i].Size != l.Size:
			rot = append(rot, Rot{Layer: l.Name, File: file, Size: now[i].Size})
		case now[i].Frame != l.Frame:
			rot = append(rot, Rot{Layer: l.Name, File: file, Size: l.Size})
		}
		for j := range l.Members {
			if now[i].Members[j].SHA256 != l.Members[j].SHA256 {
				rot = append(rot, rotten(file, &l.Members[j], now[i].Members[j].CRCs)...)
			}
		}
	}
	return rot, nil
}

// LayerPath returns the path of the layer called name of a snapshot.
func LayerPath(path, name string) string {
	if name == "full" {
		return path
	}
	return path + "." + name
}

// rotten returns the runs of groups of a member whose CRCs differ; all of it if
// none do.
func rotten(file string, m *Member, crcs []byte) (runs []Rot) {
	n := groups(m.Size, m.Page*m.Group)
	pages := groups(m.Size, m.Page)
	same := func(g int64) bool {
		return int64(len(crcs)) >= 4*g+4 && bytes.Equal(crcs[4*g:4*g+4], m.CRCs[4*g:4*g+4])
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
