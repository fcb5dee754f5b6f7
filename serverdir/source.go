package serverdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/dirtree"
	"github.com/snapfs/snapfs/internal/names"
)

// metaName is the name of the metadata in a snapshot, and in the data directory
// of a release candidate.
const metaName = "meta"

// Source is what directories are made from.
type Source struct {
	// Tree is the merged view of a snapshot, or any copy of it. What is made is
	// used with it, and reads from it.
	Tree fs.FS

	// Meta are the metadata that the server is to have. Nil stands for those of
	// Tree.
	Meta []byte

	// Keep, unless nil, says which directories and shards of Tree go into the
	// data directory. Where it refuses a directory, all below is left out.
	Keep func(path string, d fs.DirEntry) bool
}

// list is what there is in the tree.
type list struct {
	files []file // for the data directory: shards
	meta  fs.FileInfo
	index uint64 // the highest in the manifest
}

// list goes through the tree.
func (s Source) list() (l list, err error) {
	manifest, err := s.manifest()
	if err != nil {
		return l, err
	}
	for _, f := range manifest.Files {
		l.index = max(l.index, f.Stamp.Index)
	}
	renamed := renamed(manifest)
	err = fs.WalkDir(s.Tree, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case p == "." || p == chain.ManifestName && !d.IsDir():
			return nil
		case p == metaName && !d.IsDir():
			l.meta, err = d.Info()
			return err
		case s.Keep != nil && !s.Keep(p, d):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		first, rest, _ := strings.Cut(p, "/")
		to := p
		if name, ok := renamed[first]; ok {
			to = path.Join(name, rest)
		}
		l.files = append(l.files, file{path: to, from: p, mode: d.Type()})
		return nil
	})
	if err == nil && l.meta == nil && s.Meta == nil {
		err = &fs.PathError{Op: "open", Path: metaName, Err: fs.ErrNotExist}
	}
	return l, err
}

// time returns the time of the metadata, which files that are made get.
func (l list) time() time.Time {
	if l.meta == nil {
		return time.Unix(0, 0).UTC()
	}
	return l.meta.ModTime()
}

// manifest reads the manifest of the tree. Without one nothing is in it.
func (s Source) manifest() (chain.Manifest, error) {
	f, err := s.Tree.Open(chain.ManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return chain.Manifest{}, nil
	}
	if err != nil {
		return chain.Manifest{}, err
	}
	defer f.Close()
	m, err := chain.ReadManifest(f)
	if err != nil {
		err = fmt.Errorf("%s: %w", chain.ManifestName, err)
	}
	return m, err
}

// renamed returns the directories at the root of a view that have another name
// there, since a file has it, with their own names. The manifest tells which
// those are: the view was made by the same rules, see [chain.View].
func renamed(m chain.Manifest) map[string]string {
	out := map[string]string{}
	b := dirtree.Builder{
		Reserved: []string{chain.ManifestName, metaName},
		Renamed: func(own, shown string) {
			if !strings.Contains(own, "/") {
				out[shown] = own
			}
		},
	}
	for _, f := range m.Files {
		if p, _ := names.Path(f.Name); p != "." {
			b.Add(p, 0, 0)
		}
	}
	b.Build(source{})
	return out
}

// meta returns the metadata, decoded, and a file that holds them.
func (s Source) meta(l list) (*influx.Meta, file, error) {
	f := made(metaName, s.Meta)
	if s.Meta == nil {
		f = file{path: metaName, from: metaName}
	}
	r, err := source{base: s.Tree, files: []file{f}}.Content(0)
	if err != nil {
		return nil, f, err
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	size := int64(len(s.Meta))
	if s.Meta == nil {
		size = l.meta.Size()
	}
	m, err := influx.OpenMeta(r, size)
	return m, f, err
}
