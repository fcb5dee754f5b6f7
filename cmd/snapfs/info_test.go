package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapfs/snapfs/internal/sample"
)

// runApp runs a command, and returns what it printed and its exit code.
func runApp(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	app := &App{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	code = app.Run(context.Background(), args)
	return out.String(), errs.String(), code
}

// bz1Shard returns a shard of engine bz1 with one point and, undefined in the
// list of fields, a second one.
func bz1Shard(t *testing.T, at time.Time) []byte {
	t.Helper()
	points := []sample.Point{
		{Series: "m,a=b", Time: at, Fields: map[string]any{"v": 1.5}},
		{Series: "m,a=b", Time: at.Add(1), Fields: map[string]any{"w": 1.5}},
	}
	data, err := sample.Shard{Compressed: true, Flushed: points, Late: []string{"w"}}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestInfoData: a chain in which a lot is as it should not be.
func TestInfoData(t *testing.T) {
	start := sample.Start.Add(-2 * time.Hour)
	group := func(id uint64, hours int) sample.Group {
		return sample.Group{ID: id, Start: start.Add(time.Duration(hours) * time.Hour), End: start.Add(time.Duration(hours+24) * time.Hour)}
	}
	meta := sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{{Name: "rp", Duration: 36 * time.Hour, GroupDuration: 24 * time.Hour,
		Groups: []sample.Group{group(1, 0), group(2, -48), group(3, -24), group(4, 24), group(5, 48)}}}}}}
	file := func(name string, data []byte) sample.File {
		return sample.File{Name: name, Data: data, Modified: sample.Start}
	}
	path := filepath.Join(t.TempDir(), "snap")
	empty := []byte("\x08\x00\x10\x00\x18\x00\x38\x00\x40\x00\x48\x00")
	err := sample.Write(path,
		sample.Layer{Time: sample.Start, Files: []sample.File{file("meta", meta.Bytes()), file("db/rp/1", bz1Shard(t, start)),
			file("db/rp/2", []byte("\x16\xd1\x16\xd1 and points")), file("db/rp/3", []byte("nothing"))}},
		sample.Layer{Time: sample.Start.Add(time.Hour), Files: []sample.File{{Name: "meta", Data: empty, Modified: sample.Start.Add(time.Hour)}}})
	if err != nil {
		t.Fatal(err)
	}
	out, _, code := runApp(t, "info", path)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"db        rp*      36h       3  2015-10-30T01:04:05Z  2015-11-02T01:04:05Z  bz1, tsm1",
		"the newest meta knows nothing, as after a backup right at the start of a server",
		"that of layer full tells about the shards",
		"1 shard of engine tsm1, whose points are not decoded: db/rp/2\n",
		"1 shard cannot be decoded: db/rp/3: not a bolt file",
		"2 shards known to the meta in no layer; servers made empty ones in advance, which is no loss:\n  db rp: 2, from 2015-11-02T01:04:05Z to 2015-11-04T01:04:05Z\n",
		"1 shard of engine bz1: points that the server had only in its log",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out, errs, code := runApp(t, "info", "--count", "--shards", path)
	if code != exitDamage || !strings.Contains(errs, "of 3 shards is left out: 3 errors") || !strings.Contains(errs, "db/rp/1: ") {
		t.Errorf("exit code %d, stderr %s", code, errs)
	}
	for _, want := range []string{
		"db/rp/1: newest point 2015-11-01T01:04:05Z, backup 2015-11-01T03:04:05Z, group until 2015-11-02T01:04:05Z: points in between may be missing",
		"db/rp/1  db        rp      2015-11-01T01:04:05Z  2015-11-02T01:04:05Z  bz1     full        1       1  2015-11-01T01:04:05Z",
		"cannot be decoded\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out, _, _ = runApp(t, "info", "--json", "--count", "--shards", path)
	var got struct {
		Meta struct {
			Layer string
			Stale bool
		}
		Lost      []struct{ ID int }
		Databases []struct {
			Policies []struct {
				Shards, Lost int
				Engines      []string
				Count        struct{ Series, Points, Errors int }
			}
		}
		ShardList []struct{ Path, Engine, Error string } `json:"shard_list"`
		Tail      []struct{ Path string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := got.Databases[0].Policies[0]
	if got.Meta.Layer != "full" || !got.Meta.Stale || len(got.Lost) != 2 || p.Shards != 3 || p.Lost != 2 || p.Count.Points != 1 || p.Count.Series != 1 || p.Count.Errors != 3 ||
		len(got.ShardList) != 3 || got.ShardList[1].Engine != "bz1" && got.ShardList[2].Engine != "bz1" || len(got.Tail) != 1 {
		t.Errorf("%s", out)
	}
}

// TestInfoNoMeta: without metadata shards are known by their paths.
func TestInfoNoMeta(t *testing.T) {
	data, err := sample.Shard{Flushed: []sample.Point{{Series: "m", Time: sample.Start, Fields: map[string]any{"v": 1.0}}}}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, bare := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "snap")
		files := []sample.File{{Name: "db/rp/1", Data: data, Modified: sample.Start}, {Name: "logs/today/2", Data: []byte("no shard"), Modified: sample.Start}}
		if err := sample.Write(path, sample.Layer{Time: sample.Start, Files: files, NoManifest: bare}); err != nil {
			t.Fatal(err)
		}
		out, _, _ := runApp(t, "info", path)
		if !strings.Contains(out, "db        rp         -       1") || strings.Contains(out, "no metadata (") == bare || strings.Contains(out, "logs/today/2") == bare {
			t.Errorf("without a manifest %v:\n%s", bare, out)
		}
	}
}
