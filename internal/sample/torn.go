package sample

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// Torn returns a shard in the b1 layout as a hot copy by Bolt before February
// 2016 left it: the metas are those after so many later commits, the pages those
// that the copied transaction knew. points is how many points that had, all of
// which are to be found. dir is a directory for a temporary file.
//
// With no later commit the file is sound; after one, the older meta's tree is
// whole; after more, neither.
func Torn(dir string, commits int) (data []byte, points int, err error) {
	path := filepath.Join(dir, "torn.tmp")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true,
		// A file that outgrows its map would wait for the copied transaction.
		InitialMmapSize: 64 << 20,
	})
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, db.Close(), os.Remove(path)) }()
	time := uint64(1446336000e9)
	write := func(n int) error {
		return db.Update(func(tx *bolt.Tx) error {
			for _, name := range []string{"fields", "series", "wal"} {
				if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
					return err
				}
			}
			for i := range n {
				b, err := tx.CreateBucketIfNotExists(fmt.Appendf(nil, "cpu,host=%d", i%8))
				if err != nil {
					return err
				}
				time += 1e9
				if err := b.Put(binary.BigEndian.AppendUint64(nil, time), binary.BigEndian.AppendUint64([]byte{1}, time)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range 20 {
		if err := write(100); err != nil {
			return nil, 0, err
		}
		points += 100
	}
	tx, err := db.Begin(false)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	for range commits {
		if err := write(800); err != nil {
			return nil, 0, err
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, err
	}
	if int64(len(file)) < tx.Size() {
		return nil, 0, fmt.Errorf("%s: %d bytes, want %d", path, len(file), tx.Size())
	}
	return file[:tx.Size()], points, nil
}
