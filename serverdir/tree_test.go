package serverdir_test

import (
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

// candidateMeta are the metadata of a release candidate.
func candidateMeta(t *testing.T) []byte {
	t.Helper()
	b, err := sample.CandidateMeta(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func candidateChain(t *testing.T) string {
	t.Helper()
	snap, err := sample.Candidate(t.TempDir())
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
	if got := buckets(t, []byte(made["meta"])); !reflect.DeepEqual(got, map[string]string{"meta/index": "\x00\x00\x00\x00\x00\x00\x01\x59"}) {
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
