package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/names"
	"github.com/snapfs/snapfs/seal"
)

// sealed compares the layers with the seal.
func (e *exam) sealed() error {
	s := e.opts.Seal
	if s == nil {
		return nil
	}
	layers := map[string]*chain.Layer{}
	for _, l := range e.layers {
		layers[l.Name] = l
	}
	todo := "get another copy of the file: its bytes are not those that were sealed"
	unread := "copy the file to another disk while the rest of it can be read, and look into the kernel's log: dmesg"
	rot, err := s.Compare(e.ctx, e.report.Path, seal.Options{Workers: e.opts.Workers})
	if err != nil {
		return err
	}
	for _, r := range rot {
		l := layers[r.Layer]
		if l == nil {
			l = &chain.Layer{Name: r.Layer, Path: r.File} // beyond a gap
		}
		switch {
		case r.Missing:
			e.add(SealMissing, l, "", todo, "the layer was sealed, and is not there")
		case r.Member == nil && r.Err != nil:
			e.add(code(chain.Unreadable), l, "", unread, "headers, padding or the end mark of the tar cannot be read%s", unreadText(r))
		case r.Member == nil && r.Size != sealedSize(s, r.Layer):
			e.add(BitRot, l, "", todo, "the tar has %d bytes, and had %d when it was sealed", r.Size, sealedSize(s, r.Layer))
		case r.Member == nil:
			e.add(BitRot, l, "", todo, "headers, padding or the end mark of the tar have changed since it was sealed")
		default:
			name := memberAt(l, r.Member.Offset)
			text := rotText(r, e.report.Dialect != chain.Unknown && name != metaName)
			c, todo := BitRot, todo
			if r.Err != nil {
				c, todo = code(chain.Unreadable), unread
			}
			e.add(c, l, r.Member.Path, todo, "%s", text)
			e.lose(l, name, c, text)
		}
	}
	for _, l := range e.layers {
		if sealedSize(s, l.Name) < 0 {
			e.add(SealNew, l, "", "snapfs seal "+hint.Quote(e.report.Path)+" --out FILE", "the layer is newer than the seal")
		}
	}
	return nil
}

// sealedSize returns how many bytes a layer had, -1 if it was not sealed.
func sealedSize(s *seal.Seal, layer string) int64 {
	for _, l := range s.Layers {
		if l.Name == layer {
			return l.Size
		}
	}
	return -1
}

// memberAt returns the name of the member whose data are at an offset, "" if
// none are there any more.
func memberAt(l *chain.Layer, offset int64) string {
	if l.Index() == nil {
		return ""
	}
	for _, m := range l.Index().All() {
		if m.DataOffset == offset {
			return m.Name
		}
	}
	return ""
}

// rotText says which pages have changed, and what they held, of a shard or of
// another file.
func rotText(r seal.Rot, shard bool) string {
	text := fmt.Sprintf("page %d of %s", r.Page, r.Member.Path)
	if r.Pages > 1 {
		text = fmt.Sprintf("pages %d to %d of %s", r.Page, r.Page+r.Pages-1, r.Member.Path)
	}
	if r.Err != nil {
		text += " cannot be read" + unreadText(r)
	} else {
		text += " changed since it was sealed"
	}
	var held []string
	for i, h := range r.Held {
		const shown = 4
		if i == shown {
			held = append(held, fmt.Sprintf("and %d more", len(r.Held)-shown+r.More))
			break
		}
		held = append(held, heldText(h, shard))
	}
	if len(held) > 0 {
		text += ": " + strings.Join(held, ", ")
	}
	return text
}

// unreadText says which bytes of a tar cannot be read, and why.
func unreadText(r seal.Rot) string {
	err := r.Err
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err // the file is told
	}
	return fmt.Sprintf(" (%v, %s from byte %d of the tar on)", err, count(r.Bytes, "bytes"), r.Offset)
}

// count returns "1 entry of the log", "2 entries of the log".
func count(n int64, what string) string {
	if n == 1 {
		first, rest, _ := strings.Cut(what, " ")
		first = strings.TrimSuffix(strings.Replace(first, "entries", "entry", 1), "s")
		what = strings.TrimSpace(first + " " + rest)
	}
	return fmt.Sprintf("%d %s", n, what)
}

// system are the buckets of shards that are no series.
var system = map[string]string{"fields": "definitions of fields", "series": "records of series", "wal": "entries of the log", "meta": "entries of the metadata", "values": "values"}

// heldText says what of a bucket was in a page.
func heldText(h seal.Held, shard bool) string {
	var path []string
	for _, k := range h.Path {
		path = append(path, names.Key(k))
	}
	what, of := "keys", strings.Join(path, "/")
	switch {
	case len(path) == 0:
		of = "the root"
	case !shard:
	case system[path[0]] != "":
		what, of = system[path[0]], ""
	case path[0] == "points" && len(path) == 2:
		what, of = "blocks of points", path[1]
	case len(path) == 1:
		what = "points"
	}
	if of != "" {
		of = " of " + of
	}
	times := ""
	if shard {
		times = span(h)
	}
	switch {
	case h.Branch:
		return "the way to " + what + of + times
	case h.Keys < 0:
		return what + of + times
	}
	return count(h.Keys, what) + of
}

// span says between which times keys are that nothing else tells of.
func span(h seal.Held) string {
	at := func(k []byte) string {
		return time.Unix(0, int64(binary.BigEndian.Uint64(k))).UTC().Format(time.RFC3339)
	}
	text := ""
	if len(h.From) == 8 {
		text += " from " + at(h.From)
	}
	if len(h.To) == 8 {
		text += " before " + at(h.To)
	}
	return text
}
