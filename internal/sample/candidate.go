package sample

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/chain"
)

// buckets is what a bucket of a Bolt file holds: texts, or further buckets.
type buckets map[string]any

// boltFile writes a Bolt file. dir is a directory for a temporary file. Each
// bucket, also one within another, has a transaction of its own, in the order of
// names: bbolt gives pages to the buckets of a transaction in the order of a map,
// and so the file is the same each time.
func (top buckets) boltFile(dir string) ([]byte, error) {
	path := filepath.Join(dir, "candidate.tmp")
	defer os.Remove(path)
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if err := top[name].(buckets).write(db, name); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	err = db.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(&out)
		return err
	})
	return out.Bytes(), err
}

// write writes the bucket with the keys path, whose parents are there.
func (in buckets) write(db *bolt.DB, path ...string) error {
	err := db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(path[0]))
		for _, key := range path[1:] {
			if err != nil {
				return err
			}
			b, err = b.CreateBucketIfNotExists([]byte(key))
		}
		if err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(in)) {
			if text, ok := in[key].(string); ok {
				if err := b.Put([]byte(key), []byte(text)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, key := range slices.Sorted(maps.Keys(in)) {
		if sub, ok := in[key].(buckets); ok && err == nil {
			err = sub.write(db, append(slices.Clone(path), key)...)
		}
	}
	return err
}

func be(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// candidateGroup is a shard group with its only shard, as JSON.
func candidateGroup(id int, start string, days int) string {
	from, err := time.Parse(time.DateOnly, start)
	if err != nil {
		panic(err) // it is a constant
	}
	return fmt.Sprintf(`{"id":%d,"startTime":%q,"endTime":%q,"shards":[{"id":%[1]d,"nodeIDs":[1]}]}`,
		id, from.Format(time.RFC3339), from.AddDate(0, 0, days).Format(time.RFC3339))
}

// CandidateMeta returns metadata of a release candidate. They know the database
// grid with the policies default, shards 1 and 2, and week, without shards; the
// database other with the policy default, shard 3; the users u, who may read
// grid and write other, and root, an admin. dir is a directory for a temporary
// file.
func CandidateMeta(dir string) ([]byte, error) {
	const week = "604800000000000"
	database := func(name, policies string) buckets {
		return buckets{
			"meta":         fmt.Sprintf(`{"name":%q,"defaultRetentionPolicy":"default","policies":[%s]}`, name, policies),
			"Measurements": buckets{"m": `{"name":"m","fields":[{"id":1,"name":"f","type":"float"}]}`},
			"Series":       buckets{"m": buckets{be(1): `{"ID":1,"Tags":{"host":"a"}}`}},
			"TagBytesToID": buckets{},
		}
	}
	grid := `{"name":"default","replicaN":1,"shardGroupDuration":` + week + `,"shardGroups":[` +
		candidateGroup(1, "2015-03-02", 7) + "," + candidateGroup(2, "2015-03-09", 7) + "]}," +
		`{"name":"week","replicaN":1,"duration":` + week + `,"shardGroupDuration":86400000000000}`
	other := `{"name":"default","replicaN":1,"shardGroupDuration":` + week + `,"shardGroups":[` + candidateGroup(3, "2015-03-09", 7) + "]}"
	return buckets{
		"Meta":      buckets{"id": be(1), "index": be(300), "shardID": be(3), "shardGroupID": be(3)},
		"DataNodes": buckets{be(1): `{"ID":1,"URL":{"Scheme":"http","Host":"127.0.0.1:8086"}}`},
		"Databases": buckets{"grid": database("grid", grid), "other": database("other", other)},
		"Users": buckets{
			"u":    `{"name":"u","hash":"$2a$x","privileges":{"grid":1,"other":2}}`,
			"root": `{"name":"root","hash":"$2a$y","admin":true}`,
		},
	}.boltFile(dir)
}

// Candidate writes the chain of a release candidate into dir, as "snap" and
// "snap.0", and returns the path of the first: that of [CandidateMeta], with one
// point in each shard. Shard 3 comes with the incremental, whose index, 345, is
// the highest.
func Candidate(dir string) (string, error) {
	w := writer{dir: dir}
	file := func(name string, index uint64, data []byte, err error) File {
		if err != nil && w.err == nil {
			w.err = fmt.Errorf("%s: %w", name, err)
		}
		return File{Name: name, Data: data, Index: index}
	}
	shard := func(id int, index uint64, start string) File {
		t, err := time.Parse(time.DateOnly, start)
		if err != nil {
			panic(err) // it is a constant
		}
		data, err := buckets{
			"meta": buckets{"index": be(index)}, "values": buckets{},
			be(1): buckets{be(uint64(t.UnixNano())): "\x01" + be(math.Float64bits(float64(id)))},
		}.boltFile(dir)
		return file(fmt.Sprintf("shards/%d", id), index, data, err)
	}
	meta, err := CandidateMeta(dir)
	w.layer(Start, file("meta", 300, meta, err), shard(1, 280, "2015-03-03"), shard(2, 290, "2015-03-10"))
	w.layer(Start.Add(time.Hour), shard(3, 345, "2015-03-10"))
	for i := range w.layers {
		w.layers[i].Dialect = chain.ByIndex
	}
	path := filepath.Join(dir, "snap")
	if w.err != nil {
		return "", fmt.Errorf("write sample chain: %w", w.err)
	}
	return path, Write(path, w.layers...)
}
