// Package influx reads what InfluxDB 0.9 left in a snapshot: metadata and
// shards.
//
// # Words
//
// A database has retention policies. A policy cuts time into shard groups, a
// group has shards, and a shard is one file with the points of its span. A point
// belongs to a series, which is a measurement with tags, has a time and one
// value or more, each under the name of a field. Which fields there are, and of
// what type, is defined per measurement and shard: points hold the number of a
// field, not its name.
//
// The series key is the text of a series: the escaped measurement, then
// ",tag=value" for each tag, in the order of the tags' names.
//
// The engine is the layout of a shard. The final releases of 0.9 wrote b1, a
// Bolt bucket per series, with a write-ahead log in a bucket of its own; from
// 0.9.3 on bz1, where a bucket holds compressed blocks of points, and the log
// is a file outside of the snapshot. The release candidates wrote rc, where a
// bucket is named by the number of its series, and only the metadata know what
// the numbers mean. The engine tsm1 came after them and is not read here.
//
// # Use
//
// [OpenMeta] reads the file "meta" of a snapshot, [OpenShard] a shard, which
// package boltview opened. [Shard.Series] lists the series of a shard, and
// [Shard.Points] gives the points of one, in the order of their times.
// [AppendSeries] and [AppendPoint] write them as line protocol.
//
// # Damage
//
// Nothing here trusts a file. What cannot be decoded comes out of the iterators
// as an error in the place of what is lost: a [*ValueError] for one entry of a
// bucket, an error of package boltview for a page. A loop that goes on after it
// gets all the rest, and can count what it missed.
package influx
