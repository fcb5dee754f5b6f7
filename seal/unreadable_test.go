package seal

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// faulty is a file of which some pages of 4096 bytes cannot be read.
type faulty struct {
	data []byte
	bad  map[int64]bool // numbers of pages
	// whole fails each read that touches a bad page from its first byte on, as
	// reads past the cache of the kernel do.
	whole bool
}

func (f *faulty) ReadAt(b []byte, off int64) (int, error) {
	end := min(off+int64(len(b)), int64(len(f.data)))
	for at := off; at < end; at += 4096 - at%4096 {
		if f.bad[at/4096] {
			if f.whole {
				at = off
			}
			return copy(b, f.data[off:at]), &os.PathError{Op: "read", Path: "snap", Err: unix.EIO}
		}
	}
	n := copy(b, f.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// TestUnreadable compares a layer of which pages cannot be read, and others have
// changed, with what is found by looking at each byte.
func TestUnreadable(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	sound := make([]byte, 300<<10)
	for i := range sound {
		sound[i] = byte(r.Uint32())
	}
	l := &Layer{Name: "full", Size: int64(len(sound)), Members: []Member{
		{Offset: 512, Size: 300, Page: 4096, Group: 1},
		{Offset: 1536, Size: 50<<10 + 1, Page: 4096, Group: 1},
		{Offset: 100 << 10, Size: 100 << 10, Page: 4096, Group: 3},
		{Offset: 201 << 10, Size: 90 << 10, Page: 1024, Group: 2},
	}}
	h := newHasher(t.Context(), Options{})
	h.layer(bytes.NewReader(sound), l)
	if err := h.wait(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		f := &faulty{data: slices.Clone(sound), bad: map[int64]bool{}, whole: r.IntN(2) == 0}
		for range r.IntN(6) {
			for at, n := r.Int64N(l.Size/4096), r.Int64N(4); n >= 0; n-- {
				f.bad[min(at+n, l.Size/4096-1)] = true
			}
		}
		for range r.IntN(4) {
			f.data[r.Int64N(l.Size)] ^= 1
		}
		h := newHasher(t.Context(), Options{})
		h.skip = true
		now := l.blank()
		h.layer(f, &now)
		if err := h.wait(); err != nil || h.done != l.Size {
			t.Fatalf("seed %d: %d bytes done of %d, %v", seed, h.done, l.Size, err)
		}
		rot := l.compare("", &now, h.unread)
		if got, want := found(rot), f.wrong(l, sound); !maps.Equal(got, want) {
			t.Fatalf("seed %d: found %v, want %v", seed, got, want)
		}
		for off := int64(0); off < l.Size; off += 256 {
			covers := func(r Rot) bool {
				return r.Member == owner(l, off) && r.Err != nil && off >= r.Offset && off < r.Offset+r.Bytes
			}
			if f.bad[off/4096] && !slices.ContainsFunc(rot, covers) {
				t.Fatalf("seed %d: that byte %d cannot be read is not told: %+v", seed, off, rot)
			}
		}

		// A seal is not made of what cannot be read.
		h = newHasher(t.Context(), Options{})
		now = l.blank()
		h.layer(f, &now)
		if err := h.wait(); errors.Is(err, unix.EIO) != (len(f.bad) > 0) {
			t.Errorf("seed %d: %d pages cannot be read: %v", seed, len(f.bad), err)
		}
	}
}

// unit is a page of a member, or all of the frame if that is nil.
type unit struct {
	member *Member
	page   int64
}

const (
	isChanged = "changed"
	isUnread  = "cannot be read"
)

// found returns what is told of each unit.
func found(rot []Rot) map[unit]string {
	told := map[unit]string{}
	for _, r := range rot {
		what := isChanged
		if errors.Is(r.Err, unix.EIO) && r.Bytes > 0 {
			what = isUnread
		}
		if r.Member == nil && told[unit{}] != what {
			told[unit{}] += what
		}
		for p := r.Page; p < r.Page+r.Pages; p++ {
			told[unit{r.Member, p}] += what
		}
	}
	return told
}

// wrong returns what is wrong with each unit, by looking at each byte.
func (f *faulty) wrong(l *Layer, sound []byte) map[unit]string {
	is, groups := map[unit]string{}, map[unit]string{} // groups by their first page
	for off := range l.Size {
		what := ""
		switch {
		case f.bad[off/4096]:
			what = isUnread
		case f.data[off] != sound[off]:
			what = isChanged
		default:
			continue
		}
		u := unit{member: owner(l, off)}
		if u.member != nil {
			u.page = (off - u.member.Offset) / u.member.Page
		}
		g := u
		if u.member != nil {
			g.page -= u.page % u.member.Group
		}
		for _, x := range []struct {
			of map[unit]string
			at unit
		}{{is, u}, {groups, g}} {
			if x.of[x.at] != isUnread {
				x.of[x.at] = what
			}
		}
	}
	for g, what := range groups {
		if g.member == nil {
			continue
		}
		for p := g.page; p < min(g.page+g.member.Group, (g.member.Size+g.member.Page-1)/g.member.Page); p++ {
			switch u := (unit{g.member, p}); {
			case what == isChanged:
				is[u] = isChanged
			case is[u] == isChanged:
				delete(is, u) // a group that was not read as a whole
			}
		}
	}
	return is
}

// owner returns the member that a byte is of, nil if it is of the frame.
func owner(l *Layer, off int64) *Member {
	for i := range l.Members {
		if m := &l.Members[i]; off >= m.Offset && off < m.Offset+m.Size {
			return m
		}
	}
	return nil
}
