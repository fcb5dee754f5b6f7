package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/space"
)

// database is what info tells of a database.
type database struct {
	Name          string   `json:"name"`
	DefaultPolicy string   `json:"default_policy,omitempty"`
	Dropped       bool     `json:"dropped"` // the newest metadata do not know it
	Policies      []policy `json:"policies"`
}

type policy struct {
	dataset.PolicyInfo
	Engines []influx.Engine `json:"engines"`
	Lost    int             `json:"lost"`            // shards that the metadata know and no layer holds
	Count   *dataset.Count  `json:"count,omitempty"` // with --count
}

// shard is one line of --shards.
type shard struct {
	*dataset.Shard
	Engine influx.Engine  `json:"engine,omitempty"`
	Error  string         `json:"error,omitempty"` // why it cannot be decoded
	Count  *dataset.Count `json:"count,omitempty"`
}

// metaInfo tells which metadata explain the shards.
type metaInfo struct {
	Layer string `json:"layer,omitempty"`
	Stale bool   `json:"stale"`           // that of newer layers knows nothing or cannot be read
	Error string `json:"error,omitempty"` // why there are none
}

// tail is a shard of bz1 that was still written to when it was backed up.
type tail struct {
	Path   string    `json:"path"`
	Newest time.Time `json:"newest,omitzero"` // point; zero if there is none
	Backup time.Time `json:"backup"`
	End    time.Time `json:"end"` // of the group
}

// addData adds what metadata and shards tell.
func (i *chainInfo) addData(a *App, t *space.Tree, count bool) error {
	m, err := t.MetaAt(t.View().Point())
	if err != nil {
		i.Meta.Error = err.Error()
	} else {
		i.Meta.Layer, i.Meta.Stale = m.Layer.Name, m.Stale
	}
	set := t.Data()
	i.Lost = slices.Concat([]dataset.Lost{}, set.Lost())
	for _, sh := range set.Shards() {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		s := shard{Shard: sh}
		var err error
		if s.Engine, err = sh.Decodable(); err != nil {
			s.Error = err.Error()
		}
		// In any tar there may be files that have but the name of a shard.
		if i.Dialect != chain.Unknown || s.Engine != "" {
			i.all = append(i.all, s)
		}
	}
	if count {
		if err := i.count(a, t.Chain()); err != nil {
			return err
		}
	}
	i.Databases = []database{}
	for _, d := range set.Databases(dataset.Filter{}) {
		out := database{d.Name, d.DefaultPolicy, d.Dropped, []policy{}}
		for _, p := range d.Policies {
			if q := i.policy(set, d.Name, p, count); q.Shards == 0 || len(q.Engines) > 0 || i.Dialect != chain.Unknown {
				out.Policies = append(out.Policies, q)
			}
		}
		if len(out.Policies) > 0 || i.Dialect != chain.Unknown {
			i.Databases = append(i.Databases, out)
		}
	}
	return nil
}

// policy gathers what the shards of a policy tell.
func (i *chainInfo) policy(set *dataset.Set, db string, p dataset.PolicyInfo, count bool) policy {
	out := policy{PolicyInfo: p, Engines: []influx.Engine{}}
	if count {
		out.Count = &dataset.Count{}
	}
	for _, s := range i.all {
		if s.Database != db || s.Policy != p.Name {
			continue
		}
		if s.Engine != "" && !slices.Contains(out.Engines, s.Engine) {
			out.Engines = append(out.Engines, s.Engine)
		}
		if s.Count != nil {
			out.Count.Add(*s.Count)
		}
	}
	for _, l := range i.Lost {
		if l.Database == db && l.Policy == p.Name {
			out.Lost++
		}
	}
	if count {
		// A series is counted once, however many shards have it.
		out.Count.Series = 0
		for q := range set.Policies(dataset.Filter{}) {
			if q.Compare(db, p.Name) != 0 {
				continue
			}
			for s, err := range q.Series(dataset.Filter{}) {
				if err == nil && s.Stored {
					out.Count.Series++
				}
			}
		}
	}
	slices.Sort(out.Engines)
	return out
}

