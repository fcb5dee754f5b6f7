package browse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/dustin/go-humanize"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/plot"
	"github.com/snapfs/snapfs/space"
)

const (
	headSize   = 256 << 10 // bytes of a file that are read to be shown as text
	windowSize = 64 << 10  // bytes that are read to be shown in hexadecimal digits
)

// mode is a way to show content.
type mode uint8

const (
	modeNone mode = iota
	modeList
	modeChart
	modeDecoded
	modeText
	modeHex
)

func (m mode) String() string {
	return [...]string{"", "list", "chart", "decoded", "text", "hex"}[m]
}

// view is what is known of the selected node.
type view struct {
	n       *node
	facts   []fact
	bolt    bool   // whether it is a Bolt file that can be opened
	torn    bool   // and whether it is damaged
	modes   []mode // that it can be shown in, the best first
	mode    mode
	top     int // first line of the content on the screen
	left    int // cells that are scrolled away
	err     error
	text    []string
	decoded []string
	cut     bool // the text is only its beginning
	size    int64

	window    []byte // bytes of the file
	at        int64  // where they begin
	series    *dataset.Series
	field     int // of fields
	chart     *chart
	chartSize [2]int // for which chart was drawn or tried
}

// fact is a line of the details.
type fact struct{ name, value string }

// chart is a field of a series.
type chart struct {
	fields []string // numeric ones of the series
	field  string
	area   plot.Range
	line   *plot.Line
	lost   int // points that could not be read
	err    error
}

// job is a reading under way.
type job struct {
	n      *node
	ctx    context.Context
	cancel context.CancelFunc
}

// result is the message that a job has ended; put makes it known to the view.
type result struct {
	n   *node
	put func(v *view)
}

// take uses the result of a job, unless something else is selected by now, or was
// meanwhile, so that the job was given up.
func (m *Model) take(r result) {
	whole := true
	if m.job != nil {
		whole = m.job.ctx.Err() == nil
		m.job.cancel()
		m.job = nil
	}
	if whole && r.n == m.selected() {
		r.put(&m.view)
	}
}

// start returns the command that runs f as the job.
func (m *Model) start(n *node, f func(ctx context.Context) func(*view)) tea.Cmd {
	ctx, cancel := context.WithCancel(m.ctx)
	m.job = &job{n, ctx, cancel}
	return m.runs.command(func() tea.Msg { return result{n, f(ctx)} })
}

// read returns the command that reads what the screen lacks, nil if that is
// nothing.
func (m *Model) read() tea.Cmd {
	n := m.selected()
	v := &m.view
	if v.n != n {
		name, dir, mode := n.path(), n.mode, m.view.mode
		return m.start(n, func(ctx context.Context) func(*view) {
			seen := look(ctx, m.tree, name, dir)
			return func(v *view) {
				*v = seen
				v.n = n
				if v.err != nil {
					v.facts = slices.Insert(v.facts, min(1, len(v.facts)), fact{"error", v.err.Error()})
				}
				v.choose(mode)
				n.damaged = n.damaged || seen.torn
				if seen.bolt && n.within == "" {
					n.within = boltDir(name)
				}
			}
		})
	}
	width, height := m.contentSize()
	switch v.mode {
	case modeChart:
		want := [2]int{width, v.field}
		if v.chartSize == want {
			return nil
		}
		series, field := *v.series, v.field
		return m.start(n, func(ctx context.Context) func(*view) {
			c := readChart(ctx, m.tree.Data(), series, field, plot.Terminal{Width: width - 1}.Columns())
			return func(v *view) { v.chart, v.chartSize = c, want }
		})
	case modeHex:
		per := int64(perLine(width))
		first, last := int64(v.top)*per, min(int64(v.top+height)*per, v.size)
		if first >= v.at && last <= v.at+int64(len(v.window)) || v.err != nil {
			return nil
		}
		at := max(0, first-windowSize/2)
		name := n.path()
		return m.start(n, func(context.Context) func(*view) {
			b, err := readAt(m.tree, name, at, windowSize)
			return func(v *view) { v.window, v.at, v.err = b, at, err }
		})
	}
	return nil
}

// choose shows the content in a mode if it can be, else in the best.
func (v *view) choose(want mode) {
	v.mode = modeNone
	for _, m := range v.modes {
		if v.mode == modeNone || m == want && want == modeHex {
			v.mode = m
		}
	}
}

