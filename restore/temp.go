package restore

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// tempPrefix and tempSuffix frame the 16 hexadecimal digits of the name of a
// temporary file.
const (
	tempPrefix = ".snapfs-"
	tempSuffix = ".tmp"
	tempDigits = 16
)

func tempName(r uint64) string { return fmt.Sprintf("%s%016x%s", tempPrefix, r, tempSuffix) }

func isTemp(name string) bool {
	s, ok := strings.CutPrefix(name, tempPrefix)
	if !ok {
		return false
	}
	s, ok = strings.CutSuffix(s, tempSuffix)
	return ok && len(s) == tempDigits && strings.Trim(s, "0123456789abcdef") == ""
}

// findStale looks in a directory of the target for what a killed restore left
// behind. A file of that name which the tree itself holds is none.
func (w *walker) findStale(at int32, there *os.Root, list []fs.DirEntry) error {
	ours := func(name string) bool {
		_, found := slices.BinarySearchFunc(list, name, func(d fs.DirEntry, name string) int {
			return strings.Compare(d.Name(), name)
		})
		return !found
	}
	return w.eachName(there, func(name string) {
		if !isTemp(name) || !ours(name) {
			return
		}
		info, err := there.Lstat(name)
		if err == nil && (info.Mode().IsRegular() || info.Mode().Type() == fs.ModeSymlink) {
			w.stale = append(w.stale, stale{at, name, info.Size()})
		}
	})
}

// findStray looks in a directory of the target for all that the plan does not
// have: its files begin at firstEntry, its subdirectories at firstSub.
func (w *walker) findStray(at int32, there *os.Root, firstEntry, firstSub int) error {
	planned := map[string]bool{}
	for i := range w.entries[firstEntry:] {
		if e := &w.entries[firstEntry+i]; e.action != ActionSkip && e.action != ActionFail {
			planned[e.name] = true
		}
	}
	for i := range w.todo[firstSub:] {
		planned[w.todo[firstSub+i].name] = true
	}
	return w.eachName(there, func(name string) {
		if !planned[name] {
			w.stale = append(w.stale, stale{dir: at, name: name})
		}
	})
}

// strayDirs adds the directories of the target that a mirror leaves out, since
// they hold nothing selected.
func (w *walker) strayDirs() {
	if w.opts.Overwrite != mirror {
		return
	}
	for i := range w.dirs {
		if d := &w.dirs[i]; d.exists && !d.needed && w.dirs[d.parent].needed {
			w.stale = append(w.stale, stale{dir: d.parent, name: path.Base(d.path)})
		}
	}
}

// eachName calls do with all names in a directory. One that cannot be read has
// none.
func (w *walker) eachName(there *os.Root, do func(name string)) error {
	f, err := there.Open(".")
	if err != nil {
		return nil
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(listChunk)
		for _, name := range names {
			do(name)
		}
		if err != nil || len(names) == 0 {
			return nil
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
	}
}
