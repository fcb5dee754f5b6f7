package serverdir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// pageSize is that of the machines that the servers ran on.
const pageSize = 4096

type pair struct{ key, value []byte }

// putAll fills a new bucket.
func putAll(tx *bolt.Tx, bucket string, pairs ...pair) error {
	b, err := tx.CreateBucket([]byte(bucket))
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if err := b.Put(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// boltFile returns a Bolt file. Each step is a transaction of its own, with one
// bucket: bbolt gives pages to the buckets of one in no fixed order.
func boltFile(steps ...func(*bolt.Tx) error) (data []byte, err error) {
	dir, err := os.MkdirTemp("", "snapfs-server-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return editBolt(filepath.Join(dir, "bolt"), steps...)
}

// editBolt opens a sound Bolt file, or makes one, and returns what it is after
// the steps.
func editBolt(name string, steps ...func(*bolt.Tx) error) (data []byte, err error) {
	db, err := bolt.Open(name, 0o600, &bolt.Options{PageSize: pageSize, NoSync: true, NoGrowSync: true, FreelistType: bolt.FreelistArrayType})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, step := range steps {
		if err := db.Update(step); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	err = db.View(func(tx *bolt.Tx) error {
		b.Grow(int(tx.Size()))
		_, err := tx.WriteTo(&b)
		return err
	})
	return b.Bytes(), err
}
