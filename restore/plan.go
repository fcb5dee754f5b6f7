package restore

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/snapfs/snapfs/internal/hint"
)

// Action is what happens to one path. It is written in lower case: mkdir,
// create, overwrite, symlink, keep, skip, conflict, fail.
type Action uint8

const (
	ActionMkdir     Action = iota // a directory is made
	ActionCreate                  // a file is written where there is none
	ActionOverwrite               // a file or link replaces one
	ActionSymlink                 // a link is made where there is nothing
	ActionKeep                    // what is there stays
	ActionSkip                    // a device, pipe or socket: not restored
	ActionConflict                // something is in the way: nothing will be written at all
	ActionFail                    // the tree cannot be read here
	actionCompare                 // only during planning: as good as kept, content yet to compare
)

var actionNames = [...]string{"mkdir", "create", "overwrite", "symlink", "keep", "skip", "conflict", "fail", "compare"}

func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// MarshalText implements [encoding.TextMarshaler].
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Step is one line of a plan.
type Step struct {
	Path    string      `json:"path"` // slash-separated, relative to the target
	Action  Action      `json:"action"`
	Mode    fs.FileMode `json:"mode"` // as the tree says
	Size    int64       `json:"size"` // in bytes; 0 unless a regular file
	ModTime time.Time   `json:"mtime,omitzero"`
	Link    string      `json:"link,omitempty"`   // target of a symbolic link
	Reason  string      `json:"reason,omitempty"` // why keep, skip, conflict or fail; or a remark
	SHA256  string      `json:"sha256,omitempty"` // of the content, in hexadecimal, once it was hashed
}

// MarshalJSON writes the fields by their names, and the mode as ls -l shows it.
func (s Step) MarshalJSON() ([]byte, error) {
	type plain Step
	return json.Marshal(struct {
		plain
		Mode string `json:"mode"`
	}{plain(s), s.Mode.String()})
}

// Plan is what a restore is going to do. Nothing is written until [Plan.Run].
type Plan struct {
	name    string   // the target, as it is told
	dst     string   // where to write
	within  *os.Root // of the directory that holds dst; nil if that is not open
	src     fs.FS
	opts    Options
	entries []entry // each directory, its files by name, then its subdirectories by name
	dirs    []dir   // dirs[0] is the target itself; parents come before children
	stale   []stale // to be removed
	err     error
	planned Report
}

// entry is one path of the tree. There may be millions.
type entry struct {
	name   string
	parent int32 // index of the directory that holds it
	sub    int32 // of a directory: its own index; else -1
	mode   fs.FileMode
	action Action
	moving bool // its content is made anew for each open
	size   int64
	mtime  time.Time
	more   *more
}

// more holds what few entries have.
type more struct {
	reason string
	link   string
	err    error
	old    int64  // size of the file that is replaced
	sum    []byte // SHA-256 of the content
}

func (e *entry) extra() *more {
	if e.more == nil {
		e.more = new(more)
	}
	return e.more
}

func (e *entry) set(a Action, reason string) {
	e.action = a
	if reason != "" {
		e.extra().reason = reason
	}
}

func (e *entry) writes() bool {
	return e.action == ActionCreate || e.action == ActionOverwrite || e.action == ActionSymlink
}

type dir struct {
	path     string // "." for the target
	parent   int32
	depth    int32
	selected bool // by a pattern, so that all below is too
	needed   bool // selected, or holds something that is
	exists   bool // in the target, as a directory
	blocked  bool // in the target there is something else
	dev      uint64
	mtime    time.Time
}

func (d *dir) join(name string) string {
	if d.path == "." {
		return name
	}
	return d.path + "/" + name
}

// stale is the temporary file of a restore that was killed, or, of a mirror,
// anything that the tree does not have.
type stale struct {
	dir  int32
	name string
	size int64
}

// NewPlan reads the tree and the target, and decides for each path. It writes
// nothing. dst need not exist; src is used until Run returns. A bad pattern
// gives [path.ErrBadPattern], a tree without end [ErrBudget], a dst that is no
// directory [ErrConflict]. Parts of the tree that cannot be read become steps
// that fail; conflicts and lack of space are told by [Plan.Err].
func NewPlan(ctx context.Context, dst string, src fs.FS, opts Options) (*Plan, error) {
	return newPlan(ctx, dst, dst, src, opts)
}

// newPlan plans to write into dst what is told to go into name.
func newPlan(ctx context.Context, name, dst string, src fs.FS, opts Options) (*Plan, error) {
	p := &Plan{name: name, dst: dst, src: src, opts: opts}
	if err := p.build(ctx); err != nil {
		return nil, fmt.Errorf("restore %s: %w", name, err)
	}
	p.tally()
	return p, nil
}

