package tarindex

import (
	"fmt"
	"iter"
)

// Kind is what a [Warning] is about.
type Kind uint8

const (
	Escaped   Kind = iota + 1 // the path of a member is not its name, as it could not be
	Shadowed                  // a later member of the same path hides this one
	NoTarget                  // a hard link to a member that is not in the archive
	Cut                       // the archive ends within the data of this member
	NoEndMark                 // the archive does not end with two blocks of zeros
	Appended                  // there is something after the end mark, unread
)

var kinds = [...]string{
	Escaped: "escaped", Shadowed: "shadowed", NoTarget: "no target", Cut: "cut off", NoEndMark: "no end mark", Appended: "appended",
}

func (k Kind) String() string {
	if int(k) < len(kinds) && kinds[k] != "" {
		return kinds[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Warning is something strange about an archive that is no error.
type Warning struct {
	Kind   Kind
	Member int    // number, or -1 if it is about the archive
	Name   string // of the member, as in the archive
	Offset int64  // of its header, or where in the archive it is
	Text   string // one line for a person
}

// note is a Warning before it has words.
type note struct {
	kind          Kind
	member, other uint32
}

// Warnings returns what is strange about the archive, always in the same
// order.
func (ix *Index) Warnings() iter.Seq[Warning] {
	return func(yield func(Warning) bool) {
		for _, n := range ix.findNotes() {
			if !yield(ix.warning(n)) {
				return
			}
		}
		for _, l := range ix.links {
			if l.target == noTarget && !yield(ix.warning(note{kind: NoTarget, member: l.member})) {
				return
			}
		}
		if ix.cut >= 0 && !yield(ix.warning(note{kind: Cut, member: uint32(ix.cut)})) {
			return
		}
		if !ix.end.mark && !yield(Warning{Kind: NoEndMark, Member: -1, Offset: ix.end.off, Text: "the archive has no end mark"}) {
			return
		}
		if ix.end.more {
			yield(Warning{Kind: Appended, Member: -1, Offset: ix.end.off, Text: "something that is not zeros follows the end mark: was another archive appended?"})
		}
	}
}

func (ix *Index) warning(n note) Warning {
	i := int(n.member)
	name := ix.name(i)
	w := Warning{Kind: n.kind, Member: i, Name: name, Offset: ix.member(i).header}
	switch n.kind {
	case Escaped:
		path, _ := ix.member(i).path(name)
		w.Text = fmt.Sprintf("member %q appears as %s", name, path)
	case Shadowed:
		w.Text = fmt.Sprintf("member %q is hidden by a later one of its name, whose header is at offset %d", name, ix.member(int(n.other)).header)
	case NoTarget:
		w.Text = fmt.Sprintf("hard link %q: its target is not in the archive", name)
	case Cut:
		w.Text = fmt.Sprintf("member %q: the archive is cut off, %d bytes are missing", name, ix.missing)
	}
	return w
}
