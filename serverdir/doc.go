// Package serverdir makes the directories that an InfluxDB 0.9 server keeps its
// data in, as io/fs trees: copied to disk, by package restore for instance,
// they are what the server starts from, with exactly the databases and points
// of a snapshot.
//
// # Words
//
// A final release, 0.9.0 to 0.9.6, has a data directory, with the shards as
// <database>/<policy>/<number>, and a meta directory, which is the store of a
// raft node: [Source.Release] makes both. The node is the only one of its cluster, and
// its log has three entries: the node becomes a peer, it becomes number 1, and
// the metadata of the snapshot replace whatever it knew.
//
// A release candidate, rc16 to rc31, has a data directory, with meta and
// shards/<number>, and the directory of a broker, which orders all writes by an
// index: [Source.Candidate] makes both, and the broker goes on after the highest index
// of the snapshot.
//
// # What is promised
//
// Shards and metadata are byte for byte those of the snapshot, unless they were
// pruned. The rest is made to the pattern of what the servers' own restore
// wrote, and read by the servers: buckets, keys, log entries and files are the
// same. Where the servers took random numbers, these are made from the
// metadata, so that the same snapshot gives the same bytes each time.
//
// Names that would lead out of a directory stay escaped: the shard "../rp/1",
// which real servers had, is "%2E%2E/rp/1" in the data directory, where the
// server does not look for it. Databases called meta and manifest, which a view
// of a snapshot shows as "meta.d" and "manifest.d", have their own names again.
//
// # Addresses
//
// A server that finds another address in its raft store than its own answers
// queries, but waits for a leader that never comes, and refuses writes. What it
// takes for its own differs: see [Config.Address].
package serverdir
