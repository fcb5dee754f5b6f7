package repair

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// looks is a context that ends when it has been looked at a number of times.
type looks struct {
	context.Context
	n, end int
}

func (c *looks) Err() error {
	c.n++
	if c.n > c.end {
		return context.Canceled
	}
	return nil
}

// waited is a context that ends when somebody begins to wait for its end.
type waited struct {
	context.Context
	cancel context.CancelFunc
}

func (c waited) Done() <-chan struct{} {
	c.cancel()
	return c.Context.Done()
}

const someKeys = 40

// someFile makes a Bolt file with one bucket of someKeys keys.
func someFile(t *testing.T) *boltview.DB {
	t.Helper()
	name := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(name, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("bucket"))
		for i := uint64(0); err == nil && i < someKeys; i++ {
			err = b.Put(binary.BigEndian.AppendUint64(nil, i), []byte("value"))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	view, err := boltview.Open(bytes.NewReader(data), int64(len(data)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// TestCancelled ends the context at each moment at which it is looked at, which
// is before each key that is written, and before each that is read back.
func TestCancelled(t *testing.T) {
	db := someFile(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "new")
	all := &looks{t.Context(), 0, 1 << 30}
	if _, err := Bolt(all, name, db, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	// The bucket is one key more, and there is a look before the sync.
	if want := 2*(someKeys+1) + 1; all.n < want {
		t.Errorf("%d looks, want at least %d", all.n, want)
	}
	gone := func(err error) {
		t.Helper()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("not cancelled: %v", err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	for end := range all.n {
		_, err := Bolt(&looks{t.Context(), 0, end}, name, db, Options{})
		gone(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := Bolt(waited{ctx, cancel}, name, db, Options{NoSync: true})
	gone(err)
}

// TestLeave ends the context of something that goes on until the test lets it.
func TestLeave(t *testing.T) {
	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	goOn, ended := make(chan struct{}), make(chan struct{})
	err := leave(ctx, func() error {
		cancel(cause)
		<-goOn
		close(ended)
		return nil
	})
	if err != cause {
		t.Errorf("left: %v, want %v", err, cause)
	}
	close(goOn)
	<-ended
	if err := leave(t.Context(), func() error { return cause }); err != cause {
		t.Errorf("done: %v, want %v", err, cause)
	}
	if err := leave(t.Context(), func() error { return nil }); err != nil {
		t.Errorf("done: %v", err)
	}
}
