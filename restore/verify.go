package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"os"
	"syscall"
)

// hasher returns what hashes a file, nil if that is not wanted.
func (o *Options) hasher() hash.Hash {
	if o.Hash || o.Verify {
		return sha256.New()
	}
	return nil
}

// verify reads a written file back, by its name, and compares.
func (r *runner) verify(d *folder, e *entry, name string) error {
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return targetError{err}
	}
	defer f.Close()
	forget(f)
	buf := r.bufs.Get().(*[bufSize]byte)
	defer r.bufs.Put(buf)
	sum := sha256.New()
	for {
		if err := context.Cause(r.ctx); err != nil {
			return err
		}
		n, err := f.Read(buf[:])
		sum.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return targetError{err}
		}
	}
	if !bytes.Equal(sum.Sum(nil), e.more.sum) {
		return targetError{ErrVerify}
	}
	return nil
}

// verifyAll reads back the files that were synced at the end.
func (r *runner) verifyAll() {
	work, done := r.workers(func(e *entry, d *folder) {
		if err := r.verify(d, e, e.name); err != nil && r.ctx.Err() == nil {
			r.fail(r.path(e), err)
		}
	})
	defer done()
	var d *folder
	defer func() { d.release() }()
	at := int32(-1) // which directory d is
	for i := range r.entries {
		e := &r.entries[i]
		if r.ctx.Err() != nil || !e.writes() || e.more == nil || e.more.sum == nil || !r.later(e.size) {
			continue
		}
		if at != e.parent {
			d.release()
			d, at = nil, e.parent
			next, err := openFolder(r.root, r.dirs[at].path)
			if err != nil {
				r.fail(r.dirs[at].path, targetError{err})
				return
			}
			d = next
		}
		work(e, d)
	}
}
