package serverdir_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/restore"
	"github.com/snapfs/snapfs/serverdir"
)

func sampleChain(t *testing.T) string {
	t.Helper()
	snap, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestRelease(t *testing.T) {
	tree := openTree(t, sampleChain(t), "")
	data, store, err := serverdir.Source{Tree: tree}.Release("db.example:8088")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(data, "telemetry/default/1", "telemetry/week/2", "events/default/3"); err != nil {
		t.Error(err)
	}
	if err := fstest.TestFS(store, "id", "peers.json", "raft.db", "snapshots"); err != nil {
		t.Error(err)
	}
	want := files(t, tree)
	meta := want["meta"]
	delete(want, "meta")
	delete(want, "manifest")
	if !reflect.DeepEqual(files(t, data), want) {
		t.Errorf("data directory: %q", slices.Sorted(maps.Keys(files(t, data))))
	}
	made := files(t, store)
	if made["id"] != "1" || made["peers.json"] != "[\"db.example:8088\"]\n" || len(made) != 3 {
		t.Errorf("%q", made)
	}
	got := decodeRaft(t, []byte(made["raft.db"]))
	text, _ := describe(t, meta)
	term := string([]byte{0, 0, 0, 0, 0, 0, 0, 1})
	if got.Random == "" || got.Random == "0" {
		t.Error("no number for the cluster")
	}
	got.Random = ""
	if wantRaft := (raft{
		Conf: map[string]string{"CurrentTerm": term, "LastVoteTerm": term, "LastVoteCand": "db.example:8088"},
		Logs: 3, Entries: []logEntry{{"", 1, 1, 2}, {"", 2, 1, 0}, {"", 3, 1, 0}},
		Peers: []string{"db.example:8088"}, Host: "db.example:8088", Meta: text, Data: meta,
	}); !reflect.DeepEqual(got, wantRaft) {
		t.Errorf("raft.db:\n%+v, want\n%+v", got, wantRaft)
	}

	// Equal snapshots give equal bytes, others another cluster.
	_, again, err := serverdir.Source{Tree: tree}.Release("db.example:8088")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(files(t, again), made) {
		t.Error("not the same each time")
	}
	_, older, err := serverdir.Source{Tree: openTree(t, tree.Path(), "full")}.Release("db.example:8088")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := decodeRaft(t, []byte(made["raft.db"])), decodeRaft(t, []byte(files(t, older)["raft.db"])); a.Random == b.Random {
		t.Error("two snapshots have one random number")
	}
}

// TestLong: what the first entry of the log and the metadata are encoded in
// depends on how long they are.
func TestLong(t *testing.T) {
	for _, n := range []int{1, 30, 31, 32, 255, 256, 65500, 65535, 65536, 70000} {
		meta := sample.Meta{Databases: []sample.Database{{Name: strings.Repeat("d", n)}}}.Bytes()
		addr := strings.Repeat("h", min(n, 250)) + ":8088"
		_, store, err := serverdir.Source{Tree: fstest.MapFS{}, Meta: meta}.Release(addr)
		if err != nil {
			t.Fatal(err)
		}
		r := decodeRaft(t, readFile(t, store, "raft.db"))
		if r.Data != string(meta) || !slices.Equal(r.Peers, []string{addr}) || r.Host != addr {
			t.Errorf("a name of %d bytes: %d bytes of metadata, want %d; %q %q", n, len(r.Data), len(meta), r.Peers, r.Host)
		}
	}
}

// TestNames: databases that have the names of files get them back, and nothing
// leads out.
func TestNames(t *testing.T) {
	for _, tt := range []struct {
		members []string
		want    string
	}{
		{[]string{"meta.d/rp/1", "meta/rp/2", "meta.d.d/rp/3"}, "meta.d.d/rp/3 meta.d/rp/1 meta/rp/2"},
		{[]string{"../rp/1", "a/b/rp/2", "meta/rp/3", "manifest/rp/4"}, "%2E%2E/rp/1 a/b/rp/2 manifest/rp/4 meta/rp/3"},
		{[]string{"meta.d/rp/1", "manifest.d/rp/2"}, "manifest.d/rp/2 meta.d/rp/1"},
		{[]string{"meta.d/rp/1", "meta/rp/2"}, "meta.d/rp/1 meta/rp/2"},
	} {
		l := sample.Layer{Time: sample.Start, Files: []sample.File{{Name: "meta", Data: sample.Meta{}.Bytes(), Modified: sample.Start}}}
		for _, name := range tt.members {
			l.Files = append(l.Files, sample.File{Name: name, Data: []byte(name), Modified: sample.Start})
		}
		snap := filepath.Join(t.TempDir(), "snap")
		if err := sample.Write(snap, l); err != nil {
			t.Fatal(err)
		}
		tree := openTree(t, snap, "")
		copied := filepath.Join(t.TempDir(), "copy")
		if _, err := restore.Copy(t.Context(), copied, tree, restore.Options{}); err != nil {
			t.Fatal(err)
		}
		for _, src := range []fs.FS{tree, os.DirFS(copied)} {
			data, _, err := serverdir.Source{Tree: src}.Release("localhost:8088")
			if err != nil {
				t.Fatal(err)
			}
			got := files(t, data)
			if s := strings.Join(slices.Sorted(maps.Keys(got)), " "); s != tt.want {
				t.Errorf("%q become %s, want %s", tt.members, s, tt.want)
			}
			for name, content := range got {
				if strings.ReplaceAll(name, "%2E%2E", "..") != content {
					t.Errorf("%s is %s", name, content)
				}
			}
		}
	}
}

// bucket is what a Bolt file holds: values, or further buckets.
type bucket map[string]any

func (b bucket) put(t *testing.T, to interface {
	CreateBucket([]byte) (*bolt.Bucket, error)
}) {
	for _, name := range slices.Sorted(maps.Keys(b)) {
		switch v := b[name].(type) {
		case string:
			if err := to.(*bolt.Bucket).Put([]byte(name), []byte(v)); err != nil {
				t.Fatal(err)
			}
		case bucket:
			sub, err := to.CreateBucket([]byte(name))
			if err != nil {
				t.Fatal(err)
			}
			v.put(t, sub)
		}
	}
}

// bytes writes the file.
func (b bucket) bytes(t *testing.T) []byte {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "bolt"), 0o600, &bolt.Options{NoSync: true, PageSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bolt.Tx) error { b.put(t, tx); return nil }); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := db.View(func(tx *bolt.Tx) error { _, err := tx.WriteTo(&out); return err }); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const rcPolicies = `[{"name":"default","replicaN":1,"shardGroupDuration":604800000000000,"shardGroups":[` +
	`{"id":1,"startTime":"2015-03-02T00:00:00Z","endTime":"2015-03-09T00:00:00Z","shards":[{"id":1,"nodeIDs":[1]}]},` +
	`{"id":2,"startTime":"2015-03-09T00:00:00Z","endTime":"2015-03-16T00:00:00Z","shards":[{"id":2,"nodeIDs":[1]}]}]},` +
	`{"name":"week","replicaN":1,"duration":604800000000000,"shardGroupDuration":86400000000000}]`

