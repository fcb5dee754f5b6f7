package export

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/durable"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/internal/names"
)

// parquetSuffix is what names of Parquet files end in.
const parquetSuffix = ".parquet"

// writeParquet writes the one table of an export into w.
func writeParquet(ctx context.Context, w io.Writer, set *dataset.Set, o *Options, c Compression) (report Report, err error) {
	x, all, err := newParquet(set, o, c, &report)
	if err != nil {
		return report, err
	}
	if _, err := oneTable(all); err != nil {
		return report, err
	}
	out := &counter{w: w}
	x.create = func(*table) (io.Writer, error) { return out, nil }
	x.finish = func() error { return nil }
	err = x.run(ctx, all)
	report.Bytes = out.n
	return report, err
}

// oneTable returns the table of an export that is a single file.
func oneTable(all []policyTables) (*table, error) {
	var list []*table
	for _, p := range all {
		list = append(list, p.list...)
	}
	switch len(list) {
	case 0:
		return nil, fmt.Errorf("no series is selected, and a Parquet file cannot be without columns: %w", ErrOption)
	case 1:
		return list[0], nil
	}
	text := func(t *table) string {
		return fmt.Sprintf("%q of %s.%s", t.measurement, t.policy.Database, t.policy.Name)
	}
	err := fmt.Errorf("%d measurements, the first of them %s and %s: a Parquet file has one: %w", len(list), text(list[0]), text(list[1]), ErrOption)
	return nil, hint.Wrap(err, "choose by --db, --rp and --measurement, or write all into a directory: --out DIRECTORY")
}

// parquetFiles writes tables into files: one, or a directory of them.
type parquetFiles struct {
	files  Files
	report *Report
	parts  map[string]int // how many were begun of each table, by its path
	done   []string       // complete, but not renamed
	made   []string       // directories
	name   string         // of the one that is written
	f      *os.File
	out    counter
}

// toParquet writes one table into the file of that name, if it ends in .parquet,
// else each into DATABASE/POLICY/MEASUREMENT.parquet in that directory.
func toParquet(ctx context.Context, files Files, set *dataset.Set, o *Options) (report Report, err error) {
	x, all, err := newParquet(set, o, files.Compression, &report)
	if err != nil {
		return report, err
	}
	x.split = files.SplitSize
	s := &parquetFiles{files: files, report: &report, parts: map[string]int{}}
	paths := map[*table]string{}
	if strings.HasSuffix(files.Name, parquetSuffix) {
		t, err := oneTable(all)
		if err != nil {
			return report, err
		}
		paths[t] = files.Name
	} else if err := treeOf(files, all, o, paths); err != nil {
		return report, err
	}
	for _, name := range slices.Sorted(maps.Values(paths)) {
		if err := files.free(files.part(name, 1)); err != nil {
			return report, err
		}
	}
	x.create = func(t *table) (io.Writer, error) { return s.create(paths[t]) }
	x.finish = s.finish
	if err = x.run(ctx, all); err == nil {
		err = s.rename()
	}
	if err != nil {
		err = errors.Join(err, s.remove())
	}
	return report, err
}

// partRoom is how long the number of a part may be in the name of a file.
const partRoom = len(".00000000")

// treeOf gives each table a path in a directory.
func treeOf(files Files, all []policyTables, o *Options, paths map[*table]string) error {
	used := map[string]*table{}
	room := 0
	if files.SplitSize > 0 {
		room = partRoom
	}
	for _, p := range all {
		db, policy := o.renamed(p.policy.Database, p.policy.Name)
		for _, t := range p.list {
			name := filepath.Join(files.Name, fileName(db, "", 0), fileName(policy, "", 0), fileName(t.measurement, parquetSuffix, room))
			if other := used[name]; other != nil {
				return nameError("policy", other.policy.Name, fmt.Sprintf("measurement %q of it and of %q would be one file", t.measurement, p.policy.Name))
			}
			used[name] = t
			paths[t] = name
		}
	}
	return nil
}

// fileName returns a file name for a name of a database, policy or measurement,
// so long that partSuffix has room behind it, and so many bytes more. Distinct
// names get distinct ones.
func fileName(name, suffix string, room int) string {
	base := names.Key([]byte(name))
	if limit := names.Max - len(partSuffix) - len(suffix) - room; len(base) > limit {
		sum := sha256.Sum256([]byte(name))
		base = fmt.Sprintf("%s~%x", base[:limit-17], sum[:8])
	}
	return base + suffix
}

// create begins the file of a table, or the next part of it.
func (s *parquetFiles) create(name string) (io.Writer, error) {
	s.parts[name]++
	name = s.files.part(name, s.parts[name])
	if err := s.files.free(name); err != nil {
		return nil, err
	}
	if err := s.mkdir(filepath.Dir(name)); err != nil {
		return nil, err
	}
	f, err := createPart(name, s.files.Overwrite)
	if err != nil {
		return nil, err
	}
	s.f, s.name, s.out = f, name, counter{w: f}
	return &s.out, nil
}

// mkdir makes directories, and remembers those that were not there.
func (s *parquetFiles) mkdir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.mkdir(filepath.Dir(dir)); err != nil {
		return err
	}
	s.made = append(s.made, dir)
	return os.Mkdir(dir, 0o777)
}

// finish ends the file.
func (s *parquetFiles) finish() error {
	err := errors.Join(s.f.Sync(), s.f.Close())
	s.f = nil
	s.report.Bytes += s.out.n
	s.done = append(s.done, s.name)
	return err
}

// rename gives all files their names.
func (s *parquetFiles) rename() error {
	dirs := map[string]bool{}
	for _, name := range s.done {
		if err := durable.Replace(name+partSuffix, name); err != nil {
			return err
		}
		s.report.Files = append(s.report.Files, name)
		dirs[filepath.Dir(name)] = true
	}
	for name, n := range s.parts {
		if err := s.files.removeAfter(n, func(part int) string { return s.files.part(name, part) }); err != nil {
			return err
		}
	}
	for _, dir := range s.made {
		dirs[filepath.Dir(dir)] = true
	}
	for dir := range dirs {
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// remove removes what is incomplete, and directories that are empty then.
func (s *parquetFiles) remove() error {
	var errs []error
	if s.f != nil {
		errs = append(errs, s.f.Close())
		s.done = append(s.done, s.name)
	}
	for _, name := range s.done {
		if err := os.Remove(name + partSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, dir := range slices.Backward(s.made) {
		_ = os.Remove(dir) // stays if there is something in it
	}
	return errors.Join(errs...)
}
