package doctor

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/tarindex"
)

// absent returns the files that the manifest of a layer promises and its tar
// does not hold.
func absent(c *chain.Chain, l *chain.Layer) []string {
	var out []string
	for f := range c.LayerView(l).Files() {
		if f.Missing {
			out = append(out, f.Name)
		}
	}
	return out
}

// describe says what each layer holds and added, and what exactly is lost of it.
func (e *exam) describe() error {
	c := e.tree.Chain()
	var before *chain.View
	for _, l := range e.layers {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		v, err := c.At(l.Name)
		if err != nil {
			return err
		}
		out := Layer{Name: l.Name, Path: l.Path, Bytes: l.Size, Time: l.Time}
		if before == nil {
			out.Added = v.Len()
		} else {
			for d := range chain.Diff(before, v) {
				if d.Old == nil {
					out.Added++
				} else {
					out.Replaced++
				}
			}
		}
		before = v
		if ix := l.Index(); ix != nil {
			for _, m := range ix.All() {
				if m.Name != chain.ManifestName {
					out.Members++
				}
				if s := m.ModTime.Sub(l.Time); s > 0 && m.ModTime.Unix() > 0 {
					out.Seconds = max(out.Seconds, int64(s/time.Second))
				}
			}
		}
		e.loss(l, &out)
		e.report.Checked.Bytes += l.Size
		e.report.Layers = append(e.report.Layers, out)
	}
	return nil
}

// loss counts what is there of a layer, and tells of what is not.
func (e *exam) loss(l *chain.Layer, out *Layer) {
	ix := l.Index()
	if nothing(l) && (ix == nil || e.report.Dialect != chain.Unknown) {
		out.Unknown = true
		e.holes = append(e.holes, hole{l.Name, Loss{Layer: l.Name, Code: UnknownLoss, Text: "what layer " + l.Name + " held is not known"}})
		switch {
		case ix == nil: // why is told
		case errors.Is(l.Err, tarindex.ErrTruncated):
			e.add(code(chain.Truncated), l, "", e.rest(l), "the tar is cut off at byte %d, in its first header", offset(l.Err))
		default:
			e.add(code(chain.BadLayer), l, "", e.rest(l), "there is nothing in it but the end mark of a tar")
		}
		return
	}
	gone := absent(e.tree.Chain(), l)
	cut, cutText := "", ""
	for w := range ix.Warnings() {
		if w.Kind != tarindex.Cut {
			continue
		}
		m := ix.Entry(w.Member)
		if cut = m.Name; cut == chain.ManifestName {
			cut = "" // that it cannot be read is told
			continue
		}
		there := max(0, l.Size-m.DataOffset)
		cutText = fmt.Sprintf("%d of %d bytes are there", there, m.Size)
		out.Cut = 1
		e.lose(l, cut, code(chain.CutMember), "cut off: "+cutText)
	}
	for _, name := range gone {
		e.lose(l, name, code(chain.Missing), "in the manifest of the layer, but not in its tar")
	}
	out.Absent = len(gone)
	out.Whole = out.Members - out.Cut
	out.Unknown = l.Err != nil && !l.HasManifest && e.report.Dialect != chain.Unknown
	short := l.Err != nil || cut != ""
	if !short && len(gone) == 0 {
		return
	}
	if out.Unknown {
		e.holes = append(e.holes, hole{l.Name, Loss{Layer: l.Name, Code: UnknownLoss, Text: "the manifest of layer " + l.Name + " is lost: what else it held is not known"}})
	}
	text := fmt.Sprintf("%d whole", out.Whole)
	if cut != "" {
		text += fmt.Sprintf(", 1 cut (%q: %s)", cut, cutText)
	}
	switch {
	case out.Unknown:
		text += ", what followed is not known"
	case len(gone) > 0:
		text += fmt.Sprintf(", %d absent: %s", len(gone), few(gone))
	}
	todo := ""
	if p := e.before(l); p != "" {
		todo = fmt.Sprintf("older copies may be in the point before: snapfs restore %s --at %s --target DIR", hint.Quote(e.report.Path), p)
	} else {
		todo = fmt.Sprintf("all that is there: snapfs restore %s --target DIR", hint.Quote(e.report.Path))
	}
	switch at := offset(l.Err); {
	case l.HasManifest && cut == "" && len(gone) == 0 && (errors.Is(l.Err, tarindex.ErrTruncated) || errors.Is(l.Err, tarindex.ErrFormat)):
		e.add(code(chain.NoEndMark), l, "", "", "the end mark at byte %d is cut off or damaged; all files of the manifest are whole", ix.End())
	case errors.Is(l.Err, tarindex.ErrTruncated):
		e.add(code(chain.Truncated), l, cut, todo, "the tar is cut off at byte %d; of its files are %s", at, text)
	case errors.Is(l.Err, tarindex.ErrFormat):
		e.add(code(chain.BadHeader), l, "", todo, "the header at byte %d is damaged, and what is behind it cannot be found; of the files are %s", at, text)
	case l.Err != nil && !errors.Is(l.Err, chain.ErrBroken):
		e.add(code(chain.Unreadable), l, "", todo, "%v; of its files are %s", l.Err, text)
	case l.Err == nil && len(gone) > 0 && endless(ix):
		e.add(code(chain.Truncated), l, "", todo, "the tar is cut off at byte %d, between two members; of its files are %s", l.Size, text)
	case len(gone) > 0:
		e.add(code(chain.Missing), l, gone[0], todo, "the tar lacks files that its manifest lists; of them are %s", text)
	}
}

