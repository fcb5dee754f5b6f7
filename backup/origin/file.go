package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/snaptar"
)

const (
	// maxPlain bounds a file that is no Bolt file: it is held in memory.
	maxPlain = 256 << 20

	// lockWait is how long to wait for the lock of a Bolt file.
	lockWait = time.Second
)

// memory is a small file that was read.
type memory struct{ *bytes.Reader }

func readPlain(path string) (content, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPlain+1))
	if err == nil && len(b) > maxPlain {
		err = fmt.Errorf("%s: more than %d bytes, and no Bolt file", path, maxPlain)
	}
	if err != nil {
		return nil, 0, err
	}
	return memory{bytes.NewReader(b)}, int64(len(b)), nil
}

func (m memory) write(ctx context.Context, w *snaptar.Writer) error {
	return w.Copy(ctx, m, 0, func(int64) {})
}

func (memory) close() error { return nil }

// shared is a transaction of a database that others write to. bbolt itself
// knows which of its pages to copy, and makes the metas.
type shared struct{ tx *bolt.Tx }

func (s shared) write(ctx context.Context, w *snaptar.Writer) error {
	_, err := s.tx.WriteTo(cancelled{ctx, w})
	return err
}

func (s shared) close() error { return s.tx.Rollback() }

// cancelled ends with a context.
type cancelled struct {
	ctx context.Context
	w   io.Writer
}

func (c cancelled) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(b)
}

// locked is a file that nobody writes to while its lock is held. It is copied
// as it is: bbolt says how long it is, and reads nothing but the metas, so that
// a damaged file does no harm.
type locked struct {
	db   *bolt.DB
	tx   *bolt.Tx
	file *os.File
}

// openFile opens a Bolt file with its lock. It returns how many bytes of it
// belong to its newest transaction.
func openFile(path string) (content, int64, error) {
	l := &locked{}
	var err error
	l.db, err = bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: lockWait,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			l.file, err = os.OpenFile(name, flag, mode)
			return l.file, err
		}})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, 0, hint.Wrap(fmt.Errorf("%s: %w", path, ErrLocked), "stop that process; or, if it is InfluxDB, ask it: snapfs backup --host HOST:PORT")
	case err != nil:
		return nil, 0, hint.Wrap(fmt.Errorf("%s: %w", path, err), "snapfs bolt check tells more; move the file away, or repair it: snapfs bolt repair")
	}
	if l.tx, err = l.db.Begin(false); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("%s: %w", path, err), l.db.Close())
	}
	st, err := l.file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, l.close())
	}
	return l, min(l.tx.Size(), st.Size()), nil // a file that is cut has less
}

func (l *locked) write(ctx context.Context, w *snaptar.Writer) error {
	return w.Copy(ctx, l.file, 0, func(int64) {})
}

func (l *locked) close() error {
	return errors.Join(l.tx.Rollback(), l.db.Close())
}
