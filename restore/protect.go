package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/snapfs/snapfs/internal/hint"
)

// ErrOverlap is returned when a target lies in what is restored, or that in the
// target, or one target in another.
var ErrOverlap = errors.New("overlaps")

// checkPlaces makes sure that each target can be replaced by a rename, and that
// nothing that is needed lies in it.
func (s *Swap) checkPlaces() error {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return err
	}
	for i := range s.parts {
		p := &s.parts[i]
		if p.base() == "/" {
			return s.parts[i].refuse("it is the root directory", "name a directory in it")
		}
		if p.old != nil {
			for _, m := range mounts {
				switch {
				case m.Mountpoint == p.target:
					return p.refuse("it is a mount point", "name a directory in it")
				case strings.HasPrefix(m.Mountpoint, p.target+"/"):
					return p.refuse(m.Mountpoint+" is a mount point in it", "unmount it first")
				}
			}
		}
		for j := range s.parts[:i] {
			other := &s.parts[j]
			if within(p.target, other.target) || within(other.target, p.target) {
				return fmt.Errorf("restore %s: %w the target %s", p.Target, ErrOverlap, other.Target)
			}
		}
	}
	for i := range s.parts {
		if err := Apart(s.parts[i].Target, s.opts.Protect); err != nil {
			return err
		}
	}
	return nil
}

func (p *swapPart) refuse(why, todo string) error {
	return hint.Wrap(fmt.Errorf("restore %s: %w: %s", p.Target, ErrPlace, why), "%s", todo)
}

// within reports whether the clean path name is dir, or in it.
func within(name, dir string) bool {
	return name == dir || dir == "/" || strings.HasPrefix(name, dir+"/")
}

// Apart returns an error that matches [ErrOverlap] if one of the files and
// directories of protect lies in target or is it, or target lies in one of
// them. It goes by what the paths lead to, not by their text; what does not
// exist is no obstacle.
func Apart(target string, protect []string) error {
	real, err := resolve(target)
	if err != nil {
		return fmt.Errorf("restore %s: %w", target, err)
	}
	st, _ := os.Stat(real)
	for _, p := range protect {
		name, err := filepath.Abs(p)
		if err == nil {
			name, err = filepath.EvalSymlinks(name)
		}
		if err != nil {
			continue
		}
		why := ""
		switch pst, err := os.Stat(name); {
		case above(name, real, st):
			why = "would take its place"
		case err == nil && pst.IsDir() && above(real, name, pst):
			why = "lies in it"
		default:
			continue
		}
		err = fmt.Errorf("restore %s: the target %w %s, which is restored: it %s", target, ErrOverlap, p, why)
		return hint.Wrap(err, "choose another target")
	}
	return nil
}

// above reports whether dir, or what st tells, which is another path to it, is
// name or a directory above it.
func above(name, dir string, st fs.FileInfo) bool {
	for {
		if name == dir {
			return true
		}
		if at, err := os.Stat(name); err == nil && st != nil && os.SameFile(at, st) {
			return true
		}
		up := filepath.Dir(name)
		if up == name {
			return false
		}
		name = up
	}
}
