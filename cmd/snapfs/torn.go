package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/space"
)

// holdsFiles reports whether the regular files of a path of the tree are those
// of the snapshot, which may be Bolt files, and not keys or made up.
func holdsFiles(t *space.Tree, p string) bool {
	if t.Chain() == nil {
		return false
	}
	rest, ok := strings.CutPrefix(p, space.Control)
	if !ok || rest != "" && rest[0] != '/' {
		return true
	}
	return strings.HasPrefix(rest, "/points/") || strings.HasPrefix(rest, "/times/") || strings.HasPrefix(rest, "/layers/")
}

// tornFile returns the class of a file that opening shows to be a torn Bolt
// file, or what is wrong with one that cannot be opened. Of other files, and of
// those that are known to be damaged otherwise, it returns nothing.
func tornFile(t fs.FS, p string, fi fs.FileInfo) (class boltview.Class, problem string) {
	if !fi.Mode().IsRegular() || fi.Size() == 0 {
		return "", ""
	}
	for k := range attr.All(fi) {
		if k == "damage" {
			return "", ""
		}
	}
	f, err := t.Open(p)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	r, ok := f.(io.ReaderAt)
	if !ok {
		return "", ""
	}
	db, err := boltview.Open(r, fi.Size(), boltview.Options{})
	switch {
	case errors.Is(err, boltview.ErrNotBolt):
		return "", ""
	case err != nil:
		return "", err.Error()
	}
	if class = db.Info().Class; class == boltview.ClassA {
		class = ""
	}
	return class, ""
}

// tornMark is how ls shows what tornFile found.
func tornMark(class boltview.Class, problem string) string {
	switch {
	case problem != "":
		return fmt.Sprintf("  [damaged: %s]", printable(problem))
	case class != "":
		return fmt.Sprintf("  [torn: class %s]", string(class))
	}
	return ""
}

// tornSign looks for signs that a Bolt file is torn, which its metas and the
// headers of two pages show: nothing more is read. Files that are no Bolt files
// have none.
func tornSign(r io.ReaderAt, size int64) bool {
	for _, m := range []boltview.Meta{boltview.Meta0, boltview.Meta1} {
		db, err := boltview.Open(r, size, boltview.Options{Meta: m})
		if errors.Is(err, boltview.ErrNotBolt) {
			return false
		}
		if err != nil {
			continue // that meta is not valid, which a sound file allows of one
		}
		i := db.Info()
		if newestMeta(i) != i.Meta {
			continue
		}
		for _, meta := range i.Metas {
			if meta.State == "ok" && meta.HighWater > i.Pages {
				return true
			}
		}
		return i.Freelist != nil && i.FreePages == nil
	}
	return true // no meta is valid
}

// newestMeta returns the index of the valid meta of the later transaction, -1
// if none is valid.
func newestMeta(i boltview.Info) int {
	best := -1
	for n, m := range i.Metas {
		if m.State == "ok" && (best < 0 || m.TxID > i.Metas[best].TxID) {
			best = n
		}
	}
	return best
}
