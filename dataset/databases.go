package dataset

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/snapfs/snapfs/influx"
)

// DatabaseInfo is a database that the metadata know or shards belong to.
type DatabaseInfo struct {
	Name          string `json:"name"` // "" for shards of which nothing tells the database
	DefaultPolicy string `json:"default_policy,omitempty"`
	// Dropped says that the newest metadata do not know it. Without metadata,
	// nothing is known to be dropped.
	Dropped  bool         `json:"dropped"`
	Policies []PolicyInfo `json:"policies"` // by name
}

// PolicyInfo is a retention policy. What only metadata tell is zero if none know it.
type PolicyInfo struct {
	Name          string        `json:"name"`
	Dropped       bool          `json:"dropped"`           // as that of [DatabaseInfo]
	Duration      time.Duration `json:"duration_ns"`       // how long points were kept; 0 is forever
	GroupDuration time.Duration `json:"group_duration_ns"` // span of a shard group
	Replicas      uint32        `json:"replicas"`
	Shards        int           `json:"shards"` // that were found
	Ghosts        int           `json:"ghosts"` // of those
	Bytes         int64         `json:"bytes"`  // of those
	// Start and End are the span of the groups of the shards that were found;
	// zero if none is known.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`
}

// Databases returns the selected databases with their policies, by name. With
// a filter for shards or times, only those with such shards are among them.
func (s *Set) Databases(f Filter) []DatabaseInfo {
	c := catalog{}
	if len(s.src.Metas) > 0 && len(f.Shards) == 0 && f.From == 0 && f.To == 0 {
		for i := range s.src.Metas[0].Databases {
			d := &s.src.Metas[0].Databases[i]
			if !match(f.Database, d.Name) {
				continue
			}
			c.database(d.Name)
			for _, p := range d.Policies {
				if match(f.Policy, p.Name) {
					c.policy(d.Name, p.Name)
				}
			}
		}
	}
	for _, sh := range s.shards {
		if f.shard(sh) {
			c.policy(sh.Database, sh.Policy).add(sh)
		}
	}
	for i := range c {
		s.describe(&c[i])
	}
	slices.SortFunc(c, func(a, b DatabaseInfo) int { return strings.Compare(a.Name, b.Name) })
	return c
}

// catalog is a list that is being made.
type catalog []DatabaseInfo

func (c *catalog) database(name string) *DatabaseInfo {
	i := slices.IndexFunc(*c, func(d DatabaseInfo) bool { return d.Name == name })
	if i < 0 {
		i = len(*c)
		*c = append(*c, DatabaseInfo{Name: name, Policies: []PolicyInfo{}})
	}
	return &(*c)[i]
}

func (c *catalog) policy(database, name string) *PolicyInfo {
	d := c.database(database)
	i := slices.IndexFunc(d.Policies, func(p PolicyInfo) bool { return p.Name == name })
	if i < 0 {
		i = len(d.Policies)
		d.Policies = append(d.Policies, PolicyInfo{Name: name})
	}
	return &d.Policies[i]
}

func (p *PolicyInfo) add(sh *Shard) {
	p.Shards++
	p.Bytes += sh.Size
	if sh.Ghost != "" {
		p.Ghosts++
	}
	if sh.Start.IsZero() || sh.End.IsZero() {
		return
	}
	if p.Start.IsZero() || sh.Start.Before(p.Start) {
		p.Start = sh.Start
	}
	if sh.End.After(p.End) {
		p.End = sh.End
	}
}

// describe adds what the newest metadata that know a database and its policies
// tell of them.
func (s *Set) describe(d *DatabaseInfo) {
	for i := range d.Policies {
		d.Policies[i].Dropped = len(s.src.Metas) > 0
	}
	d.Dropped = len(s.src.Metas) > 0
	described := map[string]bool{}
	for age, m := range s.src.Metas {
		known := m.Database(d.Name)
		if known == nil {
			continue
		}
		if age == 0 {
			d.Dropped = false
		}
		d.DefaultPolicy = cmp.Or(d.DefaultPolicy, known.DefaultPolicy)
		for _, from := range known.Policies {
			i := slices.IndexFunc(d.Policies, func(p PolicyInfo) bool { return p.Name == from.Name })
			if i < 0 || described[from.Name] {
				continue
			}
			described[from.Name] = true
			d.Policies[i].tell(from, age > 0)
		}
	}
	slices.SortFunc(d.Policies, func(a, b PolicyInfo) int { return strings.Compare(a.Name, b.Name) })
}

func (p *PolicyInfo) tell(from influx.Policy, dropped bool) {
	p.Dropped, p.Duration, p.GroupDuration, p.Replicas = dropped, from.Duration, from.GroupDuration, from.Replicas
}
