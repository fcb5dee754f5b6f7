package flatten_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/flatten"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
)

// hash begins the hash of a password.
const hash = "$2a$10$"

// protobufMeta returns metadata with two users among other fields, one of which
// no release knows.
func protobufMeta() []byte {
	user := func(b []byte, name string) []byte {
		u := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
		u = protowire.AppendString(protowire.AppendTag(u, 2, protowire.BytesType), hash+name)
		return protowire.AppendBytes(protowire.AppendTag(b, 6, protowire.BytesType), u)
	}
	b := user(nil, "first")
	b = append(b, sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{{Name: "rp"}}}}}.Bytes()...)
	b = user(b, "last")
	return protowire.AppendString(protowire.AppendTag(b, 15, protowire.BytesType), "of a later release")
}

// boltMeta returns metadata of a release candidate, with a user, and one that
// was deleted, but whose hash is still in a free page.
func boltMeta(t testing.TB) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "meta")
	db, err := bolt.Open(name, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	update := func(f func(tx *bolt.Tx) error) {
		if err := db.Update(f); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *bolt.Tx) error {
		for _, b := range []string{"Meta", "DataNodes", "Databases", "Users"} {
			if _, err := tx.CreateBucket([]byte(b)); err != nil {
				return err
			}
		}
		if err := tx.Bucket([]byte("Meta")).Put([]byte("index"), []byte{0, 0, 0, 0, 0, 0, 1, 0}); err != nil {
			return err
		}
		for _, name := range []string{"boss", "gone"} {
			if err := tx.Bucket([]byte("Users")).Put([]byte(name), []byte(`{"name":"`+name+`","hash":"`+hash+name+`"}`)); err != nil {
				return err
			}
		}
		return nil
	})
	update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("Users")).Delete([]byte("gone")) })
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(hash+"gone")) {
		t.Fatal("the deleted user has left no trace, and the test has no point")
	}
	return b
}

// known returns what metadata know, without users, as text.
func known(t testing.TB, b string) (text string, users int) {
	t.Helper()
	m, err := influx.OpenMeta(strings.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	users = len(m.Users)
	m.Users = nil
	for i := range m.Unknown {
		m.Unknown[i].Offset = 0 // which moves
	}
	j, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(j), users
}

func TestDropUsers(t *testing.T) {
	for name, tt := range map[string]struct {
		dialect chain.Dialect
		meta    []byte
		users   int
	}{
		"protobuf": {chain.ByTime, protobufMeta(), 2},
		"bolt":     {chain.ByIndex, boltMeta(t), 1},
	} {
		t.Run(name, func(t *testing.T) {
			meta := file("meta", string(tt.meta), 9)
			path := write(t, sample.Layer{Time: at(10), Dialect: tt.dialect, Files: []sample.File{meta, file("shards/1", "data", 1)}})
			p := plan(t, view(t, open(t, path), ""), flatten.Options{DropUsers: true})
			flat := create(t, p)
			b, err := os.ReadFile(flat)
			if err != nil {
				t.Fatal(err)
			}
			if p.Users != tt.users || len(p.Notes) > 0 || bytes.Contains(b, []byte(hash)) {
				t.Errorf("%d users, notes %q, hashes left: %v", p.Users, p.Notes, bytes.Contains(b, []byte(hash)))
			}
			_, content := members(t, flat)
			want, _ := known(t, string(tt.meta))
			if got, users := known(t, content["meta"]); got != want || users != 0 {
				t.Errorf("%d users, and\n%s, want\n%s", users, got, want)
			}
			if content["shards/1"] != "data" {
				t.Errorf("shard %q", content["shards/1"])
			}
		})
	}

	path := write(t, sample.Layer{Time: at(10), Files: []sample.File{file("meta", "no metadata", 9)}})
	if _, err := flatten.New(t.Context(), view(t, open(t, path), ""), flatten.Options{DropUsers: true}); err == nil || !strings.Contains(err.Error(), "leave out users") {
		t.Errorf("metadata that cannot be read: %v", err)
	}
}

// TestDropRealUsers leaves the users out of all metadata of real servers.
func TestDropRealUsers(t *testing.T) {
	dropped := 0
	for _, snap := range realchains.All(t) {
		c := open(t, snap)
		for point := range c.Points() {
			v := view(t, c, point.Name)
			_, with := members(t, create(t, plan(t, v, flatten.Options{})))
			p := plan(t, v, flatten.Options{DropUsers: true})
			flat := create(t, p)
			b, err := os.ReadFile(flat)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte("$2a$")) {
				t.Errorf("%s at %s: there are hashes left", snap, point.Name)
			}
			_, without := members(t, flat)
			want, users := known(t, with["meta"])
			if got, left := known(t, without["meta"]); got != want || left != 0 || users != p.Users {
				t.Errorf("%s at %s: %d of %d users left (%d dropped), and\n%s, want\n%s", snap, point.Name, left, users, p.Users, got, want)
			}
			dropped += p.Users
			for name, data := range with {
				if name != "meta" && name != "manifest" && without[name] != data {
					t.Errorf("%s at %s: %s differs", snap, point.Name, name)
				}
			}
		}
	}
	if dropped == 0 {
		t.Error("no users in the real chains")
	}
}
