package space

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/names"
)

const (
	fieldsName = ".fields.json"
	tagsName   = ".tags.json"
)

// maxKnown is the number of series that are remembered between a listing and
// the opening of what it named.
const maxKnown = 4096

// influxTree shows the data of a view: directories for databases, policies and
// measurements, and in them a file per series with its points as line protocol.
//
// Files are made when they are read. Nobody knows their sizes before, so that
// they are said to be 0, as those in /proc: listing a directory must not read
// all points of all series in it.
type influxTree struct {
	set      func() *dataset.Set
	time     time.Time
	policies func() map[string]map[string]*policyDir // by the names of files

	mu    sync.Mutex // guards known; never held while reading
	known map[string]dataset.Series
}

// policyDir is the directory of a policy.
type policyDir struct {
	dataset.Policy
	// measurements are the names by those of their directories, and the first
	// error.
	measurements func() (map[string]string, error)
}

func newInfluxTree(set func() *dataset.Set, t time.Time) *influxTree {
	x := &influxTree{set: set, time: t, known: map[string]dataset.Series{}}
	x.policies = sync.OnceValue(func() map[string]map[string]*policyDir {
		out := map[string]map[string]*policyDir{}
		for p := range set().Policies(dataset.Filter{}) {
			db := names.Key([]byte(p.Database))
			if out[db] == nil {
				out[db] = map[string]*policyDir{}
			}
			d := &policyDir{Policy: p}
			d.measurements = sync.OnceValues(d.list)
			out[db][names.Key([]byte(p.Name))] = d
		}
		return out
	})
	return x
}

func (d *policyDir) list() (map[string]string, error) {
	out := map[string]string{}
	var first error
	for m, err := range d.Measurements(dataset.Filter{}) {
		if err == nil {
			out[names.Key([]byte(m.Name))] = m.Name
		} else if first == nil {
			first = err
		}
	}
	return out, first
}

// lineNode is what a name stands for.
type lineNode struct {
	info   lineInfo
	list   func() iter.Seq2[lineInfo, error] // of a directory
	data   func() ([]byte, error)            // of a file of JSON
	series *dataset.Series
}

// lineInfo is the information about a directory or file of the tree.
type lineInfo struct {
	info
	key *string // raw name of what it shows
}

func (i lineInfo) Sys() any { return i }

// Attrs implements attr.Lister.
func (i lineInfo) Attrs() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if i.key != nil {
			yield("key", *i.key)
		}
	}
}

func (x *influxTree) dir(name, key string) lineInfo {
	return lineInfo{info{name: name, mode: fs.ModeDir | 0o555, time: x.time}, &key}
}

func (x *influxTree) file(name string, key *string) lineInfo {
	return lineInfo{info{name: name, mode: 0o444, time: x.time, volatile: true}, key}
}

// find returns what a path stands for.
func (x *influxTree) find(name string) (lineNode, error) {
	if !fs.ValidPath(name) {
		return lineNode{}, fs.ErrInvalid
	}
	if name == "." {
		i := x.dir(".", "")
		i.key = nil
		return lineNode{info: i, list: x.listRoot}, nil
	}
	elems := strings.Split(name, "/")
	policies, ok := x.policies()[elems[0]]
	if !ok {
		return lineNode{}, fs.ErrNotExist
	}
	if len(elems) == 1 {
		return lineNode{info: x.dir(elems[0], anyPolicy(policies).Database), list: func() iter.Seq2[lineInfo, error] { return x.listDatabase(policies) }}, nil
	}
	p, ok := policies[elems[1]]
	if !ok {
		return lineNode{}, fs.ErrNotExist
	}
	if len(elems) == 2 {
		return lineNode{info: x.dir(elems[1], p.Name), list: func() iter.Seq2[lineInfo, error] { return x.listPolicy(p) }}, nil
	}
	return x.findMeasurement(p, name, elems[2:])
}

func anyPolicy(policies map[string]*policyDir) *policyDir {
	for _, p := range policies {
		return p
	}
	return nil
}

// findMeasurement returns what the rest of a path stands for in a policy.
func (x *influxTree) findMeasurement(p *policyDir, name string, elems []string) (lineNode, error) {
	all, damage := p.measurements()
	m, ok := all[elems[0]]
	switch {
	case !ok && damage != nil:
		return lineNode{}, damage // it may be there
	case !ok || len(elems) > 2:
		return lineNode{}, fs.ErrNotExist
	case len(elems) == 1:
		return lineNode{info: x.dir(elems[0], m), list: func() iter.Seq2[lineInfo, error] { return x.listMeasurement(p, m, name) }}, nil
	case elems[1] == fieldsName:
		return lineNode{info: x.file(fieldsName, nil), data: func() ([]byte, error) { return fieldsJSON(p.Policy, m) }}, nil
	case elems[1] == tagsName:
		return lineNode{info: x.file(tagsName, nil), data: func() ([]byte, error) { return tagsJSON(p.Policy, m) }}, nil
	}
	x.mu.Lock()
	s, ok := x.known[name]
	x.mu.Unlock()
	if !ok {
		var err error
		if s, err = x.lookup(p, m, elems[1]); err != nil {
			return lineNode{}, err
		}
		x.remember(name, s)
	}
	return lineNode{info: x.file(elems[1], &s.Key), series: &s}, nil
}

