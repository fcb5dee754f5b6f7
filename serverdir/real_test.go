package serverdir_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/serverdir"
	"github.com/snapfs/snapfs/space"
)

func openTree(t *testing.T, snap, at string) *space.Tree {
	t.Helper()
	tree, err := space.Open(snap, space.Options{At: at})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

// TestRealRestores holds the directories against those that the servers' own
// restore made of the same chains.
func TestRealRestores(t *testing.T) {
	for _, snap := range realchains.All(t) {
		t.Run(filepath.Base(filepath.Dir(snap)), func(t *testing.T) {
			for _, cut := range realchains.Cuts(t, snap) {
				tree := openTree(t, snap, cut.Point)
				n := 0
				if tree.Chain().Dialect() == chain.ByIndex {
					n = compareCandidate(t, tree, cut)
				} else {
					n = compareRelease(t, tree, cut)
				}
				t.Logf("point %s: %d files as the old restore wrote them", cut.Point, n)
			}
		})
	}
}

func compareRelease(t *testing.T, tree fs.FS, cut realchains.Cut) int {
	recorded := os.DirFS(filepath.Join(cut.Dir, "meta"))
	var addrs []string
	if err := json.Unmarshal(readFile(t, recorded, "peers.json"), &addrs); err != nil || len(addrs) != 1 {
		t.Fatal(addrs, err)
	}
	data, store, err := serverdir.Source{Tree: tree}.Release(addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "peers.json"} {
		if got, want := readFile(t, store, name), readFile(t, recorded, name); string(got) != string(want) {
			t.Errorf("point %s: %s is %q, want %q", cut.Point, name, got, want)
		}
	}
	got, want := decodeRaft(t, readFile(t, store, "raft.db")), decodeRaft(t, readFile(t, recorded, "raft.db"))
	if got.Random == "" || want.Random == "" {
		t.Errorf("point %s: no random number", cut.Point)
	}
	want.Random = got.Random
	if len(got.Data) != len(want.Data) {
		t.Errorf("point %s: %d bytes of metadata, want %d", cut.Point, len(got.Data), len(want.Data))
	}
	got.Data, want.Data = "", "" // the order of privileges differs
	if !reflect.DeepEqual(got, want) {
		t.Errorf("point %s: raft.db is\n%+v, want\n%+v", cut.Point, got, want)
	}
	if fi, err := fs.Stat(store, "snapshots"); err != nil || !fi.IsDir() {
		t.Error(fi, err)
	}
	return compareData(t, data, cut)
}

func compareCandidate(t *testing.T, tree fs.FS, cut realchains.Cut) int {
	recorded := os.DirFS(filepath.Join(cut.Dir, "broker"))
	type config struct {
		ClusterID uint64
		MaxNodeID uint64
		Nodes     []struct {
			ID  uint64
			URL string
		}
	}
	var want, got config
	if err := json.Unmarshal(readFile(t, recorded, "raft/config"), &want); err != nil || len(want.Nodes) != 1 {
		t.Fatal(want, err)
	}
	data, broker, err := serverdir.Source{Tree: tree}.Candidate(want.Nodes[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(readFile(t, broker, "raft/config"), &got); err != nil {
		t.Fatal(err)
	}
	if got.ClusterID == 0 {
		t.Error("no cluster")
	}
	want.ClusterID = got.ClusterID
	if !reflect.DeepEqual(got, want) {
		t.Errorf("point %s: config %+v, want %+v", cut.Point, got, want)
	}
	for _, name := range []string{"raft/id", "raft/term"} {
		if got, want := readFile(t, broker, name), readFile(t, recorded, name); string(got) != string(want) {
			t.Errorf("point %s: %s is %q, want %q", cut.Point, name, got, want)
		}
	}
	if got, want := buckets(t, readFile(t, broker, "meta")), buckets(t, readFile(t, recorded, "meta")); !reflect.DeepEqual(got, want) {
		t.Errorf("point %s: broker's meta %q, want %q", cut.Point, got, want)
	}
	return compareData(t, data, cut)
}

// compareData compares a data directory with the recorded one, in which members
// that led out of it are not.
func compareData(t *testing.T, data fs.FS, cut realchains.Cut) int {
	all := files(t, data)
	n := len(all)
	for name, want := range cut.Files {
		content, ok := all[name]
		if got := fmt.Sprintf("%d %x", len(content), sha256.Sum256([]byte(content))); !ok || got != want {
			t.Errorf("point %s: %s is %s, the old restore wrote %s", cut.Point, name, got, want)
		}
		delete(all, name)
	}
	for name := range all {
		if !fs.ValidPath(name) || len(name) < 6 || name[:6] != "%2E%2E" {
			t.Errorf("point %s: %s, which the old restore did not write", cut.Point, name)
		}
	}
	return n
}