// count reads all shards.
func (i *chainInfo) count(a *App, c *chain.Chain) error {
	total := int64(0)
	for _, s := range i.all {
		total += s.Size
	}
	bar := a.byteBar(total, "counting")
	g, ctx := errgroup.WithContext(a.ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for n := range i.all {
		g.Go(func() error {
			s := &i.all[n]
			got, err := s.Shard.Count(ctx)
			s.Count = &got
			_ = bar.Add64(s.Size) // a terminal that is gone is no reason to stop
			return err
		})
	}
	err := g.Wait()
	_ = bar.Finish()
	if err != nil {
		return err
	}
	for _, s := range i.all {
		if s.Engine == influx.BZ1 {
			i.addTail(s, c)
		}
	}
	return nil
}

// addTail notes a shard whose group had not ended when its layer was taken.
func (i *chainInfo) addTail(s shard, c *chain.Chain) {
	for _, l := range c.Layers() {
		if l.Name == s.Layer && !l.Time.IsZero() && s.End.After(l.Time) && s.Count.Last.Before(l.Time) {
			i.Tail = append(i.Tail, tail{s.Path, s.Count.Last, l.Time, s.End})
		}
	}
}

// errors returns what counting could not read.
func (i *chainInfo) errors() (l losses) {
	for _, s := range i.all {
		if s.Count != nil && s.Count.Errors > 0 {
			_ = l.add(s.Count.Err) // it is about a shard
			l.counts[s.Path] = s.Count.Errors
			l.total += s.Count.Errors - 1
		}
	}
	return l
}

// date prints a time that is mostly a midnight.
func date(t time.Time) string {
	if !t.IsZero() && t.Equal(t.Truncate(24*time.Hour)) {
		return t.UTC().Format(time.DateOnly)
	}
	return when(t)
}

func (a *App) databaseTable(dbs []database, count bool) *table {
	tab := a.table("DATABASE", "POLICY", "?>KEPT", ">SHARDS", "FROM", "TO", "ENGINE")
	if count { // which takes as much room again, so that more is spare
		tab = a.table("DATABASE", "POLICY", "?>KEPT", "?>SHARDS", "?FROM", "?TO", "?ENGINE", ">SERIES", ">POINTS", "NEWEST POINT")
	}
	tab.head = append(tab.head, ">BYTES", "|")
	rows := 0
	for _, d := range dbs {
		if len(d.Policies) == 0 {
			tab.add(nameOf(d.Name), "-")
			rows++
		}
		for _, p := range d.Policies {
			if rows++; rows > maxRows {
				continue
			}
			name := nameOf(p.Name)
			if p.Name == d.DefaultPolicy {
				name += "*"
			}
			row := []string{nameOf(d.Name), name, kept(p.PolicyInfo), fmt.Sprint(p.Shards), date(p.Start), date(p.End), engines(p.Engines)}
			row = append(row, counts(p.Count)...)
			tab.add(append(row, a.size(p.Bytes), policyRemark(p.PolicyInfo))...)
		}
	}
	if rows > maxRows {
		tab.add(fmt.Sprintf("… %d more", rows-maxRows))
	}
	return tab
}

func engines(list []influx.Engine) string {
	var out []string
	for _, e := range list {
		out = append(out, string(e))
	}
	return cmp.Or(strings.Join(out, ", "), "-")
}

func counts(c *dataset.Count) []string {
	if c == nil {
		return nil
	}
	return []string{humanize.Comma(c.Series), humanize.Comma(c.Points), when(c.Last)}
}

func (a *App) shardTable(shards []shard, count bool) *table {
	tab := a.table("SHARD", "?DATABASE", "?POLICY", "FROM", "TO", "ENGINE", "LAYER")
	if count {
		tab = a.table("SHARD", "?DATABASE", "?POLICY", "?FROM", "?TO", "?ENGINE", "?LAYER", ">SERIES", ">POINTS", "NEWEST POINT")
	}
	tab.head = append(tab.head, ">BYTES", "|")
	for _, s := range shards {
		remark := ""
		if s.Ghost != "" {
			remark = "ghost"
		}
		if s.Error != "" {
			remark = strings.TrimPrefix(remark+", cannot be decoded", ", ")
		}
		row := []string{printable(s.Path), nameOf(s.Database), nameOf(s.Policy), date(s.Start), date(s.End), cmp.Or(string(s.Engine), "-"), s.Layer}
		row = append(row, counts(s.Count)...)
		tab.add(append(row, a.size(s.Size), remark)...)
	}
	return tab
}

// printData prints what a reader should know of metadata and shards, besides the
// tables.
func (a *App) printData(w io.Writer, i chainInfo) {
	if i.Dialect != chain.Unknown {
		switch {
		case i.Meta.Error != "":
			fmt.Fprintf(w, "\nno metadata (%s): shards belong where their paths say, and ghosts cannot be told\n", printable(i.Meta.Error))
		case i.Meta.Stale:
			fmt.Fprintf(w, "\nthe newest meta knows nothing, as after a backup right at the start of a server, or cannot be read;\nthat of layer %s tells about the shards\n", i.Meta.Layer)
		}
	}
	var tsm, bad []string
	bz1 := 0
	for _, s := range i.all {
		switch {
		case s.Engine == influx.TSM1:
			tsm = append(tsm, s.Path)
		case s.Error != "":
			bad = append(bad, s.Error)
		case s.Engine == influx.BZ1:
			bz1++
		}
	}
	if len(tsm) > 0 {
		fmt.Fprintf(w, "\n%s of engine tsm1, whose points are not decoded: %s\n", plural(int64(len(tsm)), "shard"), printable(firstFew(tsm)))
	}
	if len(bad) > 0 {
		fmt.Fprintf(w, "\n%s cannot be decoded: %s\n", plural(int64(len(bad)), "shard"), printable(firstFew(bad)))
	}
	a.printLost(w, i.Lost)
	if bz1 > 0 {
		fmt.Fprintf(w, "\n%s of engine bz1: points that the server had only in its log when a backup was taken are in no snapshot\n", plural(int64(bz1), "shard"))
	}
	for n, t := range i.Tail {
		if n == maxRows {
			fmt.Fprintf(w, "  … %d more; snapfs info --json --count lists all\n", len(i.Tail)-n)
			break
		}
		fmt.Fprintf(w, "  %s: newest point %s, backup %s, group until %s: points in between may be missing\n", printable(t.Path), when(t.Newest), when(t.Backup), date(t.End))
	}
}

// printLost tells which shards of the metadata no layer holds.
func (a *App) printLost(w io.Writer, lost []dataset.Lost) {
	if len(lost) == 0 {
		return
	}
	type place struct {
		database, policy string
		n                int
		start, end       time.Time
	}
	var list []place
	for _, l := range lost {
		i := slices.IndexFunc(list, func(p place) bool { return p.database == l.Database && p.policy == l.Policy })
		if i < 0 {
			i = len(list)
			list = append(list, place{database: l.Database, policy: l.Policy, start: l.Start})
		}
		p := &list[i]
		p.n++
		if l.Start.Before(p.start) {
			p.start = l.Start
		}
		if l.End.After(p.end) {
			p.end = l.End
		}
	}
	fmt.Fprintf(w, "\n%s known to the meta in no layer; servers made empty ones in advance, which is no loss:\n", plural(int64(len(lost)), "shard"))
	for n, p := range list {
		if n == maxRows {
			fmt.Fprintf(w, "  … %d more; snapfs info --json lists all\n", len(list)-n)
			break
		}
		fmt.Fprintf(w, "  %s %s: %d, from %s to %s\n", nameOf(p.database), nameOf(p.policy), p.n, date(p.start), date(p.end))
	}
}
