package export

import "time"

// SetCheckpointEvery sets how many bytes are written between checkpoints.
func (f *Files) SetCheckpointEvery(n int64) { f.checkpointEvery = n }

// SetTaskWeight sets how many bytes of shards a worker takes at a time.
func (o *Options) SetTaskWeight(n int64) { o.taskWeight = n }

// SetSleep replaces the clock that is waited for.
func (t *Target) SetSleep(f func(time.Duration) <-chan time.Time) { t.sleep = f }