// endless reports whether an archive has no end mark.
func endless(ix *tarindex.Index) bool {
	for w := range ix.Warnings() {
		if w.Kind == tarindex.NoEndMark {
			return true
		}
	}
	return false
}

// lose notes that a copy is not whole; the first reason counts.
func (e *exam) lose(l *chain.Layer, name string, c Code, text string) {
	k := copyOf{l.Name, name}
	if _, ok := e.damaged[k]; !ok {
		e.damaged[k] = Loss{Layer: l.Name, Code: c, Text: text}
	}
}

// few lists the first names for a sentence.
func few(s []string) string {
	const shown = 3
	var b strings.Builder
	for i, name := range s[:min(shown, len(s))] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", name)
	}
	if n := len(s) - shown; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	return b.String()
}

// contents looks at what is between and behind the members, at their kinds,
// order and times, and at who may read the files.
func (e *exam) contents() error {
	var first fs.FileMode
	for i, l := range e.layers {
		if st, err := os.Stat(l.Path); err == nil {
			e.permissions(l, st.Mode().Perm(), first)
			if i == 0 {
				first = st.Mode().Perm()
			}
		}
		if nothing(l) {
			continue
		}
		if err := e.between(l); err != nil {
			return err
		}
		if e.report.Dialect == chain.Unknown {
			continue
		}
		e.kinds(l)
		e.times(l)
		e.order(l)
		if l.HasManifest && len(l.Manifest().Files) == 0 {
			e.add(EmptyIncrement, l, "", "", "nothing had changed since the backup before: no files")
		}
	}
	return nil
}

// permissions tells who will not be able to read a layer.
func (e *exam) permissions(l *chain.Layer, mode, first fs.FileMode) {
	switch {
	case l.Err != nil && errors.Is(l.Err, fs.ErrPermission):
	case mode&0o400 == 0:
		e.add(Permission, l, "", "chmod u+r "+hint.Quote(l.Path), "its mode is %04o, so that nobody but root can read it", mode)
	case first != 0 && first&0o044&^mode != 0:
		e.add(Permission, l, "", fmt.Sprintf("chmod %04o %s", mode|first&0o444, hint.Quote(l.Path)),
			"its mode is %04o, that of the full snapshot %04o: who can read that one cannot read the chain", mode, first)
	}
}

