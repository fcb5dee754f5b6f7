package export

// SetCheckpointEvery sets how many bytes are written between checkpoints.
func (f *Files) SetCheckpointEvery(n int64) { f.checkpointEvery = n }
