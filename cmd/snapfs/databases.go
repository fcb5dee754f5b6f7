package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

type databasesCmd struct {
	JSON  bool   `name:"json" help:"A JSON array."`
	Db    string `name:"db" placeholder:"GLOB" help:"Databases by name or glob."`
	Rp    string `name:"rp" placeholder:"GLOB" help:"Retention policies by name or glob."`
	Start string `placeholder:"TIME" help:"First time, as for snapfs series: only what has shards from then on."`
	End   string `placeholder:"TIME" help:"Last time, itself included."`
	atFlag
	ghostsFlag
	snapArg
}

func (databasesCmd) Help() string {
	return `A star marks the default policy. Times are those of the shard groups that have shards.

Examples:
  snapfs databases /tmp/snap
  snapfs databases --ghosts only /tmp/snap      what the server had dropped
  snapfs databases --json /tmp/snap | jq -r '.[].name'`
}

func (c *databasesCmd) Run(a *App) error {
	t, err := c.open(space.Options{At: c.At, Ghosts: c.Ghosts})
	if err != nil {
		return err
	}
	defer t.Close()
	set, err := data(t)
	if err != nil {
		return err
	}
	f, err := dataFlags{shardFlags: shardFlags{Db: c.Db, Rp: c.Rp}, Start: c.Start, End: c.End}.filter()
	if err != nil {
		return err
	}
	dbs := set.Databases(f)
	if c.Ghosts == chain.Only {
		dbs = withShards(dbs)
	}
	if c.JSON {
		if dbs == nil {
			dbs = []dataset.DatabaseInfo{}
		}
		return a.printJSON(dbs)
	}
	tab := a.table("DATABASE", "POLICY", "?>KEPT", "?>GROUP", "?>REPLICAS", ">SHARDS", "FROM", "TO", ">BYTES", "|")
	for _, d := range dbs {
		if len(d.Policies) == 0 {
			tab.add(nameOf(d.Name), "-", "", "", "", "0", "-", "-", "0", dropped(d.Dropped))
		}
		for _, p := range d.Policies {
			tab.add(nameOf(d.Name), policyName(d, p), kept(p), span(p.GroupDuration), fmt.Sprint(p.Replicas), fmt.Sprint(p.Shards),
				date(p.Start), date(p.End), a.size(p.Bytes), policyRemark(p))
		}
	}
	return tab.write(a.Stdout)
}

// withShards leaves out policies without shards.
func withShards(dbs []dataset.DatabaseInfo) []dataset.DatabaseInfo {
	out := dbs[:0]
	for _, d := range dbs {
		d.Policies = slices.DeleteFunc(d.Policies, func(p dataset.PolicyInfo) bool { return p.Shards == 0 })
		if len(d.Policies) > 0 {
			out = append(out, d)
		}
	}
	return out
}

// data returns the data of a snapshot.
func data(t *space.Tree) (*dataset.Set, error) {
	if set := t.Data(); set != nil {
		return set, nil
	}
	err := fmt.Errorf("%s: a bare Bolt file, not a snapshot", t.Path())
	return nil, &codeError{hint.Wrap(err, "snapfs bolt export writes what is in it"), exitNotSnapshot}
}

// policyName is the name of a policy, with a star if it is the default.
func policyName(d dataset.DatabaseInfo, p dataset.PolicyInfo) string {
	if p.Name == d.DefaultPolicy {
		return nameOf(p.Name) + "*"
	}
	return nameOf(p.Name)
}

// kept says how long a policy keeps points, "-" if nothing tells.
func kept(p dataset.PolicyInfo) string {
	if p.Duration == 0 && p.Replicas > 0 {
		return "forever"
	}
	return span(p.Duration)
}

// span prints a duration as users of InfluxDB write it: 7d, 26h, 90m.
func span(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d > 0 && d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.name)
		}
	}
	if d == 0 {
		return "-"
	}
	return d.String()
}

func dropped(yes bool) string {
	if yes {
		return "dropped"
	}
	return ""
}

// policyRemark says what is special about the shards of a policy.
func policyRemark(p dataset.PolicyInfo) string {
	var out []string
	if p.Dropped {
		out = append(out, "dropped")
	}
	if p.Ghosts > 0 {
		out = append(out, plural(int64(p.Ghosts), "ghost"))
	}
	return strings.Join(out, ", ")
}
