package restore

import (
	"fmt"
	"io/fs"
	"os"
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
	f, err := there.Open(".")
	if err != nil {
		return nil
	}
	defer f.Close()
	ours := func(name string) bool {
		_, found := slices.BinarySearchFunc(list, name, func(d fs.DirEntry, name string) int {
			return strings.Compare(d.Name(), name)
		})
		return !found
	}
	for {
		names, err := f.Readdirnames(listChunk)
		for _, name := range names {
			if !isTemp(name) || !ours(name) {
				continue
			}
			info, err := there.Lstat(name)
			if err != nil || (!info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink) {
				continue
			}
			w.stale = append(w.stale, stale{at, name, info.Size()})
		}
		if err != nil || len(names) == 0 {
			return nil
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
	}
}
