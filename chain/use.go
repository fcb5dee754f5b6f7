package chain

import "fmt"

// Use says what the bytes of one layer are there for. The four numbers add up
// to its size.
type Use struct {
	Layer  *Layer
	Newest int64 // of members that the newest point shows
	Older  int64 // of members that only points before that show
	None   int64 // of members that no point shows, and of what is no member
	Frame  int64 // manifest and end mark
	Unused []Unused
}

// Unused is a member that no point shows, or a stretch of a tar that is no
// member.
type Unused struct {
	Name   string // of the member, as in the tar; "" if it is none
	Offset int64  // in the tar, of its header
	Bytes  int64  // with header and padding
	Why    string
}

const block = 512

// Use returns what each layer is used for. A layer that is no tar is of no use
// at all.
func (c *Chain) Use() []Use {
	all := make([]Use, len(c.layers))
	state := c.layers[0].records
	won := make([]map[int32]bool, len(c.layers)) // members that the point of their layer shows
	for i, l := range c.layers {
		if i > 0 {
			state = c.fold(state, c.layers[i:i+1])
		}
		won[i] = map[int32]bool{}
		at := 0
		for _, r := range l.records {
			if at = gallop(state, at, r.path); state[at].layer == int32(i) {
				won[i][r.member] = true
			}
		}
	}
	newest := make([]map[int32]bool, len(c.layers))
	for i := range newest {
		newest[i] = map[int32]bool{}
	}
	for _, r := range state {
		newest[r.layer][r.member] = true
	}
	for i, l := range c.layers {
		all[i] = l.use(won[i], newest[i])
	}
	return all
}

// use adds up the members of a layer.
func (l *Layer) use(won, newest map[int32]bool) Use {
	u := Use{Layer: l}
	if l.index == nil {
		if l.Size > 0 {
			u.unused(Unused{Bytes: l.Size, Why: "no tar"})
		}
		return u
	}
	listed := map[int32]bool{}
	for _, r := range l.records {
		listed[r.member] = true
	}
	end := int64(0)
	for i, e := range l.index.All() {
		next := min(e.DataOffset+(e.Size+block-1)/block*block, l.Size)
		if i+1 < l.index.Len() {
			next = l.index.Entry(i + 1).HeaderOffset // the data of a sparse member are fewer than its size
		}
		size := next - e.HeaderOffset
		end = next
		m := int32(i)
		switch {
		case i == l.manifest:
			u.Frame += size
		case newest[m]:
			u.Newest += size
		case won[m]:
			u.Older += size
		case listed[m]:
			u.unused(Unused{e.Name, e.HeaderOffset, size, "an earlier layer has a copy that is as new"})
		default:
			u.unused(Unused{e.Name, e.HeaderOffset, size, "a later member of this tar has the same name"})
		}
	}
	rest := l.Size - end
	mark := min(rest, 2*block)
	u.Frame += mark
	if rest > mark {
		u.unused(Unused{"", end + mark, rest - mark, "behind the end"})
	}
	return u
}

func (u *Use) unused(x Unused) {
	u.None += x.Bytes
	u.Unused = append(u.Unused, x)
}

// String says what it is, for a message.
func (x Unused) String() string {
	if x.Name == "" {
		return fmt.Sprintf("%d bytes at %d: %s", x.Bytes, x.Offset, x.Why)
	}
	return fmt.Sprintf("%q, %d bytes at %d: %s", x.Name, x.Bytes, x.Offset, x.Why)
}
