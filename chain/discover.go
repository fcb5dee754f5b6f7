package chain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/snapfs/snapfs/internal/hint"
)

// found is what lies on disk around a path.
type found struct {
	paths    []string // the full snapshot, then the incrementals without a gap
	warnings []Warning
}

// discover looks for path, path.0, path.1, … and names what it leaves out. With
// keep, path itself may be missing.
func discover(path string, keep bool) (found, error) {
	var f found
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		return f, hint.Wrap(&fs.PathError{Op: "open", Path: path, Err: errors.New("is a directory")},
			"name the full snapshot in it, as in %s", hint.Quote(filepath.Join(path, "snap")))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return f, err
	}
	exists := err == nil

	entries, err := os.ReadDir(dir)
	if err != nil {
		// A directory may be searchable but not readable: ask for each name then.
		entries = nil
		for n := 0; ; n++ {
			fi, err := os.Lstat(path + "." + strconv.Itoa(n))
			if errors.Is(err, fs.ErrNotExist) {
				break
			} else if err != nil {
				return f, err
			}
			entries = append(entries, fs.FileInfoToDirEntry(fi))
		}
	}
	var numbers []int
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), base+".")
		if !ok {
			continue
		}
		if n, ok := layerNumber(suffix); ok {
			numbers = append(numbers, n)
		} else if suffix == "pending" || strings.HasSuffix(suffix, ".pending") {
			f.warn(Pending, filepath.Join(dir, e.Name()), "unfinished backup %s is left out", e.Name())
		}
	}
	slices.Sort(numbers)
	if !exists && (!keep || len(numbers) == 0) {
		err := &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		if len(numbers) > 0 {
			return f, hint.Wrap(fmt.Errorf("%w: %w, though %s.%d is", ErrBroken, err, base, numbers[0]),
				"open one incremental by itself: snapfs ls %s", hint.Quote(fmt.Sprintf("%s.%d", path, numbers[0])))
		}
		return f, err
	}

	f.paths = []string{path}
	for i, n := range numbers {
		if n != i {
			f.warn(Gap, path+"."+strconv.Itoa(i), "%s.%d is missing; left out, as by the old tools: %s", base, i, list(base, numbers[i:]))
			break
		}
		f.paths = append(f.paths, path+"."+strconv.Itoa(n))
	}
	if i := strings.LastIndexByte(base, '.'); i > 0 && len(numbers) == 0 {
		if _, ok := layerNumber(base[i+1:]); ok {
			if _, err := os.Stat(filepath.Join(dir, base[:i])); err == nil {
				f.warn(Incremental, path, "%s looks like an incremental of %s", base, base[:i])
				f.warnings[len(f.warnings)-1].Hint = "open " + hint.Quote(filepath.Join(dir, base[:i])) + " for the whole chain"
			}
		}
	}
	return f, nil
}

func (f *found) warn(code Code, file, format string, args ...any) {
	f.warnings = append(f.warnings, Warning{Code: code, File: file, Text: fmt.Sprintf(format, args...)})
}

// layerNumber parses the number of an incremental: decimal, no leading zero.
func layerNumber(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == s
}

// list names the first few of the numbered files.
func list(base string, numbers []int) string {
	var names []string
	for _, n := range numbers {
		if len(names) == 5 {
			names = append(names, fmt.Sprintf("and %d more", len(numbers)-5))
			break
		}
		names = append(names, base+"."+strconv.Itoa(n))
	}
	return strings.Join(names, ", ")
}