// look reads what is to be known of a file or directory, and the beginning of
// its content.
func look(ctx context.Context, tree *space.Tree, name string, typ fs.FileMode) (v view) {
	fi, err := fs.Lstat(tree, name)
	if err != nil {
		v.err = err
		return v
	}
	v.add("path", name)
	v.add("type", kind(fi.Mode()))
	if fi.Mode().IsRegular() && (fi.Size() > 0 || !attr.IsVolatile(fi)) {
		v.size = fi.Size()
		size := humanize.Comma(v.size) + " bytes"
		if v.size >= 1024 {
			size += " (" + humanize.IBytes(uint64(v.size)) + ")"
		}
		v.add("size", size)
	}
	if t := fi.ModTime(); !t.IsZero() {
		v.add("time", t.UTC().Format(time.RFC3339))
	}
	if typ&fs.ModeSymlink != 0 {
		target, err := fs.ReadLink(tree, name)
		v.err = err
		v.add("link to", target)
	}
	if fi.Mode().IsRegular() {
		v.lookBolt(tree, name)
	}
	// What a file is like comes before where it lies, which may be long.
	for k, val := range attr.All(fi) {
		switch k {
		case "size":
			continue // was said
		case "key":
			val = keyText(val)
		case "damage", "ghost":
			v.warn(k, val)
			continue
		}
		v.add(k, val)
	}
	if fi.IsDir() {
		v.list(tree, name)
	}
	if !fi.Mode().IsRegular() {
		return v
	}
	head, err := readHead(ctx, tree, name)
	v.err = err
	if s, ok := tree.Series(name); ok {
		v.series = &s
		v.modes = append(v.modes, modeChart)
	}
	if v.decoded = decode(ctx, tree, name, head, fi.Size()); v.decoded != nil {
		v.modes = append(v.modes, modeDecoded)
	}
	if v.setText(head, int64(len(head)) == headSize) {
		v.modes = append(v.modes, modeText)
	}
	if v.size > 0 {
		v.modes = append(v.modes, modeHex)
		v.window = head[:min(len(head), windowSize)]
	}
	return v
}

// maxList is how many entries of a directory are shown as its content.
const maxList = 500

// list makes the entries of a directory its content, with their sizes.
func (v *view) list(tree fs.FS, name string) {
	d, err := openDir(tree, name)
	if err != nil {
		v.err = err
		return
	}
	defer d.Close()
	entries, err := d.ReadDir(maxList)
	if err != nil && !errors.Is(err, io.EOF) {
		v.err = err
	}
	for _, e := range entries {
		size, name := "", e.Name()
		if fi, err := e.Info(); err != nil {
			size = "?"
		} else {
			name = label(e.Name(), fi)
			if fi.Mode().IsRegular() && (fi.Size() > 0 || !attr.IsVolatile(fi)) {
				size = humanize.IBytes(uint64(fi.Size()))
			}
		}
		if e.IsDir() {
			name += "/"
		}
		v.text = append(v.text, fmt.Sprintf("%8s  %s", size, name))
	}
	v.cut = len(entries) == maxList
	if len(entries) > 0 {
		v.modes = append(v.modes, modeList)
	}
}

func (v *view) add(name, value string) { v.facts = append(v.facts, fact{name, value}) }

// warn adds what is wrong behind the path, so that it is in sight even if there
// is little room.
func (v *view) warn(name, value string) {
	v.facts = slices.Insert(v.facts, min(1, len(v.facts)), fact{name, value})
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeSymlink != 0:
		return "link"
	case m.IsRegular():
		return "file"
	}
	return "special file"
}

// lookBolt adds what a Bolt file is like.
func (v *view) lookBolt(tree *space.Tree, name string) {
	if strings.HasPrefix(name, space.Control+"/") {
		return
	}
	if _, err := fs.Stat(tree, boltDir(name)); err != nil {
		return
	}
	db, err := tree.Bolt(name)
	if err != nil {
		return
	}
	i := db.Info()
	v.bolt = true
	text := fmt.Sprintf("%s pages of %d bytes, transaction %d", humanize.Comma(int64(i.Pages)), i.PageSize, i.TxID)
	if c := i.Class; c != "" && c != boltview.ClassA {
		v.torn = true
		text = "torn, class " + string(c) + "; " + text
	}
	v.add("bolt", text)
}

// readHead reads the beginning of a file, up to headSize.
func readHead(ctx context.Context, tree fs.FS, name string) ([]byte, error) {
	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, headSize)
	n := 0
	for n < len(buf) {
		if err := ctx.Err(); err != nil {
			return buf[:n], err
		}
		k, err := f.Read(buf[n:min(len(buf), n+windowSize)])
		n += k
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return buf[:n], err
		}
	}
	return buf[:n], nil
}

// readAt reads up to n bytes of a file.
func readAt(tree fs.FS, name string, off int64, n int) ([]byte, error) {
	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, ok := f.(io.ReaderAt)
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.ErrUnsupported}
	}
	buf := make([]byte, n)
	n, err = r.ReadAt(buf, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:n], err
}

// setText takes the beginning of a file for text, if it is.
func (v *view) setText(b []byte, cut bool) bool {
	if cut {
		// A character may be cut in two.
		for i := 0; i < utf8.UTFMax && !utf8.Valid(b); i++ {
			b = b[:len(b)-1]
		}
	}
	if len(b) == 0 || !utf8.Valid(b) || bytes.IndexFunc(b, isControl) >= 0 {
		return false
	}
	var pretty bytes.Buffer
	if !cut && (b[0] == '{' || b[0] == '[') && json.Indent(&pretty, b, "", "  ") == nil {
		b = pretty.Bytes()
	}
	v.text, v.cut = strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"), cut
	return true
}

func isControl(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f }

// keyText returns a raw key for a person.
func keyText(key string) string {
	if t, ok := keyTime(key); ok {
		return fmt.Sprintf("%s (0x%x)", t.Format(timeLayout), key)
	}
	if utf8.ValidString(key) && strings.IndexFunc(key, isControl) < 0 {
		return key
	}
	return fmt.Sprintf("0x%x", key)
}
