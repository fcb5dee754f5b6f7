package restore

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/snapfs/snapfs/internal/hint"
)

// A journal is a file beside each target of a swap. That of the first target
// tells all about it, in lines of JSON: a header before anything else is made,
// and a commit when all trees are staged and on disk. Those of the others only
// name the first. While a swap works, it holds flock(2) of all of them.
//
// Without a commit nothing but the staged trees has been touched, and
// removing them undoes the swap. With it, all that is left to be done are
// renames, each of which can be told from the inode numbers whether it was.
type header struct {
	Version int          `json:"snapfs_restore"`
	First   string       `json:"first,omitempty"` // in the journals of the others
	Parts   []headerPart `json:"parts,omitempty"`
	Discard bool         `json:"discard,omitempty"`
}

type headerPart struct {
	Target string `json:"target"`
	Aside  string `json:"aside,omitempty"` // name for what is there; none if nothing is
	Empty  bool   `json:"empty,omitempty"` // what is there is an empty directory, which need not be kept
}

type commit struct {
	Commit []uint64 `json:"commit"` // inodes of the staged trees
}

const (
	journalVersion = 1
	maxJournal     = 1 << 20
	maxParts       = 64
)

// lockJournal opens and locks the journal of a place; nil if there is none and
// none is to be made.
func (p *place) lockJournal(create bool) (*os.File, error) {
	flags := os.O_RDWR | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	if create {
		flags |= os.O_CREATE
	}
	for {
		f, err := p.root.OpenFile(p.journal(), flags, 0o600)
		if errors.Is(err, fs.ErrNotExist) && !create {
			return nil, nil
		}
		if err != nil {
			var cause *fs.PathError
			if errors.As(err, &cause) {
				err = cause.Err // the name of the journal tells nobody anything
			}
			return nil, hint.Wrap(fmt.Errorf("write in %s: %w", filepath.Dir(p.target), err), "restore works beside the target; choose another one")
		}
		st, err := f.Stat()
		if err == nil && !ours(st) {
			err = hint.Wrap(fmt.Errorf("%s: not a journal of this user's", p.path(p.journal())), "look at it, and remove it")
		}
		if err == nil {
			if err = lock(f); err != nil {
				err = hint.Wrap(err, "wait until it is done, or choose another target")
			}
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		// Whoever held the lock may have removed the file.
		if now, err := p.root.Lstat(p.journal()); err == nil && os.SameFile(now, st) {
			return f, nil
		}
		f.Close()
	}
}

// ours reports whether a file is one that nobody else could have written.
func ours(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && st.Mode().IsRegular() && st.Mode().Perm()&0o022 == 0 && int(sys.Uid) == os.Geteuid()
}

// readJournal returns what a journal says. What was cut off by a crash is as
// if it had not been written.
func readJournal(f *os.File) (h header, c []uint64) {
	in := bufio.NewReader(io.NewSectionReader(f, 0, maxJournal))
	if line, err := in.ReadBytes('\n'); err != nil || json.Unmarshal(line, &h) != nil {
		return header{}, nil
	}
	var done commit
	if line, err := in.ReadBytes('\n'); err == nil && json.Unmarshal(line, &done) == nil && len(done.Commit) == len(h.Parts) {
		c = done.Commit
	}
	return h, c
}

// check refuses a header that no swap can have written.
func (h header) check() error {
	if h.Version != journalVersion || len(h.Parts) > maxParts {
		return fmt.Errorf("journal of version %d with %d parts is not understood", h.Version, len(h.Parts))
	}
	for _, p := range h.Parts {
		base := filepath.Base(p.Target)
		if !filepath.IsAbs(p.Target) || filepath.Clean(p.Target) != p.Target || base == "/" {
			return fmt.Errorf("journal names the target %q", p.Target)
		}
		if p.Aside != "" && (filepath.Base(p.Aside) != p.Aside ||
			!strings.HasPrefix(p.Aside, "."+base+oldSuffix) && !strings.HasPrefix(p.Aside, base+keptInfix)) {
			return fmt.Errorf("journal names %q to be kept", p.Aside)
		}
	}
	return nil
}

// pending returns the unfinished swap that has target as one of its parts,
// with all its journals locked; nil if there is none.
func pending(target string) (*operation, error) { return pendingAt(target, true) }

// pendingAt is pending; follow says whether target may be another part than the
// first.
func pendingAt(target string, follow bool) (*operation, error) {
	if _, err := os.Stat(filepath.Dir(target)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	p, err := openPlace(target)
	if err != nil {
		return nil, err
	}
	o := &operation{places: []*place{p}, journals: []*os.File{nil}}
	f, err := p.lockJournal(false)
	if f == nil {
		p.close()
		return nil, err
	}
	o.journals[0] = f
	h, c := readJournal(f)
	if follow && h.First != "" && h.First != target {
		// The lock of this one must be free for the whole to be locked in order.
		if first, err := o.follow(h.First, target); first != nil || err != nil {
			return first, err
		}
		h = header{}
	}
	if len(h.Parts) == 0 || h.Parts[0].Target != target {
		// Nothing was begun, or what it belonged to is over.
		o.header = header{Version: journalVersion, Parts: []headerPart{{Target: target}}}
		return o, nil
	}
	if err := h.check(); err != nil {
		o.close()
		return nil, hint.Wrap(fmt.Errorf("%s: %w", p.path(p.journal()), err), "look at it, and at the files of similar names, and remove it")
	}
	o.header, o.commit = h, c
	for _, part := range h.Parts[1:] {
		if err := o.join(part.Target); err != nil {
			o.close()
			return nil, err
		}
	}
	return o, nil
}

// join opens and locks another part. One that has no journal any more is not
// locked; nor is one that is done, whose journal is that of a swap that has begun
// since.
func (o *operation) join(target string) error {
	p, err := openPlace(target)
	if err != nil {
		return err
	}
	f, err := p.lockJournal(false)
	if f != nil && o.commit != nil {
		if h, _ := readJournal(f); h.First != o.Parts[0].Target {
			f.Close()
			f = nil
		}
	}
	o.places, o.journals = append(o.places, p), append(o.journals, f)
	return err
}

// follow goes from the journal of another part to that of the first, which
// locks this one too. It returns nil if the first knows nothing of target.
func (o *operation) follow(first, target string) (*operation, error) {
	p := o.places[0]
	if !filepath.IsAbs(first) || filepath.Clean(first) != first {
		return nil, nil
	}
	o.journals[0].Close()
	o.journals[0] = nil
	all, err := pendingAt(first, false)
	if err == nil && all != nil {
		if slices.Contains(all.targets(), target) {
			o.close()
			return all, nil
		}
		all.close()
	}
	if err == nil {
		o.journals[0], err = p.lockJournal(true)
	}
	if err != nil {
		o.close()
	}
	return nil, err
}