// Copy makes a plan and runs it. See [NewPlan] and [Plan.Run].
func Copy(ctx context.Context, dst string, src fs.FS, opts Options) (Report, error) {
	start := time.Now()
	p, err := NewPlan(ctx, dst, src, opts)
	if err != nil {
		return Report{Target: dst, Duration: time.Since(start)}, err
	}
	r, err := p.Run(ctx)
	r.Duration = time.Since(start)
	return r, err
}

// Steps yields every path in a fixed order: a directory, its files by name,
// its subdirectories by name.
func (p *Plan) Steps() iter.Seq[Step] {
	return func(yield func(Step) bool) {
		for i := range p.entries {
			e := &p.entries[i]
			if e.sub >= 0 && !p.dirs[e.sub].needed {
				continue
			}
			if !yield(p.step(e)) {
				return
			}
		}
	}
}

func (p *Plan) path(e *entry) string { return p.dirs[e.parent].join(e.name) }

func (p *Plan) step(e *entry) Step {
	s := Step{Path: p.path(e), Action: e.action, Mode: e.mode, Size: e.size, ModTime: e.mtime}
	if e.more != nil {
		s.Link, s.Reason, s.SHA256 = e.more.link, e.more.reason, hex.EncodeToString(e.more.sum)
		if s.Reason == "" && e.more.err != nil {
			s.Reason = cause(e.more.err).Error()
		}
	}
	return s
}

// Report returns what Run would report if all went well.
func (p *Plan) Report() Report {
	r := p.planned
	r.Skipped, r.Outside, r.Failed = slices.Clone(r.Skipped), slices.Clone(r.Outside), slices.Clone(r.Failed)
	return r
}

// Err returns why Run would write nothing: an error that matches [ErrConflict]
// and names the first few paths, [ErrSpace], or EROFS; nil if it would go ahead.
func (p *Plan) Err() error { return p.err }

// tally counts the steps, and finds out whether anything forbids to run them.
func (p *Plan) tally() {
	r := &p.planned
	*r = Report{Target: p.name}
	var conflicts []string
	policy := false // would --overwrite help?
	for i := range p.entries {
		e := &p.entries[i]
		if e.sub >= 0 && !p.dirs[e.sub].needed {
			continue
		}
		switch e.action {
		case ActionMkdir:
			r.Dirs++
		case ActionCreate, ActionSymlink:
			r.Created++
		case ActionOverwrite:
			r.Overwritten++
		case ActionKeep:
			if e.sub < 0 {
				r.Kept++
			}
		case ActionSkip:
			r.Skipped = append(r.Skipped, Skipped{p.path(e), e.more.reason})
		case ActionFail:
			r.Failed = append(r.Failed, Failure{Path: p.path(e), Err: e.more.err})
		case ActionConflict:
			r.Conflicts++
			if len(conflicts) < shown {
				conflicts = append(conflicts, printable(p.path(e))+": "+e.more.reason)
			}
			policy = policy || errors.Is(e.more.err, fs.ErrExist)
		}
		if e.writes() {
			r.Files++
			r.Bytes += e.size
			if e.more != nil && e.more.link != "" && leaves(p.dirs[e.parent].path, e.more.link) {
				r.Outside = append(r.Outside, p.path(e))
			}
		}
	}
	sortFailures(r.Failed)
	slices.Sort(r.Outside)
	if r.Conflicts > 0 {
		p.err = fmt.Errorf("restore %s: %w: %s", p.name, ErrConflict, list(conflicts, r.Conflicts))
		if policy {
			p.err = hint.Wrap(p.err, "choose an empty target, --replace the whole directory, or --overwrite if-changed, if-newer or always")
		} else {
			p.err = hint.Wrap(p.err, "choose an empty target, --replace the whole directory, or move what is in the way")
		}
		return
	}
	if !p.opts.staged {
		p.err = checkSpace([]*Plan{p})
	}
}

// changes reports whether a plan to mirror the tree has anything to do.
func (p *Plan) changes() bool {
	if len(p.stale) > 0 {
		return true
	}
	for i := range p.entries {
		e := &p.entries[i]
		unneeded := e.sub >= 0 && !p.dirs[e.sub].needed
		if e.action != ActionKeep && e.action != ActionSkip && e.action != actionCompare && !unneeded {
			return true
		}
	}
	return false
}

func sortFailures(f []Failure) {
	slices.SortStableFunc(f, func(a, b Failure) int {
		switch {
		case a.Path < b.Path:
			return -1
		case a.Path > b.Path:
			return 1
		}
		return 0
	})
}
