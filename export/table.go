package export

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/hint"
)

const (
	// maxTables bounds the measurements that an export to tables has, and
	// maxColumns the columns of one: all of a table are written at the same time.
	maxTables  = 1 << 16
	maxColumns = 2048
)

// table is a measurement of a policy, as rows and columns.
type table struct {
	policy      *dataset.Policy
	measurement string
	columns     []column // time, tags by name, fields by name and type
	// scattered is set if the series of other measurements come between its own
	// in the order of keys.
	scattered bool

	tags   []string // sorted
	fields []dataset.Field
}

// column is a column of a table.
type column struct {
	Name string `json:"column"`
	Kind string `json:"kind"` // time, tag, field
	// Of is the name of the tag or field, in which a byte that is not UTF-8 is
	// U+FFFD, and Type the type of the field.
	Of   string           `json:"name,omitempty"`
	Type influx.FieldType `json:"type,omitzero"`

	raw string // Of as the server had it
}

// tables returns the tables of the selected series of a policy, in the order of
// their first series, and how many series each shard has. Errors are told by
// who reads the series again.
func tables(p *dataset.Policy, f dataset.Filter) ([]*table, map[*dataset.Shard]int64, error) {
	byName, count := map[string]*table{}, map[*dataset.Shard]int64{}
	var list []*table
	var last *table
	for s, err := range p.Series(f) {
		if err != nil {
			continue
		}
		t := byName[s.Measurement]
		switch {
		case t == nil:
			if len(list) == maxTables {
				return nil, nil, hint.Wrap(fmt.Errorf("%s.%s has more than %d measurements: too many tables: %w", p.Database, p.Name, maxTables, ErrOption), "--measurement chooses some; --format csv has no such limit")
			}
			t = &table{policy: p, measurement: s.Measurement}
			byName[s.Measurement] = t
			list = append(list, t)
		case t != last:
			t.scattered = true
		}
		last = t
		for _, tag := range s.Tags {
			if i, ok := slices.BinarySearch(t.tags, tag.Key); !ok && len(t.tags) < maxColumns {
				t.tags = slices.Insert(t.tags, i, tag.Key)
			}
		}
		for sh := range s.InShards() {
			count[sh]++
		}
	}
	for field, err := range p.Fields(f) {
		if t := byName[field.Measurement]; err == nil && t != nil {
			t.fields = append(t.fields, field)
		}
	}
	for _, t := range list {
		if err := t.name(); err != nil {
			return nil, nil, err
		}
	}
	return list, count, nil
}

// name gives names to the columns. Fields that have the name of a tag, columns
// that would be called time, and the types of a field that has several are told
// apart by what is added to the name.
func (t *table) name() error {
	used := map[string]bool{"time": true}
	t.columns = []column{{Name: "time", Kind: "time"}}
	add := func(raw, kind, ending string, typ influx.FieldType) {
		of := strings.ToValidUTF8(raw, "�")
		name := of + ending
		if name == "" || used[name] {
			name += "_" + kind
		}
		for n, base := 2, name; used[name]; n++ {
			name = fmt.Sprint(base, "_", n)
		}
		used[name] = true
		t.columns = append(t.columns, column{name, kind, of, typ, raw})
	}
	for _, tag := range t.tags {
		add(tag, "tag", "", 0)
	}
	for _, f := range t.fields {
		for _, typ := range f.Types {
			ending := ""
			if len(f.Types) > 1 {
				ending = "_" + typ.String()
			}
			add(f.Name, "field", ending, typ)
		}
		if len(t.columns) > maxColumns {
			break
		}
	}
	if len(t.columns) > maxColumns {
		err := fmt.Errorf("measurement %q of %s.%s has more than %d columns: too many for a table: %w", t.measurement, t.policy.Database, t.policy.Name, maxColumns, ErrOption)
		return hint.Wrap(err, "--format jsonl has no such limit")
	}
	return nil
}

// only returns a filter that selects, of what f does, one measurement.
func only(f dataset.Filter, measurement string) dataset.Filter {
	f.Measurement = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(measurement)
	return f
}

// weigh returns a share of the sizes of shards for one series of each.
func weigh(shards iter.Seq[*dataset.Shard], series map[*dataset.Shard]int64) (sum int64) {
	for sh := range shards {
		sum += sh.Size / max(series[sh], 1)
	}
	return sum
}
