package origin

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
)

// stamp says how new each file is, and returns the manifest of all. Stamps are
// taken before the transactions begin that copy the files: what is written in
// between is sent twice, and not never.
func (d Dir) stamp(ctx context.Context, all []candidate) (chain.Manifest, error) {
	if i := slices.IndexFunc(all, func(f candidate) bool { return f.Name == metaName }); i >= 0 && !all[i].plain && d.DB == nil {
		if _, err := raftIndex(all[i].path, "Meta"); err == nil {
			return stampIndex(all)
		}
	}
	return d.stampTime(ctx, all)
}

// clock is where the time comes from. The zero value is that of the system.
type clock struct {
	now   func() time.Time
	sleep func(time.Duration)
}

func (c clock) Now() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

func (c clock) Sleep(ctx context.Context, d time.Duration) {
	if c.sleep != nil {
		c.sleep(d)
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

const (
	// clockStep is more than the time between two ticks of the clock that the
	// kernel stamps files with, coarseStep that of file systems which count in
	// seconds.
	clockStep  = 50 * time.Millisecond
	coarseStep = 2 * time.Second
)

// stampTime stamps with the time of the last change.
//
// Two changes within one tick of the clock have the same time. So, if a change
// was just now, stampTime waits for the tick to pass, once for all files. If there
// was another change meanwhile, there may be one more within its tick, and the
// stamp is a nanosecond earlier: whatever the next copy finds is newer.
func (d Dir) stampTime(ctx context.Context, all []candidate) (chain.Manifest, error) {
	m := chain.Manifest{Dialect: chain.ByTime, Files: make([]chain.ManifestFile, len(all))}
	var recent []int
	wait := time.Duration(0)
	for i, f := range all {
		left, err := d.modified(&f)
		if err != nil {
			return m, err
		}
		if left > 0 {
			recent = append(recent, i)
			wait = max(wait, left)
		}
		m.Files[i] = f.ManifestFile
	}
	if wait > 0 {
		d.clock.Sleep(ctx, wait)
	}
	for _, i := range recent {
		left, err := d.modified(&all[i])
		if err != nil {
			return m, err
		}
		if m.Files[i] = all[i].ManifestFile; left > 0 {
			m.Files[i].Stamp.Time = m.Files[i].Stamp.Time.Add(-1)
		}
	}
	return m, nil
}

// modified stamps a file with the time of its last change, and returns how long
// it takes until no other change can have that time.
func (d Dir) modified(f *candidate) (left time.Duration, err error) {
	st, err := os.Stat(f.path)
	if err != nil {
		return 0, err
	}
	f.Stamp.Time = st.ModTime().UTC()
	step := clockStep
	if f.Stamp.Time.Nanosecond() == 0 {
		step = coarseStep
	}
	if left = step - d.clock.Now().Sub(f.Stamp.Time); left > 2*step {
		return 0, nil // set to the future by hand
	}
	return max(left, 0), nil
}

// stampIndex is stamp of the directory of a release candidate.
func stampIndex(all []candidate) (chain.Manifest, error) {
	m := chain.Manifest{Dialect: chain.ByIndex, Files: make([]chain.ManifestFile, len(all))}
	for i, f := range all {
		bucket := "meta"
		if f.Name == metaName {
			bucket = "Meta"
		}
		var err error
		if f.Stamp.Index, err = raftIndex(f.path, bucket); err != nil {
			return m, err
		}
		m.Files[i] = f.ManifestFile
	}
	return m, nil
}

// raftIndex returns the index of the last raft message that changed a file of a
// release candidate. FORMAT: key "index" of the bucket Meta in meta, and of the
// bucket meta in a shard.
func raftIndex(path, bucket string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	db, err := boltview.Open(f, st.Size(), boltview.Options{})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	b, err := db.Root().Bucket([]byte(bucket))
	var v []byte
	if err == nil {
		v, err = b.Get([]byte("index"))
	}
	if err == nil && len(v) != 8 {
		err = fmt.Errorf("%d bytes, not 8", len(v))
	}
	if err != nil {
		return 0, fmt.Errorf("%s: raft index in bucket %s: %w", path, bucket, err)
	}
	return binary.BigEndian.Uint64(v), nil
}
