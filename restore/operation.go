package restore

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/internal/hint"
)

// operation is a swap as its journals tell it.
type operation struct {
	header
	commit   []uint64 // nil before the commit
	places   []*place // by part
	journals []*os.File
	plain    bool
	step     func(string) // told of each change, before and after; nil but in tests
}

func (o *operation) at(what string) {
	if o.step != nil {
		o.step(what)
	}
}

func (o *operation) close() {
	for i, p := range o.places {
		if o.journals[i] != nil {
			o.journals[i].Close()
		}
		p.close()
	}
}

func (o *operation) targets() []string {
	var list []string
	for _, p := range o.Parts {
		list = append(list, p.Target)
	}
	return list
}

// begin makes the journals, and locks them. Journals of a swap of the same
// parts that was interrupted are taken over.
func (o *operation) begin() error {
	for i, part := range o.Parts {
		o.at("journal " + part.Target)
		p, err := openPlace(part.Target)
		if err != nil {
			return err
		}
		o.places, o.journals = append(o.places, p), append(o.journals, nil)
		f, err := p.lockJournal(true)
		if err != nil {
			return err
		}
		o.journals[i] = f
		if err := o.note(i); err != nil {
			return err
		}
		if err := syncFolder(p.dir); err != nil {
			return err
		}
	}
	return nil
}

// note writes the header into the journal of a part.
func (o *operation) note(i int) error {
	h := o.header
	if i > 0 {
		h = header{Version: journalVersion, First: o.Parts[0].Target}
	}
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	o.at("header " + o.Parts[i].Target)
	f := o.journals[i]
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt(append(line, '\n'), 0); err != nil {
		return err
	}
	return f.Sync()
}

// seal writes the commit: from here on the swap will be finished.
func (o *operation) seal() error {
	c := commit{make([]uint64, len(o.places))}
	for i, p := range o.places {
		ino, err := p.ino(p.stage())
		if err == nil && ino == 0 {
			err = &fs.PathError{Op: "stat", Path: p.path(p.stage()), Err: fs.ErrNotExist}
		}
		if err != nil {
			return err
		}
		c.Commit[i] = ino
	}
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	f := o.journals[0]
	st, err := f.Stat()
	if err != nil {
		return err
	}
	o.at("commit")
	if _, err := f.WriteAt(append(line, '\n'), st.Size()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	o.commit = c.Commit
	o.at("committed")
	return nil
}

// finish carries out the renames of a committed swap that are not done yet,
// and returns where each part's old directory is now: "" if there is none.
func (o *operation) finish() ([]string, error) {
	kept := make([]string, len(o.places))
	for i, p := range o.places {
		if o.journals[i] == nil {
			continue // journals are removed when all is done
		}
		if err := o.swap(p, &o.Parts[i], o.commit[i]); err != nil {
			return nil, err
		}
	}
	for i, p := range o.places {
		aside := o.Parts[i].Aside
		if aside == "" {
			continue
		}
		if o.Discard && strings.HasPrefix(aside, "."+p.base+oldSuffix) {
			o.at("discard " + p.target)
			if err := p.root.RemoveAll(aside); err != nil {
				return nil, err
			}
		} else if _, err := p.root.Lstat(aside); err == nil {
			kept[i] = p.path(aside)
		}
	}
	return kept, o.end()
}

// swap puts the staged tree of one part in its place, and what was there
// aside. It goes on from wherever an earlier try was stopped.
func (o *operation) swap(p *place, part *headerPart, staged uint64) error {
	now, err := p.ino(p.base)
	if err != nil {
		return err
	}
	next, err := p.ino(p.stage())
	if err != nil {
		return err
	}
	switch {
	case next == 0:
		return nil // done
	case next != staged && now != staged:
		err := fmt.Errorf("%s is neither the new nor the old directory of the restore that was interrupted", p.path(p.stage()))
		return hint.Wrap(err, "look at it, move it away, and remove %s", hint.Quote(p.path(p.journal())))
	}
	if next == staged {
		exchanged := false
		if now != 0 {
			o.at("exchange " + p.target)
			if !o.plain {
				exchanged, err = p.exchange(p.stage(), p.base)
			}
			if err != nil {
				return err
			}
		}
		if !exchanged {
			if now != 0 {
				if err := o.putAside(p, part, p.base); err != nil {
					return err
				}
			}
			o.at("put " + p.target)
			if err := p.rename(p.stage(), p.base); err != nil {
				return err
			}
			return syncFolder(p.dir)
		}
		if err := syncFolder(p.dir); err != nil {
			return err
		}
	}
	return o.putAside(p, part, p.stage())
}

// putAside gives the old directory its other name, or removes it if it is
// empty.
func (o *operation) putAside(p *place, part *headerPart, old string) error {
	o.at("aside " + p.target)
	if part.Aside == "" {
		// It came after the plan was made.
		part.Aside, part.Empty = p.free(p.base+keptInfix+"restore"), true
	}
	// Somebody may have put something into the empty one since, or in its place.
	if !part.Empty || p.removeEmpty(old) != nil {
		if err := p.rename(old, part.Aside); err != nil {
			return err
		}
	}
	return syncFolder(p.dir)
}

// undo removes the staged trees of a swap that was not committed.
func (o *operation) undo() error {
	if len(o.journals) > 0 && o.journals[0] != nil {
		f := o.journals[0]
		// A commit that was written in part must not come to light later.
		line, _ := bufio.NewReader(io.NewSectionReader(f, 0, maxJournal)).ReadBytes('\n')
		if err := f.Truncate(int64(len(line))); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	for i, p := range o.places {
		if o.journals[i] == nil {
			continue // not ours to touch
		}
		o.at("undo " + p.target)
		if err := p.root.RemoveAll(p.stage()); err != nil {
			return err
		}
	}
	return o.end()
}

// end removes the journals, that of the first part last.
func (o *operation) end() error {
	for i, p := range slices.Backward(o.places) {
		if o.journals[i] == nil {
			continue
		}
		o.at("end " + p.target)
		if err := p.root.Remove(p.journal()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := syncFolder(p.dir); err != nil {
			return err
		}
	}
	o.at("ended")
	return nil
}
