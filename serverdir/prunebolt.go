package serverdir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/repair"
)

// BoltMeta does for the metadata of a release candidate, size bytes in r, what
// [Pruning.Meta] does for those of a final release. The file is laid out anew.
// Errors match [influx.ErrMeta], or are those of package boltview.
func (p Pruning) BoltMeta(ctx context.Context, r io.ReaderAt, size int64) (data []byte, err error) {
	db, _, err := repair.Source(r, size)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "snapfs-server-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// bbolt edits only what it has written, and leaves pages in no fixed order.
	write := func(name string, db *boltview.DB) (string, error) {
		name = filepath.Join(dir, name)
		report, err := repair.Bolt(ctx, name, db, repair.Options{Mode: 0o600, NoSync: true})
		if err == nil && report.Losses > 0 {
			err = &influx.MetaError{Object: "Meta", Reason: "damaged: " + report.Lost[0]}
		}
		return name, err
	}
	name, err := write("copy", db)
	if err != nil {
		return nil, err
	}
	kept := map[string]bool{}
	if data, err = editBolt(name, func(tx *bolt.Tx) error {
		if err := p.databases(tx, kept); err != nil {
			return err
		}
		return dropPrivileges(tx, kept)
	}); err != nil {
		return nil, err
	}
	if db, err = boltview.Open(bytes.NewReader(data), int64(len(data)), boltview.Options{}); err != nil {
		return nil, err
	}
	if name, err = write("meta", db); err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// databases deletes the databases of which nothing is wanted, and prunes the
// others, which it adds to kept.
func (p Pruning) databases(tx *bolt.Tx, kept map[string]bool) error {
	all := tx.Bucket([]byte("Databases"))
	if all == nil {
		return nil
	}
	pruned := map[string][]byte{} // nil for those that go
	err := all.ForEachBucket(func(name []byte) error {
		v, keep, err := p.databaseJSON(string(name), all.Bucket(name).Get([]byte("meta")))
		if !keep {
			v = nil
		}
		pruned[string(name)], kept[string(name)] = v, keep
		return err
	})
	for name, v := range pruned {
		switch {
		case err != nil:
			return err
		case v == nil:
			err = all.DeleteBucket([]byte(name))
		default:
			err = all.Bucket([]byte(name)).Put([]byte("meta"), v)
		}
	}
	return err
}

// object is a JSON object of which a few keys are known.
type object map[string]json.RawMessage

// databaseJSON prunes the description of a database, and says whether it stays.
func (p Pruning) databaseJSON(name string, v []byte) ([]byte, bool, error) {
	if !p.Database(name) || v == nil {
		return nil, false, nil
	}
	var d object
	if err := decode(v, &d, name); err != nil {
		return nil, false, err
	}
	first, def, had := "", "", false
	kept := map[string]bool{}
	if err := decode(d["defaultRetentionPolicy"], &def, name); err != nil {
		return nil, false, err
	}
	err := each(d, "policies", name, func(rp object) (bool, error) {
		had = true
		var policy string
		if err := decode(rp["name"], &policy, name); err != nil {
			return false, err
		}
		ok, err := p.policyJSON(name, policy, rp)
		if ok {
			if len(kept) == 0 {
				first = policy
			}
			kept[policy] = true
		}
		return ok, err
	})
	if err != nil || had && len(kept) == 0 {
		return nil, false, err
	}
	if def != "" && !kept[def] && first != "" {
		if d["defaultRetentionPolicy"], err = json.Marshal(first); err != nil {
			return nil, false, err
		}
	}
	out, err := json.Marshal(d)
	return out, true, err
}

func (p Pruning) policyJSON(database, name string, rp object) (bool, error) {
	if !p.Policy(database, name) {
		return false, nil
	}
	if p.Shard == nil {
		return true, nil
	}
	any := false
	err := each(rp, "shardGroups", database, func(group object) (bool, error) {
		kept := false
		err := each(group, "shards", database, func(sh object) (bool, error) {
			var id uint64
			err := decode(sh["id"], &id, database)
			wanted := p.Shard(id)
			kept = kept || wanted
			return wanted, err
		})
		any = any || kept
		return kept, err
	})
	return any, err
}

// dropPrivileges takes away privileges of users for databases that are not kept.
func dropPrivileges(tx *bolt.Tx, kept map[string]bool) error {
	all := tx.Bucket([]byte("Users"))
	if all == nil {
		return nil
	}
	edited := map[string][]byte{}
	err := all.ForEach(func(name, v []byte) error {
		var u object
		if err := decode(v, &u, string(name)); err != nil {
			return err
		}
		var privileges object
		if err := decode(u["privileges"], &privileges, string(name)); err != nil {
			return err
		}
		for db := range privileges {
			if !kept[db] {
				delete(privileges, db)
			}
		}
		if privileges == nil {
			return nil
		}
		var err error
		if u["privileges"], err = json.Marshal(privileges); err == nil {
			edited[string(name)], err = json.Marshal(u)
		}
		return err
	})
	for name, v := range edited {
		if err == nil {
			err = all.Put([]byte(name), v)
		}
	}
	return err
}

// each calls keep for the objects in a list, and puts the list back without
// those that it refuses.
func each(in object, key, name string, keep func(object) (bool, error)) error {
	var all []object
	if err := decode(in[key], &all, name); err != nil {
		return err
	}
	out := []object{}
	for _, o := range all {
		ok, err := keep(o)
		if err != nil {
			return err
		}
		if ok {
			out = append(out, o)
		}
	}
	if all == nil {
		return nil
	}
	b, err := json.Marshal(out)
	in[key] = b
	return err
}

// decode decodes what name is described by; what is not there stays zero.
func decode(b []byte, v any, name string) error {
	if len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return &influx.MetaError{Object: fmt.Sprintf("%q", name), Reason: err.Error()}
	}
	return nil
}
