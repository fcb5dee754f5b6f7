// Package dataset joins the shards of a view into what users know: databases,
// retention policies, measurements, series and points.
//
// A shard holds the points of one retention policy in one span of time, its
// shard group. A [Set] knows the shards of a view, where each belongs, and
// opens them when they are needed. [Set.Series] gives each series once, however
// many shards have points of it, and [Set.Points] its points in the order of
// time, each time once.
//
// Where a shard belongs is told by the metadata, the newest that know it: those
// of the view, or for a ghost, which they do not know, older ones. What no
// metadata know belongs where its path says.
//
// What cannot be read or decoded comes out of the iterators as a [*ShardError]
// in the place of what is lost. A loop that goes on gets all the rest, and can
// count what it missed.
package dataset