// between checks the bytes that fill members up to whole blocks, and those
// behind the end mark.
func (e *exam) between(l *chain.Layer) error {
	f, err := os.Open(l.Path)
	if err != nil {
		return nil // it was open a moment ago; what follows will tell
	}
	defer f.Close()
	ix := l.Index()
	const block = 512
	var buf [32 << 10]byte
	for _, m := range ix.All() {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		if m.Type != tar.TypeReg && m.Type != 0 || m.Size%block == 0 {
			continue
		}
		pad := buf[:block-m.Size%block]
		if n, err := f.ReadAt(pad, m.DataOffset+m.Size); err != nil || n < len(pad) {
			continue // cut off, or not a plain member
		}
		if !zero(pad) {
			e.add(Padding, l, m.Name, "other bytes may have changed as well: snapfs verify "+hint.Quote(e.report.Path),
				"bytes that fill %q up to a whole block, at byte %d, are not zero", m.Name, m.DataOffset+m.Size)
		}
	}
	end := ix.End()
	if end <= 0 || end+2*block >= l.Size || l.Err != nil {
		return nil
	}
	told := false
	for w := range ix.Warnings() {
		told = told || w.Kind == tarindex.Appended
	}
	for off := end + 2*block; off < l.Size && !told; {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), l.Size-off)], off)
		if !zero(buf[:n]) {
			f := e.add(code(chain.Appended), l, "", "", "something that is not zeros follows the end mark, up to byte %d of the file", l.Size)
			f.Hint = e.advice(f.Code, l, chain.Warning{File: l.Path})
			told = true
		}
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			break
		}
		off += int64(n)
	}
	return nil
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// kinds tells of members that no server writes.
func (e *exam) kinds(l *chain.Layer) {
	for _, m := range l.Index().All() {
		if m.Type != tar.TypeReg && m.Type != 0 {
			e.add(OddMember, l, m.Name, "tar -tvf "+hint.Quote(l.Path), "%q is a member of type %q, and servers write nothing but files: the tar was made or changed by another program", m.Name, m.Type)
		}
	}
}

// times checks the clock of the server: headers are written one after the other,
// and no file can have changed after it was sent.
func (e *exam) times(l *chain.Layer) {
	ix := l.Index()
	todo := "snapfs ls -lR " + hint.Quote(e.report.Path) + " " + ".snapfs/layers/" + l.Name
	if l.Time.IsZero() {
		e.add(NoTime, l, "", todo, "no header says when the backup was taken")
		return
	}
	sent := map[string]time.Time{}
	var last tarindex.Entry
	for i, m := range ix.All() {
		if i > 0 && m.ModTime.Before(last.ModTime) {
			e.add(ClockJump, l, m.Name, todo, "the header of %q was written at %s, that of %q before it at %s", m.Name, stamp(m.ModTime), last.Name, stamp(last.ModTime))
			break
		}
		last = m
		sent[m.Name] = m.ModTime
	}
	for _, f := range l.Manifest().Files {
		// Headers have whole seconds.
		if at, ok := sent[f.Name]; ok && f.Stamp.Time.Truncate(time.Second).After(at) {
			e.add(ClockJump, l, f.Name, todo, "%q was last changed at %s by the manifest, and sent before, at %s", f.Name, stamp(f.Stamp.Time), stamp(at))
			break
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// order checks that manifest and members are sorted, which the servers' own
// restore relies on, and that no name is listed twice.
func (e *exam) order(l *chain.Layer) {
	todo := "nothing is lost for snapfs: snapfs restore " + hint.Quote(e.report.Path) + " --target DIR"
	seen, told := map[string]bool{}, false
	last := ""
	for _, f := range l.Manifest().Files {
		if seen[f.Name] {
			e.add(DuplicateEntry, l, f.Name, todo, "the manifest lists %q twice", f.Name)
		} else if f.Name < last && !told {
			told = true
			e.add(ManifestOrder, l, f.Name, todo, "the manifest lists %q behind %q: it is not sorted, and the servers' own restore fails on it", f.Name, last)
		}
		seen[f.Name] = true
		last = f.Name
	}
	last = ""
	for i, m := range l.Index().All() {
		if m.Name == chain.ManifestName && i == 0 {
			continue
		}
		if m.Name < last && !told {
			e.add(ManifestOrder, l, m.Name, todo, "member %q comes behind %q: they are not sorted, and the servers' own restore fails on it", m.Name, last)
			return
		}
		last = m.Name
	}
}
