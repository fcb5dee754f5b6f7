package origin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/backup/wire"
	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/hint"
)

// metaName is the file with the metadata of a server.
const metaName = "meta"

// ErrLocked is returned when another process has a Bolt file open for writing.
var ErrLocked = errors.New("open for writing in another process")

// Dir is a directory of Bolt files, such as the data directory of a server
// that does not run. Symbolic links in it are not followed.
type Dir struct {
	Path string

	// Meta is the path of a file to be "meta" instead of that in the directory.
	Meta string

	// DB returns the database that this process itself has open on a file, or
	// nil. It must stay open until the copy is closed. While a copy is made, a
	// transaction that makes the file outgrow its map waits for it, see
	// [bolt.Options.InitialMmapSize].
	DB func(path string) *bolt.DB

	clock clock
}

// candidate is a file that may be part of a copy.
type candidate struct {
	chain.ManifestFile
	path  string
	plain bool // no Bolt file
}

// Begin implements [Origin]. The error matches [ErrLocked], or is of the file
// system or of bbolt.
func (d Dir) Begin(ctx context.Context, known chain.Manifest) (*Copy, error) {
	c := &Copy{Time: time.Now()}
	all, err := d.list(ctx, c)
	if err != nil {
		return nil, err
	}
	have, err := d.stamp(ctx, all)
	if err != nil {
		return nil, err
	}
	if w := withoutMeta(all, known); w != "" {
		c.Warnings = append(c.Warnings, w)
	}
	c.Manifest = wire.Newer(have, known)
	at := 0
	for i := range c.Manifest.Files {
		f := &c.Manifest.Files[i]
		for all[at].Name != f.Name { // both are in the same order
			at++
		}
		var file content
		err := ctx.Err()
		if err == nil {
			file, f.Size, err = d.open(&all[at])
		}
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.files = append(c.files, file)
	}
	return c, nil
}

// list finds the files, sorted by name.
func (d Dir) list(ctx context.Context, c *Copy) ([]candidate, error) {
	var all []candidate
	var left []string // out
	err := filepath.WalkDir(d.Path, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(d.Path, path)
		if err != nil {
			return err
		}
		f := candidate{path: path}
		f.Name = filepath.ToSlash(rel)
		if f.Name == metaName && d.Meta != "" {
			return nil
		}
		if e.Type().IsRegular() {
			if f.plain, err = noBolt(path); err != nil {
				return err
			}
		}
		if !e.Type().IsRegular() || f.plain && f.Name != metaName {
			if f.Name != chain.ManifestName { // which a restore leaves, and the copy has its own
				left = append(left, f.Name)
			}
			return nil
		}
		all = append(all, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if d.Meta != "" {
		f := candidate{path: d.Meta}
		f.Name = metaName
		if f.plain, err = noBolt(d.Meta); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	if len(left) > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("left out, since they are no Bolt files: %d, the first is %q", len(left), left[0]))
	}
	if len(all) == 0 {
		return nil, hint.Wrap(fmt.Errorf("%s: no Bolt file in it", d.Path), "name the data directory of the server, [data] dir in its configuration")
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.Name, b.Name) })
	for _, f := range all {
		if f.Name == chain.ManifestName || !utf8.ValidString(f.Name) {
			return nil, hint.Wrap(fmt.Errorf("%q: a snapshot cannot hold a file of that name", f.path), "names must be UTF-8, and manifest is taken: give it another name")
		}
	}
	return all, nil
}

// withoutMeta returns a warning if there are shards of InfluxDB, and neither
// there nor in what the asker knows the metadata that tell whose they are.
func withoutMeta(all []candidate, known chain.Manifest) string {
	isMeta := func(f chain.ManifestFile) bool { return f.Name == metaName }
	if slices.ContainsFunc(known.Files, isMeta) || slices.ContainsFunc(all, func(f candidate) bool { return isMeta(f.ManifestFile) }) {
		return ""
	}
	i := slices.IndexFunc(all, func(f candidate) bool { return isShard(f.path) })
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("there are shards of InfluxDB, the first is %q, and no meta: databases, policies and users are missing; --meta FILE adds it, for example from an earlier backup", all[i].Name)
}

// isShard reports whether a file is a shard of InfluxDB by its buckets.
func isShard(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // opening it for the copy tells why
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false
	}
	_, err = influx.DetectEngine(f, st.Size())
	return err == nil
}

// noBolt reports whether a file has no meta page of Bolt.
func noBolt(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	// One meta is enough to see; that asks for no look at the trees.
	_, err = boltview.Open(f, st.Size(), boltview.Options{Meta: boltview.Meta0})
	return errors.Is(err, boltview.ErrNotBolt), nil
}

// open holds a file fast, and returns how many bytes it has.
func (d Dir) open(f *candidate) (content, int64, error) {
	if f.plain {
		return readPlain(f.path)
	}
	if d.DB != nil {
		if db := d.DB(f.path); db != nil {
			tx, err := db.Begin(false)
			if err != nil {
				return nil, 0, fmt.Errorf("%s: %w", f.path, err)
			}
			return shared{tx}, tx.Size(), nil
		}
	}
	return openFile(f.path)
}
