package influx

// Series is a series of a shard.
type Series struct {
	Key         string `json:"key"` // escaped measurement, then ",tag=value" in the order of the tags
	Measurement string `json:"measurement"`
	Tags        []Tag  `json:"tags"`         // in the order of names
	ID          uint64 `json:"id,omitempty"` // number in the database, of a release candidate
	// Listed is set if the shard has a record of the series, which releases up to
	// 0.9.2 wrote into the first shard of a database only. For a release candidate
	// it is set if the metadata know the series.
	Listed bool `json:"listed"`
	// Stored is set if the shard has a bucket for the points of the series, or
	// points in its write-ahead log.
	Stored bool `json:"stored"`
}
