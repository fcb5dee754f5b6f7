package space

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/names"
)

// maxDays is the longest span in days of a shard that is under each of its days
// in by-time. One that spans more is under the first alone.
const maxDays = 400

// byTime makes the directory by-time: links to the shards below the days of
// their groups, database and policy. A shard of which no metadata know the group
// is not there.
func (t *Tree) byTime() entry {
	root := &dir{}
	for _, sh := range t.Data().Shards() {
		if sh.Start.IsZero() {
			continue
		}
		for _, day := range days(sh) {
			at := root.sub(day, t.time).sub(names.Key([]byte(sh.Database)), t.time).sub(names.Key([]byte(sh.Policy)), t.time)
			name := fmt.Sprint(sh.ID)
			for n := 2; at.has(name); n++ {
				name = fmt.Sprintf("%d-%d", sh.ID, n)
			}
			target := sh.Path
			if first, rest := split(target); first == Control {
				target = shadowed + "/" + rest
			}
			at.add(entry{name: name, link: "../../../../../" + target, time: t.time,
				open: func() (fs.FS, error) { return only{t.root, sh.Path}, nil }})
		}
	}
	return entry{name: "by-time", dir: root, time: t.time}
}

// days returns the days of a shard's group.
func days(sh *dataset.Shard) []string {
	day := sh.Start.UTC().Truncate(24 * time.Hour)
	out := []string{day.Format(time.DateOnly)}
	for day = day.AddDate(0, 0, 1); day.Before(sh.End); day = day.AddDate(0, 0, 1) {
		if len(out) == maxDays {
			return out[:1]
		}
		out = append(out, day.Format(time.DateOnly))
	}
	return out
}

// sub returns the directory name in d, which it makes if it is not there.
func (d *dir) sub(name string, t time.Time) *dir {
	i, ok := slices.BinarySearchFunc(d.entries, name, byName)
	if !ok {
		d.entries = slices.Insert(d.entries, i, entry{name: name, dir: &dir{}, time: t})
	}
	return d.entries[i].dir
}

func (d *dir) has(name string) bool {
	_, ok := slices.BinarySearchFunc(d.entries, name, byName)
	return ok
}

// only is a file of a tree as a tree: its root.
type only struct {
	fsys fs.FS
	name string
}

// Open implements [fs.FS].
func (o only) Open(name string) (fs.File, error) { return o.fsys.Open(o.path(name)) }

// Stat implements [fs.StatFS].
func (o only) Stat(name string) (fs.FileInfo, error) { return fs.Stat(o.fsys, o.path(name)) }

func (o only) path(name string) string {
	return strings.TrimSuffix(o.name+"/"+name, "/.")
}

// made is a tree of entries that is made when it is first used.
type made struct{ root func() entry }

// Open implements [fs.FS].
func (m made) Open(name string) (fs.File, error) {
	sub, inner, err := m.root().find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return openIn(sub, inner, name)
}

// Stat implements [fs.StatFS].
func (m made) Stat(name string) (fs.FileInfo, error) {
	sub, inner, err := m.root().find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	fi, err := fs.Stat(sub, inner)
	return named(fi, err, name)
}

// Lstat implements [fs.ReadLinkFS].
func (m made) Lstat(name string) (fs.FileInfo, error) {
	sub, inner, err := m.root().find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	fi, err := fs.Lstat(sub, inner)
	return named(fi, err, name)
}

// ReadLink implements [fs.ReadLinkFS].
func (m made) ReadLink(name string) (string, error) {
	sub, inner, err := m.root().find(name)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return fs.ReadLink(sub, inner)
}