// candidateMeta are the metadata of a release candidate.
func candidateMeta(t *testing.T) []byte {
	database := func(name, policies string) bucket {
		return bucket{
			"meta":         `{"name":"` + name + `","defaultRetentionPolicy":"default","policies":` + policies + `}`,
			"Measurements": bucket{"m": `{"name":"m","fields":[{"id":1,"name":"f","type":"float"}]}`},
			"Series":       bucket{"m": bucket{"\x00\x00\x00\x00\x00\x00\x00\x01": `{"ID":1,"Tags":{}}`}},
			"TagBytesToID": bucket{},
		}
	}
	return bucket{
		"Meta":      bucket{"id": number(1), "index": number(300), "shardID": number(3), "shardGroupID": number(3)},
		"DataNodes": bucket{number(1): `{"ID":1,"URL":{"Scheme":"http","Host":"127.0.0.1:8086"}}`},
		"Databases": bucket{"grid": database("grid", rcPolicies), "other": database("other", `[{"name":"default","shardGroups":[{"id":3,"shards":[{"id":3,"nodeIDs":[1]}]}]}]`)},
		"Users": bucket{"u": `{"name":"u","hash":"$2a$x","privileges":{"grid":1,"other":2}}`,
			"root": `{"name":"root","hash":"$2a$y","admin":true}`},
	}.bytes(t)
}

