package sample

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// KeysBucket is the bucket of the file that [Keys] makes.
const KeysBucket = "keys"

// Keys returns a Bolt file with one bucket of n keys of 8 bytes, each with 32
// bytes of value. dir is a directory for a temporary file.
func Keys(dir string, n int) ([]byte, error) {
	path := filepath.Join(dir, "keys.tmp")
	defer os.Remove(path)
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	const batch = 100_000 // what one transaction holds in memory
	for from := 0; from < n || from == 0; from += batch {
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte(KeysBucket))
			if err != nil {
				return err
			}
			b.FillPercent = 1 // keys come in order
			var key [8]byte
			var value [32]byte
			for i := from; i < min(from+batch, n); i++ {
				binary.BigEndian.PutUint64(key[:], uint64(i))
				binary.BigEndian.PutUint64(value[:], uint64(i)*0x9e3779b97f4a7c15)
				if err := b.Put(key[:], value[:]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	err = db.View(func(tx *bolt.Tx) error {
		out.Grow(int(tx.Size()))
		_, err := tx.WriteTo(&out)
		return err
	})
	return out.Bytes(), err
}
