package main

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

type statCmd struct {
	JSON bool `name:"json" help:"One JSON object a line: as ls has them, and shard, dd."`
	atFlag
	ghostsFlag
	snapArg
	Path []string `arg:"" help:"Files or directories; .snapfs/… works too."`
}

func (statCmd) Help() string {
	return `What is known of a file: where it lies, to what it belongs, whether it is damaged, and the command that extracts it
without snapfs.

Examples:
  snapfs stat /tmp/snap telemetry/default/1
  snapfs stat /tmp/snap telemetry/default/1 | sed -n 's/^ *dd: //p' | sh
  snapfs stat --json --at 0 /tmp/snap meta | jq -r .dd`
}

// statLine is one line of --json.
type statLine struct {
	listed
	Shard *statShard `json:"shard,omitempty"`
	DD    string     `json:"dd,omitempty"`
}

type statShard struct {
	Database string `json:"database"`
	Policy   string `json:"policy"`
	ID       uint64 `json:"id"`
	Start    string `json:"start,omitempty"`
	End      string `json:"end,omitempty"`
	Engine   string `json:"engine,omitempty"`
}

func (c *statCmd) Run(a *App) error {
	t, err := c.open(space.Options{At: c.At, Ghosts: c.Ghosts})
	if err != nil {
		return err
	}
	defer t.Close()
	var first error
	for _, arg := range c.Path {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		p, err := clean(arg)
		var line statLine
		if err == nil {
			line, err = statOf(t, p)
		}
		if err == nil {
			if c.JSON {
				err = a.printLine(line)
			} else {
				err = a.printStat(line)
			}
			if err != nil {
				return err
			}
			continue
		}
		a.complain(err)
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return &codeError{nil, exitCode(first)}
	}
	return nil
}

func statOf(t *space.Tree, p string) (statLine, error) {
	fi, err := fs.Lstat(t, p)
	if err != nil {
		return statLine{}, err
	}
	line := statLine{listed: describe(p, fi)}
	if holdsFiles(t, p) {
		line.Class, _ = tornFile(t, p, fi)
	}
	line.DD = ddLine(p, line.Attrs)
	if set := t.Data(); set != nil {
		for _, sh := range set.Shards() {
			if sh.Path != p {
				continue
			}
			s := &statShard{Database: sh.Database, Policy: sh.Policy, ID: sh.ID}
			if !sh.Start.IsZero() {
				s.Start, s.End = when(sh.Start), when(sh.End)
			}
			if e, _ := sh.Decodable(); e != "" {
				s.Engine = string(e)
			}
			line.Shard = s
		}
	}
	return line, nil
}

// ddLine returns the command that copies a file out of its tar, "" if it is not
// one run of bytes there.
func ddLine(p string, attrs map[string]string) string {
	file, off, size := attrs["file"], attrs["offset"], attrs["size"]
	if file == "" || off == "" || size == "" || attrs["damage"] != "" {
		return ""
	}
	return fmt.Sprintf("dd if=%s of=%s bs=1M iflag=skip_bytes,count_bytes skip=%s count=%s", hint.Quote(file), hint.Quote(path.Base(p)), off, size)
}

func (a *App) printStat(l statLine) error {
	row := func(name, value string) string {
		if value == "" {
			return ""
		}
		return fmt.Sprintf("%9s: %s\n", name, value)
	}
	width, _ := a.terminal(a.Stdout)
	prose := func(name, value string) string { return row(name, wrap(value, width, 11, 11)) }
	size := ""
	if l.Type == "file" {
		size = a.size(l.Size)
	}
	out := row("path", nameOf(l.Path)) + row("type", l.Type) + row("size", size) + row("mode", l.Mode) + row("mtime", when(l.MTime))
	if s := l.Shard; s != nil {
		text := fmt.Sprintf("%d of %s.%s", s.ID, nameOf(s.Database), nameOf(s.Policy))
		if s.Start != "" {
			text += ", " + s.Start + " to " + s.End
		}
		if s.Engine != "" {
			text += ", engine " + s.Engine
		}
		out += prose("shard", text)
	}
	// The names are those of the extended attributes in the mount.
	for _, name := range []string{"layer", "file", "offset", "header", "key", "ghost", "damage"} {
		v := l.Attrs[name]
		switch {
		case v == "":
		case name == "ghost" || name == "damage":
			out += prose(name, nameOf(v))
		default:
			out += row(name, nameOf(v))
		}
	}
	if l.Class != "" {
		out += prose("torn", l.Class.String())
	}
	// For the shell, to the byte; names with control characters are for --json.
	if l.DD == printable(l.DD) && !strings.Contains(l.DD, "\n") {
		out += row("dd", l.DD)
	}
	_, err := fmt.Fprint(a.Stdout, out)
	return err
}
