package doctor

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
)

// Found is a snapshot that [Find] came upon.
type Found struct {
	Path  string    // of the full snapshot, which may be missing
	Stray []Finding // files beside it that no tool reads as a part of it
}

// Find looks for snapshots. A path that is a file, or the full snapshot of
// incrementals, is one; an incremental stands for its chain if that is there.
// Directories are searched with all below, symbolic links not followed, for
// files whose first tar member is a manifest, and what belongs to them by its
// name. The result is sorted by path, each snapshot once. The error is the
// first of a path that is not there, or cannot be looked at; what cannot be searched is in problems.
func Find(ctx context.Context, paths ...string) (list []Found, problems []error, err error) {
	f := finder{seen: map[string]bool{}}
	for _, p := range paths {
		st, err := os.Stat(p)
		switch {
		case err == nil && st.IsDir():
			if err := f.walk(ctx, p); err != nil {
				return nil, nil, err
			}
		case err == nil:
			f.file(p)
		default:
			_, ierr := os.Lstat(p + ".0")
			if ierr != nil {
				if errors.Is(err, fs.ErrNotExist) && !errors.Is(ierr, fs.ErrNotExist) {
					err = ierr // an incremental may be there
				}
				return nil, nil, err
			}
			f.add(p)
		}
	}
	slices.SortFunc(f.list, func(a, b Found) int { return cmp.Compare(a.Path, b.Path) })
	return f.list, f.problems, nil
}

type finder struct {
	list     []Found
	seen     map[string]bool
	problems []error
}

func (f *finder) add(p string) {
	if p = filepath.Clean(p); f.seen[p] {
		return
	}
	f.seen[p] = true
	f.list = append(f.list, Found{p, strays(p)})
}

// file adds the snapshot that a file is or belongs to.
func (f *finder) file(p string) {
	if base, _, ok := increment(p); ok {
		if _, err := os.Lstat(base); err == nil {
			p = base
		}
	}
	f.add(p)
}

// increment splits the path of an incremental into that of the full snapshot
// and its number.
func increment(p string) (base string, n int, ok bool) {
	i := strings.LastIndexByte(p, '.')
	if i <= 0 || strings.ContainsRune(p[i:], filepath.Separator) {
		return "", 0, false
	}
	n, err := strconv.Atoi(p[i+1:])
	if err != nil || n < 0 || strconv.Itoa(n) != p[i+1:] {
		return "", 0, false
	}
	return p[:i], n, true
}

// walk adds the snapshots below a directory.
func (f *finder) walk(ctx context.Context, root string) error {
	groups := map[string][]string{} // paths of layers by that of the full snapshot
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if cerr := ctx.Err(); cerr != nil {
			return cerr
		}
		if err != nil {
			f.problems = append(f.problems, err)
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		base := strings.TrimSuffix(p, ".pending")
		if b, _, ok := increment(base); ok {
			base = b
		}
		groups[base] = append(groups[base], p)
		return nil
	})
	if err != nil {
		return err
	}
	for _, base := range slices.Sorted(maps.Keys(groups)) {
		layers := groups[base]
		empty, other := 0, 0
		snapshot := false
		for _, p := range layers {
			is, zero := f.looks(p)
			snapshot = snapshot || is
			if zero {
				empty++
			} else if !is {
				other++
			}
		}
		// Backups that failed leave nothing but empty files, several of them.
		if snapshot || empty > 1 && other == 0 {
			if len(layers) == 1 && layers[0] != base {
				if _, n, ok := increment(layers[0]); !ok || n > 0 {
					base = layers[0] // no chain, but a file of that name
				}
			}
			f.add(base)
		}
	}
	return nil
}

// looks reports whether a file starts as a snapshot does, and whether it is
// empty.
func (f *finder) looks(p string) (snapshot, empty bool) {
	file, err := os.Open(p)
	if err != nil {
		f.problems = append(f.problems, err)
		return false, false
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil || st.Size() == 0 {
		return false, err == nil
	}
	h, err := tar.NewReader(io.LimitReader(file, 4096)).Next()
	return err == nil && h.Name == chain.ManifestName, false
}

// strays returns findings about files beside a chain that look like layers of it
// and are none to any tool: with leading zeros, compressed, copies.
func strays(base string) []Finding {
	entries, err := os.ReadDir(filepath.Dir(base))
	if err != nil {
		return nil // package chain tells
	}
	var out []Finding
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(base)+".")
		if !ok || rest == "" {
			continue
		}
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		p := filepath.Join(filepath.Dir(base), e.Name())
		finding := Finding{Code: StrayFile, Level: StrayFile.Level(), File: p}
		number, tail := rest[:digits], rest[digits:]
		n, _ := strconv.Atoi(number)
		wants := fmt.Sprintf("%s.%d", base, n)
		switch ext := strings.TrimPrefix(tail, "."); {
		case digits > 1 && number[0] == '0' && tail == "":
			finding.Text = fmt.Sprintf("%s has leading zeros in its number, so that no tool reads it as a layer", e.Name())
			finding.Hint = fmt.Sprintf("mv -n %s %s", hint.Quote(p), hint.Quote(wants))
		case unpackers[ext] != "":
			if digits == 0 {
				wants = base
			}
			finding.Text = fmt.Sprintf("%s is compressed, so that it is no layer", e.Name())
			finding.Hint = fmt.Sprintf("%s <%s >%s", unpackers[ext], hint.Quote(p), hint.Quote(wants))
		default:
			continue
		}
		out = append(out, finding)
	}
	return out
}

// unpackers has the command for each extension of compressed files.
var unpackers = map[string]string{"gz": "gzip -dc", "bz2": "bzip2 -dc", "xz": "xz -dc", "zst": "zstd -dc", "lz4": "lz4 -dc"}
