package serverdir_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestHostileJSON prunes metadata of a release candidate with odd values in
// place of the description of a database or a user. What is no JSON of the kind
// is an error, and nothing panics.
func TestHostileJSON(t *testing.T) {
	for _, tt := range []struct {
		database, user string
		bad            bool
	}{
		{database: `null`},
		{database: `{}`},
		{database: `{"policies":null}`},
		{database: `{"policies":[]}`},
		{database: `{"policies":[null,{"name":"default","shardGroups":[null,{"shards":[null]}]}]}`},
		{database: `{"policies":[{"name":"default","shardGroups":null}],"defaultRetentionPolicy":null}`},
		{database: `[]`, bad: true},
		{database: `{"policies":{}}`, bad: true},
		{database: `{"policies":[{"name":7}]}`, bad: true},
		{database: `{"policies":[{"name":"default","shardGroups":[{"shards":[{"id":"x"}]}]}]}`, bad: true},
		{database: `{`, bad: true},
		{user: `null`},
		{user: `{"privileges":null}`},
		{user: `{"privileges":[]}`, bad: true},
		{user: ``, bad: false},
	} {
		data := editedMeta(t, tt.database, tt.user)
		got, err := only("grid other", 1, 3).BoltMeta(t.Context(), bytes.NewReader(data), int64(len(data)))
		switch {
		case tt.bad && !errors.Is(err, influx.ErrMeta):
			t.Errorf("%+v: %v", tt, err)
		case !tt.bad && err != nil:
			t.Errorf("%+v: %v", tt, err)
		case !tt.bad:
			known(t, got)
		}
	}
	torn := editedMeta(t, "", "")
	torn = torn[:2*4096]
	if _, err := only("grid").BoltMeta(t.Context(), bytes.NewReader(torn), int64(len(torn))); err == nil {
		t.Error("no error for a file that is cut off")
	}
}

// editedMeta returns the sample metadata with other values for database grid and
// user u, unless they are "".
func editedMeta(t *testing.T, database, user string) []byte {
	t.Helper()
	dir := t.TempDir()
	data, err := sample.CandidateMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "meta")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(name, 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bolt.Tx) error {
		if database != "" {
			if err := tx.Bucket([]byte("Databases")).Bucket([]byte("grid")).Put([]byte("meta"), []byte(database)); err != nil {
				return err
			}
		}
		if user == "" {
			return nil
		}
		return tx.Bucket([]byte("Users")).Put([]byte("u"), []byte(user))
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := db.View(func(tx *bolt.Tx) error { _, err := tx.WriteTo(&out); return err }); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