// lookup returns the series of a measurement that has the name of a file.
func (x *influxTree) lookup(p *policyDir, measurement, name string) (dataset.Series, error) {
	base, ok := strings.CutSuffix(name, lineExt)
	if !ok {
		return dataset.Series{}, fs.ErrNotExist
	}
	if _, long := names.Long(base); !long {
		key, ok := names.Decode(base)
		// Other names than that of the listing may decode to a key.
		if !ok || lineName(string(key)) != name {
			return dataset.Series{}, fs.ErrNotExist
		}
		s, err := x.set().Lookup(p.Database, p.Name, string(key))
		if errors.Is(err, dataset.ErrNoSeries) || err == nil && s.Measurement != measurement {
			err = fs.ErrNotExist
		}
		return s, err
	}
	var damage error
	for s, err := range p.Series(dataset.Filter{Measurement: quoteGlob(measurement)}) {
		if err != nil {
			damage = err
		} else if lineName(s.Key) == name && s.Measurement == measurement {
			return s, nil
		}
	}
	if damage != nil {
		return dataset.Series{}, damage
	}
	return dataset.Series{}, fs.ErrNotExist
}

func (x *influxTree) remember(name string, s dataset.Series) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.known) >= maxKnown {
		clear(x.known)
	}
	x.known[name] = s
}

func (x *influxTree) listRoot() iter.Seq2[lineInfo, error] {
	return func(yield func(lineInfo, error) bool) {
		for _, name := range sortedKeys(x.policies()) {
			if !yield(x.dir(name, anyPolicy(x.policies()[name]).Database), nil) {
				return
			}
		}
	}
}

func (x *influxTree) listDatabase(policies map[string]*policyDir) iter.Seq2[lineInfo, error] {
	return func(yield func(lineInfo, error) bool) {
		for _, name := range sortedKeys(policies) {
			if !yield(x.dir(name, policies[name].Name), nil) {
				return
			}
		}
	}
}

func (x *influxTree) listPolicy(p *policyDir) iter.Seq2[lineInfo, error] {
	return func(yield func(lineInfo, error) bool) {
		all, damage := p.measurements()
		for _, name := range sortedKeys(all) {
			if !yield(x.dir(name, all[name]), nil) {
				return
			}
		}
		if damage != nil {
			yield(lineInfo{}, damage)
		}
	}
}

// listMeasurement lists the series of a measurement at a path, and remembers
// them.
func (x *influxTree) listMeasurement(p *policyDir, measurement, path string) iter.Seq2[lineInfo, error] {
	return func(yield func(lineInfo, error) bool) {
		if !yield(x.file(fieldsName, nil), nil) || !yield(x.file(tagsName, nil), nil) {
			return
		}
		for s, err := range p.Series(dataset.Filter{Measurement: quoteGlob(measurement)}) {
			if err != nil {
				if !yield(lineInfo{}, err) {
					return
				}
				continue
			}
			if s.Measurement != measurement {
				continue
			}
			name := lineName(s.Key)
			x.remember(path+"/"+name, s)
			if !yield(x.file(name, &s.Key), nil) {
				return
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// quoteGlob returns a glob that a name alone matches.
func quoteGlob(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

func fieldsJSON(p dataset.Policy, measurement string) ([]byte, error) {
	type field struct {
		Name  string `json:"field"`
		Types any    `json:"types"`
	}
	list, errs := []field{}, []string{}
	for f, err := range p.Fields(dataset.Filter{Measurement: quoteGlob(measurement)}) {
		if err != nil {
			errs = append(errs, err.Error())
		} else if f.Measurement == measurement {
			list = append(list, field{f.Name, f.Types})
		}
	}
	return indented(map[string]any{"measurement": measurement, "fields": list, "errors": errs})
}

func tagsJSON(p dataset.Policy, measurement string) ([]byte, error) {
	type tag struct {
		Key    string   `json:"tag"`
		Values []string `json:"values"`
	}
	list, errs := []tag{}, []string{}
	for t, err := range p.TagKeys(dataset.Filter{Measurement: quoteGlob(measurement)}) {
		if err != nil {
			errs = append(errs, err.Error())
		} else if t.Measurement == measurement {
			list = append(list, tag{t.Key, t.Values})
		}
	}
	return indented(map[string]any{"measurement": measurement, "tags": list, "errors": errs})
}

func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
