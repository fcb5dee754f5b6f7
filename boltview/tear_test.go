package boltview_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/names"
)

// state is all that a database holds: values by path, buckets with their
// sequence.
type state map[string]string

func bucketLine(sequence uint64) string { return fmt.Sprintf("bucket %d", sequence) }

func oracleState(s state, dir string, b *bbolt.Bucket) {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		name := path.Join(dir, names.Key(k))
		if v != nil {
			s[name] = "value " + string(v)
			continue
		}
		sub := c.Bucket().Bucket(k)
		s[name] = bucketLine(sub.Sequence())
		oracleState(s, name, sub)
	}
}

func viewState(s state, dir string, b *boltview.Bucket) error {
	for it, err := range b.All() {
		if err != nil {
			return err
		}
		name := path.Join(dir, names.Key(it.Key))
		if !it.IsBucket() {
			v, err := it.Value()
			if err != nil {
				return err
			}
			s[name] = "value " + string(v)
			continue
		}
		sub, err := it.Bucket()
		if err != nil {
			return err
		}
		s[name] = bucketLine(sub.Sequence())
		if err := viewState(s, name, sub); err != nil {
			return err
		}
	}
	return nil
}

// writer makes the next transaction of a test database.
type writer func(r *rand.Rand, tx *bbolt.Tx) error

// writeShard does what an InfluxDB 0.9 shard of engine b1 sees: points go to the
// log, now and then the log is flushed to the buckets of the series, and with
// drops a series is deleted.
func writeShard(drops bool) writer {
	return func(r *rand.Rand, tx *bbolt.Tx) error {
		for _, name := range []string{"fields", "series", "wal"} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		wal := tx.Bucket([]byte("wal"))
		for i := range 8 {
			part, err := wal.CreateBucketIfNotExists([]byte{byte(i)})
			if err != nil {
				return err
			}
			if part.Sequence() == 0 { // so that no key has a backslash soon
				if err := part.SetSequence('\\' + 1); err != nil {
					return err
				}
			}
		}
		switch what := r.IntN(10); {
		case what == 0:
			return flushShard(tx)
		case what == 1 && drops:
			// Not the first: a tree from which the first series was dropped looks
			// like a leaf of a larger root.
			err := tx.DeleteBucket(fmt.Appendf(nil, "cpu,host=%d", 1+r.IntN(19)))
			if err != nil && !errors.Is(err, bolterrors.ErrBucketNotFound) {
				return err
			}
			return nil
		}
		for i := range 1 + r.IntN(20) {
			n := min(i, 1) * r.IntN(20)
			part := wal.Bucket([]byte{byte(n % 8)})
			seq, err := part.NextSequence()
			if err != nil {
				return err
			}
			series := fmt.Sprintf("cpu,host=%d", n)
			v := binary.BigEndian.AppendUint64(nil, uint64(r.IntN(60)<<16|r.IntN(80)<<8))
			v = binary.BigEndian.AppendUint32(v, uint32(len(series)))
			v = append(append(v, series...), randomBytes(r, 9+r.IntN(60))...)
			if err := part.Put(binary.BigEndian.AppendUint64(nil, seq), v); err != nil {
				return err
			}
		}
		return nil
	}
}

func flushShard(tx *bbolt.Tx) error {
	wal := tx.Bucket([]byte("wal"))
	for i := range 8 {
		c := wal.Bucket([]byte{byte(i)}).Cursor()
		for k, v := c.First(); k != nil; k, v = c.First() {
			n := binary.BigEndian.Uint32(v[8:])
			b, err := tx.CreateBucketIfNotExists(v[12 : 12+n])
			if err != nil {
				return err
			}
			if err := b.Put(bytes.Clone(v[:8]), bytes.Clone(v[12+n:])); err != nil {
				return err
			}
			if err := c.Delete(); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeAny is a database of no known layout, whose program counts with bucket
// sequences.
func writeAny(r *rand.Rand, tx *bbolt.Tx) error {
	for range 1 + r.IntN(15) {
		b, err := tx.CreateBucketIfNotExists(fmt.Appendf(nil, "kind%d", r.IntN(4)))
		if err != nil {
			return err
		}
		if r.IntN(3) == 0 {
			if b, err = b.CreateBucketIfNotExists(fmt.Appendf(nil, "part%d", r.IntN(4))); err != nil {
				return err
			}
		}
		seq, err := b.NextSequence()
		if err != nil {
			return err
		}
		size := r.IntN(200)
		if r.IntN(20) == 0 {
			size = r.IntN(20000)
		}
		if err := b.Put(fmt.Appendf(nil, "%08d", seq), randomBytes(r, size)); err != nil {
			return err
		}
		if r.IntN(4) == 0 {
			if err := b.Delete(fmt.Appendf(nil, "%08d", r.IntN(int(seq)))); err != nil {
				return err
			}
		}
	}
	return nil
}

// tear makes the file that Bolt's Tx.WriteTo made before February 2016: it opens
// a transaction after some commits, and copies its pages after more of them,
// with the metas as they are by then. It returns the state after each commit,
// the one that was copied at index before.
func tear(t *testing.T, r *rand.Rand, before, after int, write writer) ([]byte, []state) {
	t.Helper()
	db := create(t, 4096)
	states := []state{{}}
	commit := func(n int) {
		for range n {
			update(t, db, func(tx *bbolt.Tx) error { return write(r, tx) })
			db.View(func(tx *bbolt.Tx) error {
				s := state{}
				oracleState(s, "", tx.Cursor().Bucket())
				states = append(states, s)
				return nil
			})
		}
	}
	commit(before)
	copied, err := db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	commit(after)
	file := contents(t, db)[:copied.Size()]
	if err := copied.Rollback(); err != nil {
		t.Fatal(err)
	}
	return file, states
}

// shown returns which of states got is, the newest if there are several, or -1.
func shown(got state, states []state) int {
	for i, s := range slices.Backward(states) {
		if maps.Equal(got, s) {
			return i
		}
	}
	return -1
}

// points returns the points of a shard's state, from series and time to field
// data.
func points(s state) map[string]string {
	m := map[string]string{}
	for _, log := range []bool{false, true} { // the log comes later
		for _, name := range slices.Sorted(maps.Keys(s)) {
			v, ok := strings.CutPrefix(s[name], "value ")
			if !ok {
				continue
			}
			if strings.HasPrefix(name, "wal/") != log {
				continue
			}
			if !log {
				series, key, _ := strings.Cut(name, "/")
				raw, _ := names.Decode(key)
				m[series+" "+string(raw)] = v
				continue
			}
			n := binary.BigEndian.Uint32([]byte(v[8:]))
			m[v[12:12+n]+" "+v[:8]] = v[12+n:]
		}
	}
	return m
}