func number(n uint64) string {
	var b [8]byte
	for i := range b {
		b[i] = byte(n >> (56 - 8*i))
	}
	return string(b[:])
}

func candidateChain(t *testing.T) string {
	t.Helper()
	shard := func(index uint64) []byte {
		return bucket{"meta": bucket{"index": number(index)}, "values": bucket{}}.bytes(t)
	}
	snap := filepath.Join(t.TempDir(), "snap")
	err := sample.Write(snap, sample.Layer{Time: sample.Start, Dialect: chain.ByIndex, Files: []sample.File{
		{Name: "meta", Data: candidateMeta(t), Index: 300},
		{Name: "shards/1", Data: shard(280), Index: 280},
		{Name: "shards/2", Data: shard(290), Index: 290},
	}}, sample.Layer{Time: sample.Start.Add(time.Hour), Dialect: chain.ByIndex, Files: []sample.File{
		{Name: "shards/3", Data: shard(345), Index: 345},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestCandidate(t *testing.T) {
	tree := openTree(t, candidateChain(t), "")
	data, broker, err := serverdir.Source{Tree: tree}.Candidate("http://rc.example:8086")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(data, "meta", "shards/1", "shards/3"); err != nil {
		t.Error(err)
	}
	if err := fstest.TestFS(broker, "meta", "raft/id", "raft/term", "raft/config"); err != nil {
		t.Error(err)
	}
	want := files(t, tree)
	delete(want, "manifest")
	if !reflect.DeepEqual(files(t, data), want) {
		t.Errorf("data directory: %q", slices.Sorted(maps.Keys(files(t, data))))
	}
	made := files(t, broker)
	if got := buckets(t, []byte(made["meta"])); !reflect.DeepEqual(got, map[string]string{"meta/index": number(345)}) {
		t.Errorf("broker's meta: %q", got)
	}
	delete(made, "meta")
	var cluster uint64
	if n, err := fmt.Sscanf(made["raft/config"], `{"clusterID":%d,"maxNodeID":1,"nodes":[{"id":1,"url":"http://rc.example:8086"}]}`+"\n", &cluster); n != 1 || err != nil || cluster == 0 {
		t.Errorf("%q: %v", made["raft/config"], err)
	}
	delete(made, "raft/config")
	if !reflect.DeepEqual(made, map[string]string{"raft/id": "1", "raft/term": "1"}) {
		t.Errorf("%q", made)
	}
}

func TestErrors(t *testing.T) {
	release := fstest.MapFS{"meta": {Data: sample.Meta{}.Bytes()}}
	candidate := fstest.MapFS{"meta": {Data: candidateMeta(t)}}
	for _, tt := range []struct {
		name string
		make func(string) (fs.FS, fs.FS, error)
		want error
	}{
		{"candidate as release", serverdir.Source{Tree: candidate}.Release, influx.ErrMeta},
		{"release as candidate", serverdir.Source{Tree: release}.Candidate, influx.ErrMeta},
		{"no release", serverdir.Source{Tree: fstest.MapFS{}}.Release, fs.ErrNotExist},
		{"no candidate", serverdir.Source{Tree: fstest.MapFS{}}.Candidate, fs.ErrNotExist},
		{"other content", serverdir.Source{Tree: fstest.MapFS{"meta": {Data: []byte("text")}}}.Release, influx.ErrMeta},
		{"bad manifest", serverdir.Source{Tree: fstest.MapFS{"meta": release["meta"], "manifest": {Data: []byte("[]")}}}.Release, chain.ErrManifest},
	} {
		if _, _, err := tt.make("x:1"); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestKeep: what is left out, and the metadata beside a tree.
func TestKeep(t *testing.T) {
	tree := openTree(t, sampleChain(t), "")
	other := sample.Meta{Databases: []sample.Database{{Name: "other"}}}.Bytes()
	data, store, err := serverdir.Source{Tree: tree, Meta: other, Keep: func(p string, d fs.DirEntry) bool {
		return p != "events" && p != "telemetry/default/4"
	}}.Release("h:1")
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(files(t, data))); !slices.Equal(got, []string{"telemetry/default/1", "telemetry/week/2"}) {
		t.Errorf("%q", got)
	}
	if r := decodeRaft(t, readFile(t, store, "raft.db")); r.Data != string(other) {
		t.Error("the metadata are not those that were given")
	}
}
