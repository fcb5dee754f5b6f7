package sample

import (
	"fmt"
	"math"
	"path/filepath"
	"time"
)

const day = 24 * time.Hour

// Start is the backup time of the full snapshot that [Chain] writes.
var Start = time.Date(2015, 11, 1, 3, 4, 5, 0, time.UTC)

// Chain writes the sample chain into dir, as "snap", "snap.0", "snap.1" and
// "snap.2", and returns the path of the first. It is three days in the life of
// a small server:
//
//	full  telemetry with the policies default and week, events
//	0     half a day later: more points in shard 1
//	1     Monday: a new week begins, so shard 4 is there
//	2     Tuesday: more points; policy week was dropped, but no layer says so of its shard 2
func Chain(dir string) (string, error) {
	monday := time.Date(2015, 11, 2, 0, 0, 0, 0, time.UTC)
	shard1 := Shard{Flushed: cpu(monday.Add(-6*day), 600, 15*time.Minute)}
	shard2 := Shard{Flushed: cpu(Start.Add(-3*time.Hour), 36, 5*time.Minute)}
	shard3 := Shard{Flushed: deployments(monday.Add(-5*day), 4), WAL: deployments(monday.Add(-day), 1)}
	shard4 := Shard{WAL: cpu(monday, 12, 15*time.Minute)}

	defaults := Policy{Name: "default", GroupDuration: 7 * day, Groups: []Group{{1, monday.Add(-7 * day), monday}}}
	week := Policy{Name: "week", Duration: 7 * day, GroupDuration: day, Groups: []Group{{2, monday.Add(-day), monday}}}
	events := Database{"events", []Policy{{Name: "default", GroupDuration: 7 * day, Groups: []Group{{3, monday.Add(-7 * day), monday}}}}}
	meta := Meta{Databases: []Database{{"telemetry", []Policy{defaults, week}}, events}}

	w := writer{dir: dir}
	t := Start
	w.layer(t, w.meta(t, meta),
		w.shard("telemetry/default/1", t.Add(-7*time.Minute), shard1),
		w.shard("telemetry/week/2", t.Add(-5*time.Minute), shard2),
		w.shard("events/default/3", t.Add(-26*time.Hour), shard3))

	t = t.Add(12 * time.Hour)
	shard1.WAL = cpu(t.Add(-2*time.Hour), 8, 15*time.Minute)
	w.layer(t, w.meta(t, meta), w.shard("telemetry/default/1", t.Add(-time.Minute), shard1))

	t = t.Add(12 * time.Hour)
	defaults.Groups = append(defaults.Groups, Group{4, monday, monday.Add(7 * day)})
	meta.Databases[0].Policies = []Policy{defaults, week}
	w.layer(t, w.meta(t, meta), w.shard("telemetry/default/4", t.Add(-2*time.Minute), shard4))

	t = t.Add(day)
	meta.Databases[0].Policies = []Policy{defaults}
	shard4 = Shard{Flushed: shard4.WAL, WAL: cpu(monday.Add(3*time.Hour), 90, 15*time.Minute)}
	w.layer(t, w.meta(t, meta), w.shard("telemetry/default/4", t.Add(-3*time.Minute), shard4))

	path := filepath.Join(dir, "snap")
	if w.err != nil {
		return "", fmt.Errorf("write sample chain: %w", w.err)
	}
	return path, Write(path, w.layers...)
}

// writer gathers layers, and the first error.
type writer struct {
	dir    string
	layers []Layer
	err    error
}

func (w *writer) layer(t time.Time, files ...File) {
	w.layers = append(w.layers, Layer{Time: t, Files: files})
}

func (w *writer) meta(t time.Time, m Meta) File {
	return File{Name: "meta", Data: m.Bytes(), Modified: t}
}

func (w *writer) shard(name string, t time.Time, s Shard) File {
	data, err := s.Bytes(w.dir)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("%s: %w", name, err)
	}
	return File{Name: name, Data: data, Modified: t}
}

// cpu makes n points of load and memory for each of two hosts.
func cpu(start time.Time, n int, step time.Duration) []Point {
	var out []Point
	for i := range n {
		t := start.Add(time.Duration(i) * step)
		x := float64(t.Unix()%86400) / 86400 * 2 * math.Pi
		for j, host := range []string{"alpha", "beta"} {
			load := math.Round(100*(40+30*math.Sin(x+float64(j)))) / 100
			out = append(out,
				Point{"cpu,host=" + host, t, map[string]any{"load": load, "throttled": load > 65}},
				Point{"mem,host=" + host, t, map[string]any{"used": int64(2e9) + int64(load*1e7)}})
		}
	}
	return out
}

// deployments makes n points with strings.
func deployments(start time.Time, n int) []Point {
	var out []Point
	for i := range n {
		out = append(out, Point{"deploy,app=web", start.Add(time.Duration(i) * 5 * time.Hour),
			map[string]any{"version": fmt.Sprintf("1.%d", start.Day()*10+i), "by": "Zoë"}})
	}
	return out
}
