package serve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"github.com/snapfs/snapfs/backup"
	"github.com/snapfs/snapfs/backup/origin"
	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
)

// counting is an origin that knows how many copies were under way at a time.
type counting struct {
	origin.Origin
	open func() int
	most atomic.Int64
}

func (c *counting) Begin(ctx context.Context, known chain.Manifest) (*origin.Copy, error) {
	r, err := c.Origin.Begin(ctx, known)
	for n := int64(c.open()); ; {
		if most := c.most.Load(); most >= n || c.most.CompareAndSwap(most, n) {
			return r, err
		}
	}
}

// TestCrowd serves eight clients at once, each several times, while the process
// writes to all of its files. Each copy must be sound, and of one moment.
func TestCrowd(t *testing.T) {
	const clients, rounds, most = 8, 2, 3
	dir := t.TempDir()
	dbs := map[string]*bolt.DB{}
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name)
		db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true, InitialMmapSize: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		dbs[path] = db
	}
	// Each transaction sets many keys to the same number.
	write := func(db *bolt.DB, n uint64) error {
		value := binary.BigEndian.AppendUint64(nil, n)
		return db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("b"))
			for i := 0; i < 200 && err == nil; i++ {
				err = b.Put(fmt.Appendf(nil, "%032d", i), value)
			}
			return err
		})
	}
	stop := make(chan bool)
	var writers errgroup.Group
	for _, db := range dbs {
		if err := write(db, 0); err != nil {
			t.Fatal(err)
		}
		writers.Go(func() error {
			for n := uint64(1); ; n++ {
				select {
				case <-stop:
					return nil
				default:
				}
				if err := write(db, n); err != nil {
					return err
				}
			}
		})
	}
	o := &counting{
		Origin: origin.Dir{Path: dir, DB: func(path string) *bolt.DB { return dbs[path] }},
		open:   func() int { return dbs[filepath.Join(dir, "a")].Stats().OpenTxN }, // for reading
	}
	d := open(t, o, Options{MaxCopies: most})
	chains := t.TempDir()
	var g errgroup.Group
	for i := range clients {
		g.Go(func() error {
			var src backup.Source = backup.TCP{Addr: d.tcp}
			if i%2 == 1 {
				src = backup.HTTP{URL: d.url}
			}
			for range rounds {
				r, err := backup.Take(t.Context(), filepath.Join(chains, fmt.Sprint(i)), src, backup.Options{})
				if err != nil {
					return err
				}
				if len(r.Torn) > 0 || r.Files != 2 {
					return fmt.Errorf("%+v", r)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	close(stop)
	if err := errors.Join(err, writers.Wait()); err != nil {
		t.Fatalf("%v\n%s", err, d.log)
	}
	if n := o.most.Load(); n > most || n == 0 {
		t.Errorf("%d copies at a time", n)
	}
	for i := range clients {
		c, err := chain.Open(filepath.Join(chains, fmt.Sprint(i)), chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for p := range c.Points() {
			v, err := c.At(p.Name)
			if err != nil {
				t.Fatal(err)
			}
			for f := range v.Files() {
				oneMoment(t, f)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	for path, db := range dbs {
		if n := db.Stats().OpenTxN; n != 0 {
			t.Errorf("%s: %d transactions are open", path, n)
		}
	}
}

// oneMoment wants the same number under all keys.
func oneMoment(t *testing.T, f chain.File) {
	t.Helper()
	r, err := f.Content()
	if err != nil {
		t.Fatal(err)
	}
	db, err := boltview.Open(r, f.Size, boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := db.Root().Bucket([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	n := 0
	for it, err := range b.All() {
		if err != nil {
			t.Fatal(err)
		}
		value, err := it.Value()
		if err != nil {
			t.Fatal(err)
		}
		if n++; first == nil {
			first = bytes.Clone(value)
		}
		if !bytes.Equal(value, first) {
			t.Fatalf("%s: %x beside %x", f.Name, value, first)
		}
	}
	if n != 200 {
		t.Errorf("%s: %d keys", f.Name, n)
	}
}
