package export

import (
	"fmt"
	"strings"
	"time"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
)

// policySpec is a retention policy to be made at the target.
type policySpec struct {
	name          string
	duration      time.Duration // that it had; 0 is forever
	groupDuration time.Duration
	replicas      uint32
	isDefault     bool
}

// databaseSpec is a database to be made at the target.
type databaseSpec struct {
	name     string
	policies []policySpec
}

// schema returns the databases of which shards are selected, each with the
// policies that its newest metadata know and that are selected, and those of
// the shards. Of what no metadata know, the names are all there is.
func schema(set *dataset.Set, o *Options) []databaseSpec {
	var out []databaseSpec
	var current string // database before it was renamed
	first := true
	add := func(db, policy string, p *influx.Policy, isDefault bool) {
		newDB, newPolicy := o.renamed(db, policy)
		i := 0
		for i < len(out) && out[i].name != newDB {
			i++
		}
		if i == len(out) {
			out = append(out, databaseSpec{name: newDB})
		}
		spec := policySpec{name: newPolicy, replicas: 1, isDefault: isDefault}
		if p != nil {
			spec.duration, spec.groupDuration, spec.replicas = p.Duration, p.GroupDuration, max(p.Replicas, 1)
		}
		for _, have := range out[i].policies {
			if have.name == newPolicy {
				return
			}
		}
		out[i].policies = append(out[i].policies, spec)
	}
	for p := range set.Policies(o.Filter) {
		db := set.Database(p.Database)
		if db != nil && (first || p.Database != current) {
			for i := range db.Policies {
				known := &db.Policies[i]
				if o.Filter.MatchPolicy(p.Database, known.Name) {
					add(p.Database, known.Name, known, known.Name == db.DefaultPolicy)
				}
			}
		}
		add(p.Database, p.Name, set.RetentionPolicy(p.Database, p.Name), db != nil && db.DefaultPolicy == p.Name)
		first, current = false, p.Database
	}
	return out
}

// statement returns what makes the policy.
func (p policySpec) statement(database string, keepDurations bool) string {
	duration := "INF"
	if keepDurations && p.duration > 0 {
		duration = influxDuration(p.duration)
	}
	s := fmt.Sprintf("CREATE RETENTION POLICY %s ON %s DURATION %s REPLICATION %d", quote(p.name), quote(database), duration, p.replicas)
	if p.groupDuration > 0 {
		s += " SHARD DURATION " + influxDuration(max(p.groupDuration, time.Hour))
	}
	if p.isDefault {
		s += " DEFAULT"
	}
	return s
}

// influxDuration returns a positive duration as InfluxQL has it.
func influxDuration(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "u"}} {
		if d%u.unit == 0 {
			return fmt.Sprint(int64(d/u.unit)) + u.name
		}
	}
	return fmt.Sprint(int64(d)) + "ns"
}

// quote returns a name as InfluxQL quotes it.
func quote(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}

// checkContext returns why a name cannot stand in a line of the header: influx
// takes what is between the first colon and the next, without blanks.
func checkContext(what, name string) error {
	switch {
	case name == "":
		return nameError(what, name, "has no name in the header of line protocol")
	case strings.ContainsAny(name, ":\n\r") || strings.TrimSpace(name) != name:
		return nameError(what, name, "cannot be named in the header of line protocol")
	}
	return nil
}

// header returns what a file of line protocol begins with.
func header(dbs []databaseSpec, o *Options) ([]byte, error) {
	var b strings.Builder
	b.WriteString("# DDL\n")
	for _, db := range dbs {
		if err := checkContext("database", db.name); err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "CREATE DATABASE %s\n", quote(db.name))
		for _, p := range db.policies {
			if err := checkContext("policy", p.name); err != nil {
				return nil, err
			}
			if p.duration > 0 && !o.KeepDurations {
				fmt.Fprintf(&b, "# %s ON %s had DURATION %s\n", quote(p.name), quote(db.name), influxDuration(p.duration))
			}
			b.WriteString(p.statement(db.name, o.KeepDurations))
			b.WriteByte('\n')
		}
	}
	b.WriteString("\n# DML\n")
	return []byte(b.String()), nil
}

// contextLines returns the lines that come before the points of a policy.
func contextLines(database, policy string) []byte {
	return []byte("# CONTEXT-DATABASE: " + database + "\n# CONTEXT-RETENTION-POLICY: " + policy + "\n")
}
